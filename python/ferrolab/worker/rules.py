"""Rules common to all serializers: plain types, containers, numpy, cycles, an object's state.

The order is Pyro5's for each serializer. A function that the driver has registered for a class
comes before every rule of this worker, wherever Pyro5 consults it.
"""

import enum
import sys

from ..client import arrays
from . import pyro

SERPENT, MARSHAL, JSON, MSGPACK = 1, 2, 3, 4

# The deepest nesting that the daemon accepts.
MAX_DEPTH = 200

ATOMS = frozenset((int, float, str, bool, type(None), bytes, complex))
CONTAINERS = frozenset((list, tuple, dict, set, frozenset))

# Items of which a set of their types is made sooner than each is looked at.
_MANY = 16


def is_plain(value, atoms=ATOMS, containers=CONTAINERS, keys=CONTAINERS, depth=0):
    """Whether `value` consists of these types only, which are written as what they are.

    `keys` are the containers that a key of a dict may be.
    """
    kind = type(value)
    if kind in atoms:
        return True
    if kind not in containers or depth > MAX_DEPTH:
        return False
    if kind is dict:
        if not _are_plain(value, atoms, keys, keys, depth + 1):
            return False
        value = value.values()
    return _are_plain(value, atoms, containers, keys, depth + 1)


def _are_plain(items, atoms, containers, keys, depth):
    """Whether all of these are plain: the items of a container, or the keys of a dict."""
    if len(items) >= _MANY:
        kinds = set(map(type, items))
        if kinds <= atoms:
            return True
        if not kinds <= atoms | containers:
            return False
    # A copy, since the driver's other threads may change a dict or a set meanwhile.
    for item in tuple(items):
        if type(item) not in atoms and not is_plain(item, atoms, containers, keys, depth):
            return False
    return True


def too_deep():
    """The error of a result that is nested too deeply."""
    return ValueError("the result is nested more than {} levels deep".format(MAX_DEPTH))


def class_name(obj):
    """The class's name as class dicts have it."""
    return "{}.{}".format(type(obj).__module__, type(obj).__name__)


