"""Settings of a proxy and its connections."""

from . import serializers, transport

# Seconds for a connection and its handshake.
CONNECT_TIMEOUT = 10.0
# Bytes of the largest answer that is read.
MAX_MESSAGE_BYTES = 1 << 30


class Settings:
    """How connections are made, and how long a call may take. Shared by the proxies of a lab."""

    __slots__ = (
        "certificate", "connect_timeout", "handshake", "has_tls_setting", "is_lab_handshake", "make_proxy",
        "max_message", "safe", "serializer", "timeout", "tls",
    )  # fmt: skip

    def __init__(
        self,
        timeout=None,
        connect_timeout=CONNECT_TIMEOUT,
        serializer="auto",
        handshake="hello",
        tls=None,
        max_message=MAX_MESSAGE_BYTES,
        safe=(),
    ):
        self.timeout = check_seconds("timeout", timeout)
        self.connect_timeout = check_seconds("connect_timeout", connect_timeout)
        self.serializer = serializers.check_name(serializer)
        self.handshake = handshake
        # Whether it is for the lab, and not for one proxy alone: other labs do not get it then.
        self.is_lab_handshake = True
        self.tls, self.certificate = transport.tls_context(tls)
        # Whether `tls` is the program's own, False too: else it is the environment's.
        self.has_tls_setting = tls is not None
        self.max_message = max_message
        # Members whose calls may be made again where it is unknown whether they ran.
        self.safe = frozenset([safe] if isinstance(safe, str) else safe)
        # The function that makes a proxy of a URI that came as a result.
        self.make_proxy = None

    @property
    def may_search(self):
        """Whether a nameserver may be searched for: anybody may answer, and would get a token."""
        return self.handshake == "hello"

    def replaced(self, **changes):
        """A copy with other values."""
        made = Settings.__new__(Settings)
        for slot in Settings.__slots__:
            setattr(made, slot, changes.pop(slot, getattr(self, slot)))
        if changes:
            raise TypeError("no setting is called {}".format(", ".join(sorted(changes))))
        return made

    def portable(self):
        """The settings that go into a pickle: no keys, no tokens, nothing that is open."""
        names = ("timeout", "connect_timeout", "serializer", "max_message", "safe")
        return {name: getattr(self, name) for name in names}


def check_seconds(what, value):
    """A number of seconds, or None for no limit; zero means no limit, as in Pyro5."""
    if value is None or value == 0:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError("{} is a number of seconds, not {!r}".format(what, value))
    return float(value)
