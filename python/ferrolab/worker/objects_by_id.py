"""The driver's view of what its daemon serves: `self._pyroDaemon.objectsById`.

Owns no object: each look asks the hosted daemon.
"""

from collections.abc import Mapping


class ObjectsById(Mapping):
    """The objects and classes that are served here, by their ids, as they are at each look: those
    registered with `weak=True` as weak references, as Pyro5 has them."""

    def __init__(self, hosted):
        self._hosted = hosted

    def __getitem__(self, objectId):
        hosted = self._hosted
        with hosted._lock:
            if objectId in hosted._registered:
                return hosted._registered[objectId]
            service = hosted._services.get(objectId)
        if service is not None:
            return service.target
        if objectId == "Pyro.Daemon":
            return _DaemonObject(hosted)
        raise KeyError(objectId)

    def __iter__(self):
        with self._hosted._lock:
            return iter(["Pyro.Daemon", *self._hosted._services])

    def __len__(self):
        return 1 + len(self._hosted._services)

    def __repr__(self):
        return repr(dict(self))

    def copy(self):
        """The same as a dict."""
        return dict(self)


class _DaemonObject:
    """The object that clients know as `Pyro.Daemon`; its calls are the daemon process's."""

    def __init__(self, hosted):
        self._hosted = hosted

    def registered(self):
        """The ids of all objects."""
        return list(self._hosted.objectsById)

    def ping(self):
        """Does nothing."""
