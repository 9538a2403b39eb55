"""Rules of json, msgpack and marshal, which ask registered functions for what they cannot write.

A subclass of str, int, float, list, tuple or dict is written as that in json and msgpack, and no
registered function is asked. marshal asks for a result as a whole only.
"""

import array
import datetime
import decimal
import numbers
import struct
import sys
import uuid

from . import pyro
from .rules import ATOMS, JSON, MARSHAL, MSGPACK, Rules, array_plain, is_plain, numpy_plain


class MarshalRules(Rules):
    """Objects as Pyro5 prepares them for marshal."""

    name = "MarshalSerializer"
    number = MARSHAL
    no_proxy = "with marshal there is no proxy to stand for it"

    _WRITTEN = (str, int, float, complex, tuple, set, frozenset, list, dict)

    def _object(self, value, depth):
        if type(value) is array.array:
            return array_plain(value)
        if depth == 1 and not isinstance(value, self._WRITTEN):
            # only a result as a whole becomes a dict; what it holds has to be plain
            if isinstance(value, uuid.UUID):
                return str(value)
            if type(value) is bytearray:
                return bytes(value)
            return self._class_dict(value, depth)
        made = self._numpy(value, depth)
        if made is not None:
            return made[0]
        if type(value) in (bytearray, memoryview):
            return bytes(value)
        raise ValueError("unmarshallable object of {}".format(type(value)))


class _PackedRules(Rules):
    """Rules common to json and msgpack."""

    _BASES = (
        (str, str.__str__),
        (int, int.__pos__),
        (float, float.__pos__),
        (tuple, list),
        (list, list),
        (dict, lambda value: dict(value.items())),
    )
    containers = frozenset((list, tuple, dict))

    def convert(self, value, depth):
        kind = type(value)
        if kind in self.atoms:
            return value
        if kind in self.containers:
            return self._nested(value, depth, self._container)
        return self._nested(value, depth, self._object)

    def _object(self, value, depth):
        for base, rule in self._BASES:
            if isinstance(value, base):
                made = rule(value)
                return made if type(made) in self.atoms else self._container(made, depth)
        return self._default(value, depth)

    def _default(self, value, depth):
        """Data for a value that the serializer itself does not write."""
        replace = pyro.type_replacement(type(value), self.number)
        if replace is not None and not pyro.is_auto_proxy(replace):
            replaced = self._call(value, replace, value)
            if replaced is not value:
                return self.convert(replaced, depth)
        proxy = self._proxy(value)
        if proxy is not None:
            return proxy
        if isinstance(value, set):
            return tuple(self._items(value, depth))
        if isinstance(value, (uuid.UUID, decimal.Decimal)):
            return str(value)
        if isinstance(value, array.array):
            return array_plain(value)
        return self._known(value, depth)

    def _known(self, value, depth):
        raise NotImplementedError


class JsonRules(_PackedRules):
    """Objects as Pyro5 hands them to json."""

    name = "JsonSerializer"
    number = JSON
    atoms = frozenset((int, float, str, bool, type(None)))

    @classmethod
    def is_plain(cls, value):
        """Whether a value needs no conversion."""
        return is_plain(value, cls.atoms, cls.containers, frozenset())

    def _key(self, key, depth):
        if isinstance(key, (str, int, float)) or key is None:
            return self.convert(key, depth)
        number = numpy_plain(key)
        if number is not key:
            return number
        self.failed = (key,)
        raise TypeError(
            "keys must be str, int, float, bool or None, not {}".format(type(key).__name__)
        )

    def _known(self, value, depth):
        if isinstance(value, datetime.date):
            return value.isoformat()
        return self._class_dict(value, depth)


class MsgpackRules(_PackedRules):
    """Objects as Pyro5 hands them to msgpack.

    Extension types are class dicts on the way to the daemon; `wire` gives them their codes.
    """

    name = "MsgpackSerializer"
    number = MSGPACK
    atoms = frozenset((int, float, str, bool, type(None), bytes))

    @classmethod
    def is_plain(cls, value):
        """Whether a value needs no conversion."""
        atoms = cls.atoms if pyro.type_replacement(complex, MSGPACK) else ATOMS
        return is_plain(value, atoms, cls.containers)

    def _object(self, value, depth):
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        msgpack = sys.modules.get("msgpack")
        if msgpack is not None and isinstance(value, (msgpack.ExtType, msgpack.Timestamp)):
            return self._extension(value)
        return super()._object(value, depth)

    def _default(self, value, depth):
        if type(value) is complex and pyro.type_replacement(complex, MSGPACK) is None:
            return value
        return super()._default(value, depth)

    def _known(self, value, depth):
        if isinstance(value, complex):
            return complex(value)
        if isinstance(value, datetime.date):
            if getattr(value, "tzinfo", None):
                raise pyro.error_class("SerializeError")(
                    "msgpack cannot serialize datetime with timezone info"
                )
            if isinstance(value, datetime.datetime):
                return {"__class__": "datetime.datetime", "timestamp": value.timestamp()}
            return {"__class__": "datetime.date", "ordinal": value.toordinal()}
        if isinstance(value, numbers.Number):
            made = self._numpy(value, depth)
            if made is not None:
                return made[0]
        return self._class_dict(value, depth)

    def _extension(self, value):
        """msgpack's own types. A client of Pyro5's reads the codes of Pyro5, and timestamps."""
        code, data = getattr(value, "code", None), getattr(value, "data", b"")
        if code is None:
            seconds, nanoseconds = value.seconds, value.nanoseconds
            return {
                "__class__": "msgpack.Timestamp",
                "seconds": seconds,
                "nanoseconds": nanoseconds,
            }
        if code == 0x30 and len(data) == 16:
            return complex(*struct.unpack("<dd", data))
        if code == 0x31:
            return int(data)
        if code == 0x32 and len(data) == 8:
            return {"__class__": "datetime.datetime", "timestamp": struct.unpack("<d", data)[0]}
        if code == 0x33 and len(data) == 8:
            return {"__class__": "datetime.date", "ordinal": struct.unpack("<q", data)[0]}
        raise pyro.error_class("SerializeError")("invalid ext code for msgpack: {}".format(code))

