"""Emergency stop: `ferrolab.abort(lab["lab.stage"], reason="it hits the lens")`."""

from .connection import DAEMON
from .errors import DaemonError
from .lock import user_name
from .proxy import remote_of
from .remote import RemoteObject
from .uri import URI

# Seconds for the daemon's answer: each `abort` method may take 10 s.
ANSWER_TIMEOUT = 60.0
REASON = "emergency stop"


def abort(proxy, reason=REASON, user=None):
    """Stops what runs in a service: calls its `abort` methods beside the running call.

    Needs no lock: that of another client is broken, whose owner is told the reason. Returns the
    names of the methods that were called. For a proxy of asyncio the result is to be awaited.
    """
    for kind, abort_of in _KINDS:
        if isinstance(proxy, kind):
            return abort_of(proxy, reason, user)
    remote = remote_of(proxy)
    uri = remote.resolve()
    daemon = RemoteObject(daemon_of(uri), remote.settings)
    try:
        check_offer(uri, daemon.members)
        arguments = request(uri, reason, user)
        return called(uri, daemon.call("abort", arguments, timeout=ANSWER_TIMEOUT))
    finally:
        daemon.pool.close()


# Proxies of other kinds, and the functions that abort for them.
_KINDS = []


def offer_abort(kind, abort_of):
    """Has `abort` call a function for these proxies."""
    _KINDS.append((kind, abort_of))


def daemon_of(uri):
    """The URI of the daemon that serves an object: it lets clients in for this when it is full."""
    return uri.beside(DAEMON)


def request(uri, reason, user):
    """The arguments of the daemon's method."""
    return str(uri), reason, user_name() if user is None else user


def check_offer(uri, members):
    """Refuses a daemon without such methods: the call would wait for the one that runs."""
    if "abort" not in members.methods:
        raise ValueError(
            "service {!r} has no `abort` methods: write `abort: [METHOD]` in its "
            "configuration".format(uri.object)
        )


def called(uri, answer):
    """The methods that were called, of the daemon's answer."""
    troubles = answer.get("troubles")
    if troubles:
        raise DaemonError("{!r}: {}".format(uri.object, "; ".join(troubles)))
    return list(answer.get("called") or ())
