"""Ferrolab for Python: a client of labs, and decorators for the classes of drivers.

    import ferrolab

    lab = ferrolab.connect()
    laser = lab["lab.laser"]
    laser.power = 5

A driver that Ferrolab hosts may mark its class with Pyro5's decorators or with the ones here:

    from ferrolab import behavior, expose

    @expose
    @behavior(instance_mode="single")
    class Thermometer:
        def celsius(self):
            return 21.5

A worker of Ferrolab brings the decorators along. The client is imported when it is first used.
"""

from .client.decorators import behavior, callback, expose, oneway
from .client.quantities import Range, Unit

# Where the client's names are.
_CLIENT = {
    "AioLab": "aio.lab",
    "AioProxy": "aio.lock",
    "AioWatch": "aio.watch",
    "BatchProxy": "proxy",
    "CommunicationError": "errors",
    "ConnectionClosedError": "errors",
    "DaemonError": "errors",
    "History": "history",
    "Lab": "lab",
    "Lock": "lock",
    "LockError": "errors",
    "LockLost": "errors",
    "Lost": "watch",
    "MessageTooLargeError": "errors",
    "NamingError": "errors",
    "ProtocolError": "errors",
    "Proxy": "proxy",
    "PyroError": "errors",
    "RemoteError": "errors",
    "Sample": "watch",
    "SecurityError": "errors",
    "SerializeError": "errors",
    "Session": "session",
    "TimeoutError": "errors",
    "URI": "uri",
    "Watch": "watch",
    "abort": "abort",
    "close": "proxy",
    "connect": "lab",
    "errors": None,
    "locate_ns": "locate",
    "locked": "lock",
    "register": "plain",
    "register_exception": "class_dict",
}

__all__ = ["Range", "Unit", "behavior", "callback", "expose", "oneway", *sorted(_CLIENT)]


def __getattr__(name):
    import importlib

    if name not in _CLIENT:
        raise AttributeError("module 'ferrolab' has no attribute {!r}".format(name))
    client = __name__ + ".client"
    try:
        # It adds `locked` to what proxies offer.
        importlib.import_module(client + ".lock")
        module = importlib.import_module("{}.{}".format(client, _CLIENT[name] or name))
    except ModuleNotFoundError as error:
        if not str(error.name).startswith(__name__):
            raise
        raise ImportError(
            "a worker has the decorators of ferrolab only; install ferrolab in this interpreter for "
            "ferrolab.{}".format(name)
        ) from error
    value = getattr(module, name) if _CLIENT[name] else module
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