def numpy_plain(value):
    """The plain number of a numpy scalar, the list of a numpy array; else `value` itself."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, (numpy.ndarray, numpy.generic)):
        return value
    made = value.tolist()
    if isinstance(made, numpy.generic):  # extended precision has no plain counterpart
        return complex(made) if isinstance(made, numpy.complexfloating) else float(made)
    return made


def array_plain(value):
    """The text or the list of an `array.array`."""
    return value.tounicode() if value.typecode == "u" else value.tolist()


def has_own_getstate(obj):
    """Whether the class says itself what its state is (every object can, since Python 3.11)."""
    getstate = getattr(type(obj), "__getstate__", None)
    return getstate is not None and getstate is not getattr(object, "__getstate__", None)


def state_of(value):
    """The attributes of an object as a new dict; None if it has none that can be listed."""
    if isinstance(value, enum.Enum):
        return None  # its attributes are those of its class's machinery
    try:
        return dict(vars(value))
    except TypeError:
        if hasattr(value, "__slots__"):
            return {slot: getattr(value, slot) for slot in value.__slots__}
    return None


def exception_state(error, **more):
    """The class dict of an exception for which no function is registered."""
    return {
        "__class__": class_name(error),
        "__exception__": True,
        "args": error.args,
        "attributes": dict(vars(error), **more),
    }


class Rules:
    """The conversion of one result."""

    # Types that the serializer writes as what they are, whatever is registered.
    atoms = ATOMS
    containers = CONTAINERS
    name = ""
    number = 0
    no_proxy = "a proxy stands for an object that is registered, and for no other of its class"

    def __init__(self, hosted, is_result):
        self._hosted = hosted
        self._is_result = is_result
        self._active = set()
        # The innermost value that could not be converted, in a tuple.
        self.failed = ()
        # The values for which a registered function was called, and whether one has raised.
        self.asked = []
        self.has_raised = False
        # Whether one gave serpent something else than the dict that is wanted.
        self.gave_no_dict = False
        # Whether arrays stay, marked, for a caller that knows them as packed bytes.
        self.keeps_arrays = False

    @classmethod
    def is_plain(cls, value):
        """Whether a value needs no conversion."""
        return is_plain(value, cls.atoms, cls.containers)

    def convert(self, value, depth):
        """`value` as plain data."""
        kind = type(value)
        if kind in self.atoms:
            return value
        if kind in CONTAINERS:
            return self._nested(value, depth, self._container)
        return self._nested(value, depth, self._object)

    def _nested(self, value, depth, convert):
        if depth > MAX_DEPTH:
            raise too_deep()
        key = id(value)
        if key in self._active:
            raise ValueError("Circular reference detected ({})".format(type(value).__name__))
        self._active.add(key)
        try:
            return convert(value, depth + 1)
        except BaseException:
            self.failed = self.failed or (value,)
            raise
        finally:
            self._active.discard(key)

    def _container(self, value, depth):
        kind = type(value)
        if kind is dict:
            return {
                self._key(key, depth): self.convert(item, depth) for key, item in value.items()
            }
        if kind in (set, frozenset):
            return self._set(value, depth)
        return kind([self.convert(item, depth) for item in value])

    def _items(self, value, depth):
        return [self.convert(item, depth) for item in value]

    def _key(self, key, depth):
        return self.convert(key, depth)

    def _set(self, value, depth):
        return type(value)(self._items(value, depth))

    def _object(self, value, depth):
        raise NotImplementedError

    def _numpy(self, value, depth):
        """A numpy value as plain data, in a tuple; None for anything else."""
        if self.keeps_arrays:
            kept = arrays.keep(value)
            if kept is not None:
                return (kept,)
        made = numpy_plain(value)
        if made is value:
            return None
        return (made if self.is_plain(made) else self.convert(made, depth),)

    def _proxy(self, value):
        """The class dict of the proxy that stands for a registered object, or None."""
        state = None if self._hosted is None else self._hosted.proxy_state(value)
        return None if state is None else {"__class__": "Pyro5.client.Proxy", "state": state}

    def _check_registered(self, value):
        """Refuses an object that a client could take for an instrument. The client could not use
        its attributes either, and the client's error does not name the method."""
        if self._is_refused(value):
            raise pyro.error_class("SerializeError")(
                "unsupported serialized class: {}: {}".format(class_name(value), self.no_proxy)
            )

    def _is_refused(self, value):
        return (
            self._is_result
            and self._hosted is not None
            and self._hosted.is_of_service_class(value)
        )

    def _converted(self, value, depth):
        """The output of a function that is registered for its class or a base, in a tuple; None
        without such a function."""
        converter = pyro.class_converter(value)
        if converter is None:
            return None
        return (self.convert(self._call(value, converter, value), depth),)

    def _call(self, value, function, *args):
        """Calls a registered function for `value`."""
        self.asked.append(value)
        try:
            return function(*args)
        except BaseException:
            # Not where the function has had something else converted.
            self.has_raised = not self.failed and not self.gave_no_dict
            raise

    def _class_dict(self, value, depth):
        """Data of an object without a rule, in every serializer but serpent."""
        made = self._converted(value, depth) or self._numpy(value, depth)
        if made is not None:
            return made[0]
        if isinstance(value, BaseException):
            return self.convert(exception_state(value), depth)
        if has_own_getstate(value):
            state = value.__getstate__()
            if isinstance(state, dict):
                return self.convert(state, depth)
        self._check_registered(value)
        state = state_of(value)
        if state is None:
            raise pyro.error_class("SerializeError")(
                "don't know how to serialize class {} using serializer {}. "
                "Give it vars() or an appropriate __getstate__".format(type(value), self.name)
            )
        if self._hosted is not None and state.get("_pyroDaemon") is self._hosted:
            state["_pyroDaemon"] = None
        state["__class__"] = class_name(value)
        return self.convert(state, depth)
