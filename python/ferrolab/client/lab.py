"""A lab: its services by name. `connect()` finds one."""

import os

from . import history, home as homes
from .errors import CommunicationError, NamingError
from .labs import MARK, ManyLabs
from .nameserver import NAMESERVER, Names, find_nameserver, nameserver_uris
from .proxy import made_proxy, remote_object, with_proxies
from .remote import RemoteObject
from .session import Session
from .settings import Settings
from .uri import URI
from .watch import Watch

# Where the lab is, for `connect()`: what its argument may be.
VARIABLE = "FERROLAB_LAB"
DEFAULT_NAMESERVER_PORT = 9090


def connect(where=None, **settings):
    """The lab at `where`: a nameserver (`host:port`), a URI, or the folder of a home.

    Of nameservers that share one directory there may be several, as `host:port,host:port`: one
    that does not answer is left for the next.

    Without it: the environment variable FERROLAB_LAB, then the lab that runs on this machine, then
    a nameserver on this machine or one that answers a search of the network.
    """
    made = with_proxies(Settings(**settings))
    return Lab(ManyLabs(_directory(where, made), made), made)


def _directory(where, settings):
    where = where or os.environ.get(VARIABLE)
    if where:
        return _named_directory(where, settings)
    path = homes.control_socket()
    if path is not None:
        home = homes.Home(path)
        if home.answers():
            return home
    try:
        return Names(find_nameserver(broadcast=settings.may_search), settings)
    except NamingError as error:
        raise NamingError(
            "no lab: none runs on this machine ({}), {} is not set, and {}".format(
                path, VARIABLE, error
            )
        ) from None


def _named_directory(where, settings):
    text = os.fspath(where) if isinstance(where, os.PathLike) else str(where)
    if text.startswith(("PYRO:", "PYRONAME:")):
        uri = URI(text)
        if uri.protocol == "PYRONAME":
            raise ValueError("{} names a service: ferrolab.Proxy({!r})".format(text, text))
        return Names(uri, settings)
    if text.startswith("./u:"):
        return Names(URI("PYRO:{}@{}".format(NAMESERVER, text)), settings)
    if isinstance(where, os.PathLike) or os.sep in text:
        return homes.Home(homes.control_socket(text))
    return Names(nameserver_uris(text, DEFAULT_NAMESERVER_PORT), settings)


class Lab:
    """Services by name: `lab["lab.laser"]` is a proxy, `list(lab)` the names.

    `lab["optics/lab.laser"]` is a service of another lab, which this one's configuration names.

    A name is looked up whenever a connection is opened: a service is found where it is then.
    """

    def __init__(self, directory, settings):
        self._directory = directory
        self._settings = settings
        self._proxies = {}
        self._aio = None

    def __getitem__(self, name):
        proxy = self._proxies.get(name)
        if proxy is None:
            # Two threads that ask at once get the same one.
            proxy = self._proxies.setdefault(name, made_proxy(self._remote(name)))
        return proxy

    def _remote(self, name):
        if not isinstance(name, str):
            raise TypeError("a service has a name, not {!r}".format(name))
        if name.startswith(("PYRO:", "PYRONAME:")):
            return remote_object(URI(name), self._settings)
        return RemoteObject(URI("PYRONAME:" + name), self._settings, self._directory.look_up)

    def services(self, labs=False):
        """URIs by name of what the lab has now; with `labs` also of the other labs that answer."""
        found = dict(sorted(self._directory.names().items()))
        if labs:
            for lab in self.labs().values():
                found.update((lab.name + MARK + name, uri) for name, uri in lab.services.items())
        return found

    def labs(self):
        """The other labs by name: `services`, or why one is `away`. Takes 1.5 seconds at most."""
        return self._directory.labs()

    def __iter__(self):
        return iter(self.services())

    def __len__(self):
        return len(self.services())

    def __contains__(self, name):
        if not isinstance(name, str) or MARK not in name:
            return name in self.services()
        try:
            return bool(self._directory.look_up(name))
        except (CommunicationError, NamingError):
            return False

    def keys(self):
        """The names of what the lab has now."""
        return list(self.services())

    _ipython_key_completions_ = keys

    def session(self, *names, wait=None, name=None, user=None, ttl=None):
        """Several services, locked for one block: all of them or none. See `Session`."""
        return Session(
            [self[each] for each in names], names, wait=wait, name=name, user=user, ttl=ttl
        )

    def watch(self, service, member):
        """Samples of a member's live value, from its value now on. See `Watch`."""
        return Watch(self._directory.uri_of, self._settings, service, member)

    def history(self, service, member, since=None, until=None, points=None, at=None):
        """Recorded values of a member: every sample, or `points` parts at most. See `History`.

        `since` and `until` are datetimes, Unix seconds, timedeltas ago, or texts such as `3h`. The
        history is this host's, or the one `at` host and port of another.
        """
        where = history.place_of(self._directory, service, at)
        query = history.Query(
            self._directory.own_name(service), member, since, until, points
        )
        return history.read(where, self._settings, query)

    @property
    def aio(self):
        """The same services for asyncio: `await lab.aio["lab.laser"].measure()`."""
        if self._aio is None:
            from .aio.lab import AioLab

            self._aio = AioLab(self._directory, self._settings)
        return self._aio

    def close(self):
        """Closes all connections; another call opens them again."""
        for proxy in list(self._proxies.values()):
            proxy._remote.pool.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return "<ferrolab.Lab: {}>".format(self._directory)
