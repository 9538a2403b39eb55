"""Conversion of drivers' results to plain data.

Owns the rules by which objects become data. They are those of Pyro5's serializers, which differ
from each other: serpent writes a `timedelta` as seconds, json refuses it. The bytes are written
by the daemon; this module only sees to it that nothing but plain data goes there.

`marshal` takes anything that has a buffer for bytes, so a numpy array would silently become a
bytes object. Therefore every result is looked at by exact type. Plain results, by far the most,
are found out at C speed and sent as they are.
"""

import array
import collections
import datetime
import decimal
import enum
import numbers
import sys
import uuid
from collections.abc import ItemsView, KeysView, ValuesView

from . import pyro

SERPENT, MARSHAL, JSON, MSGPACK = 1, 2, 3, 4

# The deepest nesting that the daemon accepts.
MAX_DEPTH = 200

ATOMS = frozenset((int, float, str, bool, type(None), bytes, complex))
_CONTAINERS = frozenset((list, tuple, dict, set, frozenset))
_PLAIN = ATOMS | _CONTAINERS


def plain(value, serializer, hosted=None, is_result=False):
    """`value` as plain data, by the rules of the serializer with that id.

    `hosted` finds the proxy of a registered object (`hosted.proxy_state(obj)`), if there is any. As
    the result of a call, no other object of a service's class is sent.
    """
    if is_plain(value):
        return value
    try:
        return _RULES[serializer](hosted, is_result).convert(value, 0)
    except RecursionError:
        raise _too_deep() from None


def is_plain(value, depth=0):
    """Whether `value` consists of the types only that `marshal` writes as what they are."""
    kind = type(value)
    if kind in ATOMS:
        return True
    if kind not in _CONTAINERS or depth > MAX_DEPTH:
        return False
    if not value:
        return True
    if kind is dict:
        # keys that hold anything else than atoms are tuples, and looked at one by one
        if not set(map(type, value)) <= ATOMS and not all(is_plain(key, depth + 1) for key in value):
            return False
        value = value.values()
    kinds = set(map(type, value))
    if kinds <= ATOMS:
        return True
    if not kinds <= _PLAIN:
        return False
    return all(is_plain(item, depth + 1) for item in value if type(item) in _CONTAINERS)


def _too_deep():
    return ValueError("the result is nested more than {} levels deep".format(MAX_DEPTH))


def _sendable_number(value):
    """The plain number of a numpy scalar, the list of a numpy array; else `value` itself."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, (numpy.ndarray, numpy.generic)):
        return value
    made = value.tolist()
    if isinstance(made, numpy.generic):  # extended precision has no plain counterpart
        return complex(made) if isinstance(made, numpy.complexfloating) else float(made)
    return made


def class_name(obj):
    return "{}.{}".format(type(obj).__module__, type(obj).__name__)


def _own_getstate(obj):
    """Whether the class says itself what its state is (every object can, since Python 3.11)."""
    getstate = getattr(type(obj), "__getstate__", None)
    return getstate is not None and getstate is not getattr(object, "__getstate__", None)


class _Rules:
    """Rules common to the serializers: containers, numpy, cycles, objects' state."""

    name = ""
    no_proxy = "a proxy stands for an object that is registered, and for no other of its class"

    def __init__(self, hosted, is_result):
        self._hosted = hosted
        self._is_result = is_result
        self._active = set()

    def convert(self, value, depth):
        kind = type(value)
        if kind in ATOMS:
            return value
        if kind in _CONTAINERS:
            return self._nested(value, depth, self._container)
        number = _sendable_number(value)
        if number is not value:
            return number if is_plain(number, depth) else self.convert(number, depth)
        return self._nested(value, depth, self._object)

    def _nested(self, value, depth, convert):
        if depth > MAX_DEPTH:
            raise _too_deep()
        key = id(value)
        if key in self._active:
            raise ValueError("Circular reference detected ({})".format(type(value).__name__))
        self._active.add(key)
        try:
            return convert(value, depth + 1)
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

    def _proxy(self, value):
        """The class dict of the proxy that stands for a registered object, or None."""
        state = None if self._hosted is None else self._hosted.proxy_state(value)
        return None if state is None else {"__class__": "Pyro5.client.Proxy", "state": state}

    def _check_registered(self, value):
        """Refuses an object that a client could take for an instrument. The client could not use
        its attributes either, and the client's error does not name the method."""
        if self._is_result and self._hosted is not None and self._hosted.is_of_service_class(value):
            raise pyro.error_class("SerializeError")(
                "unsupported serialized class: {}: {}".format(class_name(value), self.no_proxy)
            )

    def _class_dict(self, value, depth):
        """Data of an unknown object, in every serializer but serpent."""
        for cls, converter in list(pyro.class_converters().items()):
            if isinstance(value, cls):
                return self.convert(converter(value), depth)
        if isinstance(value, BaseException):
            return self.convert(
                {
                    "__class__": class_name(value),
                    "__exception__": True,
                    "args": value.args,
                    "attributes": dict(vars(value)),
                },
                depth,
            )
        if _own_getstate(value):
            state = value.__getstate__()
            if isinstance(state, dict):
                return self.convert(state, depth)
        self._check_registered(value)
        state = _state(value)
        if state is None:
            raise pyro.error_class("SerializeError")(
                "don't know how to serialize class {} using serializer {}. "
                "Give it vars() or an appropriate __getstate__".format(type(value), self.name)
            )
        state["__class__"] = class_name(value)
        return self.convert(state, depth)


