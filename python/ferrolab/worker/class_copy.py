"""Classes that belong to one service.

Two services of one class differ in attributes of the class: `_autoconnect_params`, `_pyroId`. So
a service may get a separate class, derived from the driver's. To `pickle`, and so to
`multiprocessing`, that is the driver's class, for another process knows no other.
"""

import copyreg
import operator
import types

from .logging_bridge import log

_first = operator.itemgetter(0)


class ByIdentity:
    """A dict of classes, which need not be hashable."""

    def __init__(self):
        self._items = {}

    def get(self, cls):
        """The value kept for a class; None if there is no value."""
        return self._items.get(id(cls), (None, None))[1]

    def setdefault(self, cls, value):
        """The same, after `value` has been kept where there was nothing."""
        # with the class itself, whose id is no other's then
        return self._items.setdefault(id(cls), (cls, value))[1]


# The originals of derived classes, and the metaclasses that these are made with.
_originals = ByIdentity()
_metaclasses = ByIdentity()


def original(cls):
    """The driver's class that `cls` was derived from, or `cls` itself."""
    return _originals.get(cls) or cls


def derived(cls):
    """A class like `cls` that no other service shares; `cls` itself if there can be none."""

    def fill(namespace):
        namespace["__module__"] = cls.__module__
        namespace["__qualname__"] = cls.__qualname__
        namespace["__doc__"] = cls.__doc__

    for keywords in ({"metaclass": _metaclass(type(cls))}, {}):
        try:
            own = types.new_class(cls.__name__, (cls,), keywords, fill)
        except Exception:
            log.debug("%r cannot be derived from", cls, exc_info=True)
        else:
            _originals.setdefault(own, cls)
            return own
    return cls


def _metaclass(base):
    """A metaclass whose classes `pickle` asks us about: those of `type` it looks up by name."""
    known = _metaclasses.get(base)
    if known is not None:
        return known
    try:
        metaclass = type(base.__name__, (base,), {"__module__": base.__module__})
        copyreg.pickle(metaclass, _pickled)
    except Exception:
        log.debug("%r cannot be derived from", base, exc_info=True)
        metaclass = base
    return _metaclasses.setdefault(base, metaclass)


def _pickled(cls):
    driver_class = original(cls)
    return cls.__qualname__ if driver_class is cls else (_first, ((driver_class,),))
