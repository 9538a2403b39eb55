"""Rules of serpent, which asks the functions registered with it before its own rules."""

import array
import collections
import datetime
import decimal
import enum
import numbers
import uuid
from collections.abc import ItemsView, KeysView, ValuesView

from . import pyro
from .rules import (
    SERPENT,
    Rules,
    array_plain,
    class_name,
    exception_state,
    has_own_getstate,
    numpy_plain,
    state_of,
)


class SerpentRules(Rules):
    """Objects as serpent writes them."""

    name = "SerpentSerializer"
    number = SERPENT

    # Types that serpent replaces before it asks registered functions.
    _LIKE = {
        collections.deque: list,
        collections.UserDict: dict,
        collections.UserList: list,
        collections.UserString: str,
        bytearray: bytes,
        memoryview: bytes,
    }

    def __init__(self, hosted, is_result):
        super().__init__(hosted, is_result)
        # Classes of numpy's for which no function is registered.
        self._free = set()

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
        if numpy_plain(key) is not key:
            return
        raise TypeError(
            "one of the keys in a dict or set is not of a primitive hashable type: {}. Use simple "
            "types as keys or use a list or tuple as container.".format(kind)
        )

    def _object(self, value, depth):
        kind = type(value)
        if kind in self._LIKE:
            return self.convert(self._LIKE[kind](value), depth)
        # A list may hold many numbers of numpy's.
        made = None if kind in self._free else self._registered(value, depth)
        if made is not None:
            return made[0]
        made = self._numpy(value, depth)
        if made is not None:
            self._free.add(kind)
            return made[0]
        for base in kind.__mro__:
            rule = self._BY_BASE.get(base)
            if rule is not None:
                return self.convert(rule(value), depth)
        return self._default(value, depth)

    def _registered(self, value, depth):
        """The output of a registered function, or of a rule that serpent keeps among those, in a
        tuple; None without any."""
        for cls, writer in list(pyro.serpent_converters().items()):
            if not isinstance(value, cls):
                continue
            if pyro.is_serpents_own(writer):
                if cls is collections.OrderedDict:
                    continue
                break
            if not pyro.is_auto_proxy(writer):
                return (self._written(value, writer, depth),)
            proxy = self._proxy(value)
            if proxy is not None:
                return (proxy,)
            # Pyro5 writes its attributes. Those of a service's class would be refused here, so
            # that there a function of the driver's still counts.
            made = self._converted(value, depth) if self._is_refused(value) else None
            return made or (self._default(value, depth),)
        proxy = self._proxy(value)
        if proxy is not None:
            return (proxy,)
        if isinstance(value, (KeysView, ValuesView, ItemsView)):
            return (self._items(value, depth),)
        if isinstance(value, enum.Enum):
            return (self.convert(value.value, depth),)
        return None

    def _written(self, value, writer, depth):
        """Output for `value` of a function registered with serpent."""
        seen = _Writer(self)
        text = []
        self._call(value, writer, value, seen, text, 0)
        if seen.value is not _Writer.NOTHING:
            if seen.value is value:
                return self._default(value, depth)
            return self.convert(seen.value, depth)
        import ast

        return ast.literal_eval("".join(text))

    def _default(self, value, depth):
        if has_own_getstate(value):
            state = value.__getstate__()
            if not isinstance(state, dict):
                return self.convert(state, depth)
            state = dict(state)
            state.setdefault("__class__", class_name(value))
            return self.convert(state, depth)
        self._check_registered(value)
        state = state_of(value)
        if state is None:
            raise TypeError(
                "don't know how to serialize class {}. Give it vars() or an appropriate "
                "__getstate__".format(type(value))
            )
        state["__class__"] = class_name(value)
        return self.convert(state, depth)

    # An OrderedDict is written as any other dict: no stock client reads serpent's form of it.
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
        array.array: array_plain,
        BaseException: exception_state,
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

    def ser_builtins_dict(self, value, out, level):
        """The method that Pyro5's converters use: whatever has items is a dict to it."""
        self._rules.gave_no_dict = not hasattr(type(value), "items")
        self._take(dict(value.items()), out, level)

    def __getattr__(self, name):
        if name == "_serialize" or name.startswith("ser_"):
            return self._take
        raise AttributeError(name)

    def get_class_name(self, obj):
        """The name in class dicts."""
        return class_name(obj)
