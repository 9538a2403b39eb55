"""Proxies: remote objects as Python objects.

A proxy has no public method: every public name is the service's. The functions of the package
(`ferrolab.locked`, `ferrolab.batch`, `ferrolab.close`) take a proxy instead. Names with `_pyro` are
those of Pyro5's proxies, for programs that use them.
"""

import difflib
import weakref

from . import message, serializers
from .nameserver import resolve
from .plain import register
from .remote import RemoteObject, first_failure
from .settings import Settings, check_seconds
from .uri import URI

# Names that a proxy offers where the service has no member of the name.
_FALLBACKS = {}
_set = object.__setattr__


class Method:
    """A method of a service; `with_timeout(5)` is the same with a time limit of 5 seconds."""

    __slots__ = ("__weakref__", "_flags", "_name", "_remote", "_safe", "_timeout")

    def __init__(self, remote, name, flags, timeout, safe):
        self._remote = remote
        self._name = name
        self._flags = flags
        self._timeout = timeout
        self._safe = safe

    def __call__(self, *args, **kwargs):
        return self._remote.call(self._name, args, kwargs, self._flags, self._timeout, self._safe)

    def with_timeout(self, seconds):
        """The same method; a call raises `TimeoutError` after this many seconds."""
        seconds = check_seconds("timeout", seconds)
        return type(self)(self._remote, self._name, self._flags, seconds, self._safe)

    @property
    def __name__(self):
        return self._name

    @property
    def __doc__(self):
        return self._remote.text_of(self._name)

    @property
    def __signature__(self):
        signature = self._remote.signature_of(self._name)
        if signature is None:
            raise AttributeError("__signature__")  # any arguments, as __call__ has them
        return signature

    def __repr__(self):
        return "<remote method {} of {}>".format(self._name, self._remote.uri)


# Method `lock` or `unlock`, called by its name: the lock belongs to the thread's connection.
class _LockMethod(Method):
    __slots__ = ()
    # The member's text: a class has its own, or None.
    __doc__ = Method.__dict__["__doc__"]

    def __call__(self, *args, **kwargs):
        answer = super().__call__(*args, **kwargs)
        connection = self._remote.pool.own()
        if connection is not None:
            connection.has_lock = self._name == "lock" and answer is not False
        return answer