def _state(value):
    """The attributes of an object as a new dict; None if it has none that can be listed."""
    if isinstance(value, enum.Enum):
        return None  # its attributes are those of its class's machinery
    try:
        return dict(vars(value))
    except TypeError:
        if hasattr(value, "__slots__"):
            return {slot: getattr(value, slot) for slot in value.__slots__}
    return None


class _Serpent(_Rules):
    name = "SerpentSerializer"

    _LIKE = {
        collections.deque: list,
        collections.UserDict: dict,
        collections.UserList: list,
        collections.UserString: str,
    }

    def _key(self, key, depth):
        self._check_hashable(key)
        return self.convert(key, depth)

    def _set(self, value, depth):
        for item in value:
            self._check_hashable(item)
        return super()._set(value, depth)

    def _check_hashable(self, key):
        kind = type(key)
        if kind in (bool, bytes, str, tuple) or issubclass(kind, (numbers.Number, enum.Enum)):
            return
        if _sendable_number(key) is not key:
            return
        raise TypeError(
            "one of the keys in a dict or set is not of a primitive hashable type: {}. Use simple "
            "types as keys or use a list or tuple as container.".format(kind)
        )

    def _object(self, value, depth):
        kind = type(value)
        if kind in (bytearray, memoryview):
            return bytes(value)
        if kind in self._LIKE:
            return self.convert(self._LIKE[kind](value), depth)
        special = self._special(value, depth)
        if special is not None:
            return special[0]
        for base in kind.__mro__:
            rule = self._BY_BASE.get(base)
            if rule is not None:
                return self.convert(rule(value), depth)
        return self._default(value, depth)

    def _special(self, value, depth):
        """The result, in a tuple, of what is registered for the class; None if nothing is."""
        if isinstance(value, (KeysView, ValuesView, ItemsView)):
            return (self._items(value, depth),)
        if isinstance(value, collections.OrderedDict):
            state = {"__class__": "collections.OrderedDict", "items": list(value.items())}
            return (self.convert(state, depth),)
        if isinstance(value, enum.Enum):
            return (self.convert(value.value, depth),)
        proxy = self._proxy(value)
        if proxy is not None:
            return (proxy,)
        own = pyro.class_converters()
        for cls, writer in list(pyro.serpent_converters().items()):
            if isinstance(value, cls):
                if cls in own:
                    return (self.convert(own[cls](value), depth),)
                return (self._written(value, writer, depth),)
        return None

    def _written(self, value, writer, depth):
        """Output for `value` of a function registered with serpent itself."""
        seen = _Writer(self)
        text = []
        writer(value, seen, text, 0)
        if seen.value is not _Writer.NOTHING:
            if seen.value is value:
                return self._default(value, depth)
            return self.convert(seen.value, depth)
        import ast

        return ast.literal_eval("".join(text))

    def _default(self, value, depth):
        if _own_getstate(value):
            state = value.__getstate__()
            if not isinstance(state, dict):
                return self.convert(state, depth)
            state = dict(state)
            state.setdefault("__class__", class_name(value))
            return self.convert(state, depth)
        self._check_registered(value)
        state = _state(value)
        if state is None:
            raise TypeError(
                "don't know how to serialize class {}. Give it vars() or an appropriate "
                "__getstate__".format(type(value))
            )
        state["__class__"] = class_name(value)
        return self.convert(state, depth)

    _BY_BASE = {
        float: float.__pos__,
        complex: complex.__pos__,
        tuple: lambda value: tuple(iter(value)),
        list: list,
        dict: lambda value: dict(value.items()),
        set: set,
        frozenset: frozenset,
        decimal.Decimal: str,
        datetime.datetime: lambda value: value.isoformat(),
        datetime.date: lambda value: value.isoformat(),
        datetime.timedelta: lambda value: value.total_seconds(),
        datetime.time: str,
        uuid.UUID: str,
        array.array: lambda value: _array(value),
        BaseException: lambda value: {
            "__class__": class_name(value),
            "__exception__": True,
            "args": value.args,
            "attributes": dict(vars(value)),
        },
    }


