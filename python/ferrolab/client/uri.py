"""Addresses of objects: `PYRO:object@host:port`, `PYRO:object@./u:path`, `PYRONAME:name`."""

import ipaddress
import re
import socket

_URI = re.compile(r"(PYRO|PYRONAME|PYROMETA):([^\s@]+)(?:@(\S+))?$")
_DEFAULT_NAMESERVER_PORT = 9090


class URI:
    """An address. `str()` of it is Pyro5's text.

    `tls` is the TLS context for its server, where the directory that has told it knows one.
    `is_elsewhere`: another lab's directory has named it, so this lab's token is not sent there.
    `told_by`: the location of the server on another host that has named it. It must not lead to
    this host.
    """

    __slots__ = ("host", "is_elsewhere", "object", "port", "protocol", "sockname", "tls", "told_by")

    def __init__(self, text):
        self.tls = None
        self.is_elsewhere = False
        self.told_by = None
        if isinstance(text, URI):
            self.tls = text.tls
            self.is_elsewhere = text.is_elsewhere
            self.told_by = text.told_by
            text = str(text)
        match = _URI.match(text) if isinstance(text, str) else None
        if match is None or match.group(1) == "PYRO" and not match.group(3):
            raise ValueError(
                "not the URI of an object: {!r}; expected PYRO:object@host:port, "
                "PYRO:object@./u:path or PYRONAME:name".format(text)
            )
        self.protocol, self.object, location = match.groups()
        self.host = self.port = self.sockname = None
        if location is None:
            return
        if location.startswith("./u:"):
            self.sockname = location[4:]
            if not self.sockname:
                raise ValueError("the URI {!r} lacks the path of its socket".format(text))
            return
        self.host, self.port = split_address(
            location, _DEFAULT_NAMESERVER_PORT if self.protocol != "PYRO" else None
        )

    def beside(self, object_id):
        """The URI of another object of the same server."""
        made = URI("PYRO:{}@{}".format(object_id, self.location))
        made.tls, made.is_elsewhere, made.told_by = self.tls, self.is_elsewhere, self.told_by
        return made

    @property
    def location(self):
        """The part after `@`."""
        if self.sockname is not None:
            return "./u:" + self.sockname
        if self.host is None:
            return None
        return ("[{}]:{}" if ":" in self.host else "{}:{}").format(self.host, self.port)

    def __str__(self):
        location = self.location
        return "{}:{}{}".format(self.protocol, self.object, "@" + location if location else "")

    def __repr__(self):
        return "<URI {}>".format(self)

    def __eq__(self, other):
        return isinstance(other, URI) and str(self) == str(other)

    def __hash__(self):
        return hash(str(self))

    def __reduce__(self):
        return _unpickled, (str(self), self.is_elsewhere, self.told_by)


def _unpickled(text, is_elsewhere, told_by):
    made = URI(text)
    made.is_elsewhere, made.told_by = is_elsewhere, told_by
    return made


def split_addresses(text, default_port=None):
    """Host and port of each of `host:port,host:port`."""
    return [split_address(part.strip(), default_port) for part in text.split(",")]


def split_address(text, default_port=None):
    """Host and port of `host:port` or `[v6 address]:port`."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else None
        good = bool(bracket) and (not rest or port is not None)
    else:
        host, colon, port = text.partition(":")
        port = port if colon else None
        good = True
    if port is None and default_port is not None:
        port = default_port
    try:
        port = int(port)
    except (TypeError, ValueError):
        good = False
    if not good or not host or not 0 < port < 65536:
        raise ValueError("not an address: {!r}; expected host:port".format(text))
    return host, port


def leads_to_oneself(host):
    """Whether each host reaches itself by this name or address, in any spelling of it."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        # Reads `127.1` and `2130706433` as a connection does, and asks nobody for a name.
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return False
    addresses = [ipaddress.ip_address(entry[4][0].partition("%")[0]) for entry in found]
    addresses = [getattr(address, "ipv4_mapped", None) or address for address in addresses]
    return any(address.is_loopback or address.is_unspecified for address in addresses)


def is_own_address(host, *zone):
    """Whether a host is an address of this host: no other can be bound. A name does not count.

    `zone` is the rest of a socket's IPv6 address.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as own:
            own.bind((host, 0) + zone)
    except (OSError, ValueError):
        return False
    return True


def is_this_host(host):
    """Whether a host, by its name or address, is this one."""
    if leads_to_oneself(host):
        return True
    try:
        found = {address[4][0] for address in socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)}
    except OSError:
        return False
    return bool(found) and all(map(is_own_address, found))


def leads_here(sock):
    """Whether the other end of a TCP connection is on this host."""
    host, _, *zone = sock.getpeername()
    return leads_to_oneself(host) or host == sock.getsockname()[0] or is_own_address(host, *zone)


def own_host_only(uri, teller):
    """The reason why an address that another lab's server, at `teller`, has named is refused."""
    # Here it would lead to whatever this host has there.
    return "another lab's server, at {}, names {}, which is reachable on its own host only".format(
        teller, uri
    )