class Proxy:
    """A remote object. Threads may share it: each has its own connection.

    `timeout` is the time limit of each call in seconds. `safe` names the members whose calls may be
    made again when their connection is lost.
    """

    # The instance's dict has methods that were used: another use is a plain lookup.
    __slots__ = ("__dict__", "__weakref__", "_remote")

    def __init__(self, uri, connected_socket=None, **settings):
        if connected_socket is not None:
            raise TypeError("a proxy of Ferrolab opens its own connections")
        if isinstance(uri, Proxy):
            uri = uri._remote.uri
        _show(self, remote_object(URI(uri), with_proxies(Settings(**settings))))

    def __getattr__(self, name):
        remote = self._remote
        if name.startswith("_"):
            raise AttributeError(name)
        members = remote.members
        if name in members.methods:
            flags = message.ONEWAY if name in members.oneway else 0
            safe = name in remote.settings.safe
            method = Method(remote, name, flags, remote.settings.timeout, safe)
            if name in ("lock", "unlock") and "islocked" in members.methods:
                method = _LockMethod(remote, name, flags, remote.settings.timeout, safe)
            self.__dict__[name] = method
            return method
        if name in members.attributes:
            return remote.read_attribute(name)
        fallback = _FALLBACKS.get(name)
        if fallback is not None:
            return fallback.__get__(self)
        raise AttributeError(_unknown(remote, name))

    def __setattr__(self, name, value):
        if name.startswith("_pyro"):
            return _set(self, name, value)
        remote = self._remote
        if name not in remote.members.attributes:
            raise AttributeError(_unknown(remote, name))
        remote.write_attribute(name, value)

    def __dir__(self):
        return sorted(set(object.__dir__(self)) | set(self._remote.members.names()))

    def __repr__(self):
        return "<ferrolab.Proxy of {}>".format(self._remote.uri)

    def __eq__(self, other):
        return isinstance(other, Proxy) and other._remote.uri == self._remote.uri

    def __hash__(self):
        return hash(self._remote.uri)

    def __bool__(self):
        return True

    def __len__(self):
        return self._special("__len__")

    def __getitem__(self, key):
        return self._special("__getitem__", key)

    def __setitem__(self, key, value):
        self._special("__setitem__", key, value)

    def __delitem__(self, key):
        self._special("__delitem__", key)

    def __iter__(self):
        return iter(self._special("__iter__"))

    def _special(self, name, *args):
        return self._remote.call(name, args, None, 0, self._remote.settings.timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._remote.pool.close()

    def __copy__(self):
        return made_proxy(
            RemoteObject(self._remote.uri, self._remote.settings, self._remote.resolve_name)
        )

    def __deepcopy__(self, memo):
        return self.__copy__()

    def __reduce__(self):
        return _unpickled, (self._remote.uri, self._remote.settings.portable())

    # The names of Pyro5's proxies.

    @property
    def _pyroUri(self):
        return self._remote.uri

    @property
    def _pyroTimeout(self):
        return self._remote.settings.timeout

    @_pyroTimeout.setter
    def _pyroTimeout(self, seconds):
        self._pyro_change(timeout=check_seconds("timeout", seconds))

    @property
    def _pyroSerializer(self):
        name = self._remote.settings.serializer
        return None if name == "auto" else name

    @_pyroSerializer.setter
    def _pyroSerializer(self, name):
        self._pyro_change(serializer=serializers.check_name(name or "auto"))

    @property
    def _pyroHandshake(self):
        return self._remote.settings.handshake

    @_pyroHandshake.setter
    def _pyroHandshake(self, data):
        self._pyro_change(handshake=data, is_lab_handshake=False)

    @property
    def _pyroMethods(self):
        return set(self._remote.members.methods)

    @property
    def _pyroAttrs(self):
        return set(self._remote.members.attributes)

    @property
    def _pyroOneway(self):
        return set(self._remote.members.oneway)

    def _pyroBind(self):
        return self._remote.members is not None

    def _pyroRelease(self):
        self._remote.pool.close()

    def _pyroReconnect(self, tries=0):
        self._remote.pool.close()
        self._pyroBind()

    def _pyroClaimOwnership(self):
        """Nothing to do: every thread may use a proxy."""

    def _pyro_change(self, **changes):
        remote = self._remote
        settings = remote.settings.replaced(**changes)
        remote.settings = remote.pool.settings = settings
        self.__dict__.clear()
        if "timeout" not in changes:
            remote.pool.close()


def made_proxy(remote):
    """The proxy of a remote object."""
    proxy = Proxy.__new__(Proxy)
    _show(proxy, remote)
    return proxy


def remote_object(uri, settings):
    """The remote object of a URI, whose name is looked up by the nameserver that the URI means."""
    return RemoteObject(uri, settings, uri_resolver(uri, settings))


def uri_resolver(uri, settings):
    """The function that looks up the name of a URI."""
    return lambda _: resolve(uri, settings)


def _show(proxy, remote):
    _set(proxy, "_remote", remote)
    remote.shown_by = weakref.ref(proxy)


def with_proxies(settings):
    """`settings` under which URIs that come as results become proxies."""
    settings.make_proxy = lambda uri, settings: made_proxy(remote_object(uri, settings))
    return settings


def _proxy_state(proxy):
    """A proxy as an argument; the receiver gets no token of ours."""
    return {
        "__class__": "Pyro5.client.Proxy",
        "state": (str(proxy._pyroUri), (), (), (), "hello", None),
    }


def _uri_state(uri):
    state = (uri.protocol, uri.object, uri.sockname, uri.host, uri.port)
    return {"__class__": "Pyro5.core.URI", "state": state}


register(Proxy, _proxy_state)
register(URI, _uri_state)


def _unpickled(uri, settings):
    return Proxy(uri, **settings)


def _unknown(remote, name):
    members = remote.members
    if name in members.methods:
        return "{} is a method of {} and cannot be set".format(name, remote.uri.object)
    close = difflib.get_close_matches(name, members.names(), 3)
    hint = (
        "did you mean {}?".format(" or ".join(close))
        if close
        else "it has " + _listed(members.names())
    )
    return "{} has no member {!r}: {}".format(remote.uri.object, name, hint)


def _listed(names):
    shown = ", ".join(names[:20]) or "none"
    return shown + (", …" if len(names) > 20 else "")


def remote_of(proxy):
    """The remote object of a proxy."""
    if not isinstance(proxy, Proxy):
        raise TypeError("not a proxy of ferrolab: {!r}".format(proxy))
    return proxy._remote


def offer(name, function):
    """Has proxies offer `function` as a method, unless their service has a member of the name."""
    _FALLBACKS[name] = function


def close(proxy):
    """Closes the connections of a proxy. The next call opens another."""
    remote_of(proxy).pool.close()


def uri_of(proxy):
    """The address of a proxy's object."""
    return URI(remote_of(proxy).uri)


class BatchProxy:
    """Calls that are made together, with one message: `batch.move(1)`, then `batch()`.

    As in Pyro5, a call returns the results in order, and the first exception ends them.
    """

    def __init__(self, proxy):
        self._remote = remote_of(proxy)
        self._calls = []

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)

        def add(*args, **kwargs):
            self._calls.append((name, args, kwargs))

        return add

    def __call__(self, oneway=False):
        calls, self._calls = self._calls, []
        results = self._remote.call_batch(calls, oneway)
        return None if oneway else _each(results)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._calls = []


def _each(results):
    values, failure = first_failure(results)
    yield from values
    if failure is not None:
        raise failure