class _Writer:
    """Stands in for serpent's serializer, to see what a registered function hands to it."""

    NOTHING = object()
    module_in_classname = True
    indent = False
    bytes_repr = False

    def __init__(self, rules):
        self.value = _Writer.NOTHING
        self.serialized_obj_ids = set()
        self._rules = rules

    def _take(self, value, out, level):
        if out:  # in the midst of a text that the function writes itself
            out.append(repr(self._rules.convert(value, 0)))
        else:
            self.value = value

    def __getattr__(self, name):
        if name == "_serialize" or name.startswith("ser_"):
            return self._take
        raise AttributeError(name)

    def getclass_name(self, obj):
        return class_name(obj)


def _array(value):
    return value.tounicode() if value.typecode == "u" else value.tolist()


class _Marshal(_Rules):
    name = "MarshalSerializer"
    no_proxy = "with marshal there is no proxy to stand for it"

    def _object(self, value, depth):
        if type(value) is array.array:
            return _array(value)
        if depth == 1:
            # only a result as a whole becomes a dict; what it holds has to be plain
            if isinstance(value, uuid.UUID):
                return str(value)
            if type(value) is bytearray:
                return bytes(value)
            if not isinstance(value, (str, int, float, complex, tuple, set, frozenset, list, dict)):
                return self._class_dict(value, depth)
        elif type(value) in (bytearray, memoryview):
            return bytes(value)
        raise ValueError("unmarshallable object of {}".format(type(value)))


class _Packed(_Rules):
    """Rules common to json and msgpack."""

    def convert(self, value, depth):
        # subclasses count as what they derive from
        kind = type(value)
        if kind not in ATOMS and kind not in _CONTAINERS:
            number = _sendable_number(value)
            if number is not value:
                return number if is_plain(number, depth) else self.convert(number, depth)
            for base, rule in self._BASES:
                if isinstance(value, base):
                    return rule(value) if base in ATOMS else super().convert(rule(value), depth)
        return super().convert(value, depth)

    _BASES = (
        (str, str.__str__),
        (int, int.__pos__),
        (float, float.__pos__),
        (tuple, list),
        (list, list),
        (dict, lambda value: dict(value.items())),
    )

    def _set(self, value, depth):
        if type(value) is frozenset:
            return self._class_dict(value, depth)
        return tuple(self._items(value, depth))

    def _object(self, value, depth):
        proxy = self._proxy(value)
        if proxy is not None:
            return proxy
        replace = pyro.type_replacement(type(value), _ID_OF[type(self)])
        if replace is not None:
            replaced = replace(value)
            if replaced is not value:
                return self.convert(replaced, depth)
        if isinstance(value, set):
            return tuple(self._items(value, depth))
        if isinstance(value, (uuid.UUID, decimal.Decimal)):
            return str(value)
        if isinstance(value, array.array):
            return _array(value)
        return self._known(value, depth)


class _Json(_Packed):
    name = "JsonSerializer"

    def _key(self, key, depth):
        if isinstance(key, (str, int, float)) or key is None:
            return self.convert(key, depth)
        number = _sendable_number(key)
        if number is not key:
            return number
        raise TypeError(
            "keys must be str, int, float, bool or None, not {}".format(type(key).__name__)
        )

    def _known(self, value, depth):
        if isinstance(value, datetime.date):
            return value.isoformat()
        return self._class_dict(value, depth)


class _Msgpack(_Packed):
    name = "MsgpackSerializer"

    def _known(self, value, depth):
        if type(value) in (bytearray, memoryview):
            return bytes(value)
        if isinstance(value, datetime.date):
            # Pyro5 has extension codes for these; on the way to Rust they are class dicts
            if getattr(value, "tzinfo", None):
                raise pyro.error_class("SerializeError")(
                    "msgpack cannot serialize datetime with timezone info"
                )
            if isinstance(value, datetime.datetime):
                return {"__class__": "datetime.datetime", "timestamp": value.timestamp()}
            return {"__class__": "datetime.date", "ordinal": value.toordinal()}
        return self._class_dict(value, depth)


_RULES = {SERPENT: _Serpent, MARSHAL: _Marshal, JSON: _Json, MSGPACK: _Msgpack}
_ID_OF = {rules: number for number, rules in _RULES.items()}
