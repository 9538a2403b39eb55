"""Nameservers: where names become addresses."""

import os
import socket

from .errors import NOT_STARTED, CommunicationError, NamingError
from .remote import RemoteObject
from .uri import URI, is_this_host, leads_to_oneself, split_addresses

NAMESERVER = "Pyro.NameServer"
# The object that shows a lab of Ferrolab, at the port of its nameserver.
LAB = "ferrolab.Lab"
DEFAULT_PORT = 9090
# The port on which nameservers answer searches, and the words of a search.
_BROADCAST_PORT = 9091
_SEARCH = b"GET_NSURI"
# Seconds that a search waits for an answer.
_SEARCH_TIMEOUT = 0.7
_SEARCHES = 3
# Bytes of an answer to a search.
_MAX_ANSWER = 4096


def find_nameserver(host="", port=None, broadcast=True):
    """The URI of a nameserver; of several (`host:port,host:port`), of the first that answers."""
    told = os.environ.get("PYRO_NS_PORT", "")
    port = port or (int(told) if told.isdigit() else DEFAULT_PORT)
    if host.startswith("./u:"):
        return URI("PYRO:{}@{}".format(NAMESERVER, host))
    if not host:
        host = os.environ.get("PYRO_NS_HOST", "")
        if not host:
            if _listens("localhost", port):
                return _uri("localhost", port)
            found = _search() if broadcast else None
            if found is not None:
                return found
            raise NamingError(
                "no nameserver on this machine (port {}){}; say where it is: host and port".format(
                    port, ", and none has answered a search of the network" if broadcast else ""
                )
            )
    if "," in host:
        return _first_living(split_addresses(host, port))
    return _uri(host, port)


def _first_living(addresses):
    for host, port in addresses:
        if _listens(host, port):
            return _uri(host, port)
    raise NamingError(
        "none of these nameservers answers: {}".format(
            ", ".join("{}:{}".format(host, port) for host, port in addresses)
        )
    )


def nameserver_uris(text, default_port=DEFAULT_PORT):
    """The URIs of nameservers that are written as `host:port,host:port`."""
    return [_uri(host, port) for host, port in split_addresses(text, default_port)]


def _uri(host, port):
    return URI("PYRO:{}@{}:{}".format(NAMESERVER, "[%s]" % host if ":" in host else host, port))


def _listens(host, port):
    try:
        socket.create_connection((host, port), 2).close()
    except OSError:
        return False
    return True


def _search():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.settimeout(_SEARCH_TIMEOUT)
        for _ in range(_SEARCHES):
            try:
                sock.sendto(_SEARCH, ("<broadcast>", _BROADCAST_PORT))
                answer, (address, _) = sock.recvfrom(_MAX_ANSWER)
                found = URI(answer.decode("ascii"))
            except (OSError, ValueError):
                continue
            if found.host in ("0.0.0.0", "::"):
                found.host = address
            return found
    return None


def resolve(uri, settings):
    """The address of the object that a `PYRONAME:` URI names."""
    if uri.protocol != "PYRONAME":
        raise ValueError("cannot look up {}: PYRO and PYRONAME are known".format(uri))
    if uri.host or uri.sockname:
        where = URI("PYRO:{}@{}".format(NAMESERVER, uri.location))
    else:
        where = find_nameserver(broadcast=settings.may_search)
    return look_up(where, uri.object, settings)


def look_up(nameserver, name, settings):
    """The URI of a name, from the nameserver at this URI."""
    remote = RemoteObject(nameserver, settings)
    try:
        found = URI(remote.call("lookup", (name,), None, 0, settings.connect_timeout))
        asked = remote.pool.own()
        if nameserver.is_elsewhere and not (asked is not None and asked.is_here):
            found.told_by = nameserver.location
    except CommunicationError as error:
        raise CommunicationError(
            "cannot look up {!r}: {}".format(name, error), outcome=NOT_STARTED
        ) from error
    finally:
        remote.pool.close()
    return found


def list_names(nameserver, settings):
    """URIs by name, as the nameserver at this URI lists them."""
    remote = RemoteObject(nameserver, settings)
    try:
        found = remote.call("list", (), None, 0, settings.connect_timeout)
    finally:
        remote.pool.close()
    if not isinstance(found, dict):
        return {}
    found.pop(NAMESERVER, None)
    return {name: str(uri) for name, uri in found.items() if isinstance(name, str)}


class Names:
    """Services that a nameserver knows, or each of several that share one directory."""

    def __init__(self, uris, settings):
        # The one that has answered last comes first.
        self._uris = [uris] if isinstance(uris, URI) else list(uris)
        self._settings = settings

    def __str__(self):
        return "the nameserver at {}".format(" or ".join(uri.location for uri in self._uris))

    def names(self):
        """URIs by name."""
        return self._ask(lambda uri: list_names(uri, self._settings))

    def look_up(self, name):
        """The URI of a name."""
        return self._ask(lambda uri: look_up(uri, name, self._settings))

    def _ask(self, ask):
        uris = self._uris
        for number, uri in enumerate(uris, 1):
            try:
                answer = ask(uri)
            except CommunicationError:
                if number == len(uris):
                    raise
                continue
            if number > 1:
                self._uris = [uri] + [other for other in uris if other is not uri]
            return answer

    def lab_rows(self):
        """The other labs that the nameserver's lab names; none that a stock nameserver does.

        A lab on `localhost` of another host is not that of this host: `told_by` is the other one.
        """
        uri, listing = self._ask(lambda uri: (uri, self._listing(uri)))
        rows = listing.get("labs") if isinstance(listing, dict) else None
        rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        own = [row for row in rows if isinstance(row.get("host"), str) and leads_to_oneself(row["host"])]
        if own and uri.sockname is None and not is_this_host(uri.host):
            for row in own:
                row["told_by"] = uri.host
        return rows

    def _listing(self, uri):
        """The services, other labs and more that the nameserver at this URI shows of its lab."""
        remote = RemoteObject(uri.beside(LAB), self._settings)
        try:
            return remote.call("listing", (), None, 0, self._settings.connect_timeout)
        finally:
            remote.pool.close()

    def history(self):
        """Nothing: a history of values is not in a nameserver."""
        raise NamingError(
            "{} knows no history of values: say where it is, at='HOST:PORT', with the port of "
            "`history` in the configuration of that host".format(self)
        )
