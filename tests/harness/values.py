"""The values that are sent over both servers: named, so that a failing one is known by name."""

import array
import collections
import datetime
import decimal
import uuid

import Pyro5.api


def nested(depth, innermost=()):
    value = list(innermost)
    for _ in range(depth):
        value = [value]
    return value


NUMBERS = {
    "zero": 0,
    "minus one": -1,
    "int 31 bits": 2**31 - 1,
    "int 32 bits": 2**31,
    "int -32 bits": -(2**31) - 1,
    "int 63 bits": 2**63 - 1,
    "int 64 bits": 2**63,
    "int -63 bits": -(2**63),
    "int -64 bits": -(2**63) - 1,
    "int full 64 bits": 2**64 - 1,
    "int 65 bits": 2**64,
    "int 200 bits": 2**200 - 1,
    "int -200 bits": -(2**200),
    "float zero": 0.0,
    "float minus zero": -0.0,
    "float": 1.5,
    "float 0.1": 0.1,
    "float long": 123456789.12345679,
    "float 1e16": 1e16,
    "float 1e22": 1e22,
    "float largest": 1.7976931348623157e308,
    "float smallest": 5e-324,
    "inf": float("inf"),
    "minus inf": float("-inf"),
    "nan": float("nan"),
    "complex": 1 + 2j,
    "complex imaginary": -3.5j,
    "complex minus zeros": complex(-0.0, -0.0),
    "complex nan inf": complex(float("nan"), float("inf")),
    "complex large": 1e200 - 3.5e-10j,
}

TEXTS = {
    "empty str": "",
    "str": "plain",
    "str latin": "naïve Ångström µm",
    "str wide": "日本語 𝄞 🧪",
    "str quotes": 'it\'s "quoted"',
    "str single quote": "it's",
    "str escapes": "a\\b\n\r\t\0\x01\x7f\x80\xa0\u2028",
    "str like bytes": "b'abc'",
    "str long": "x" * 100_000,
    "empty bytes": b"",
    "bytes": b"abc",
    "bytes all": bytes(range(256)),
    "bytes long": bytes(100_000),
    "bytes of half a megabyte": bytes(range(256)) * 2_000,
    "bytearray": bytearray(b"abc"),
    "memoryview": memoryview(b"abc"),
}

COLLECTIONS = {
    "empty list": [],
    "list": [1, 2.5, "x", None, True],
    "list of nan": [float("nan"), float("inf"), -0.0],
    "list nested 50": nested(50),
    "list of ints": list(range(10_000)),
    "list of many floats": [number / 7 for number in range(40_000)],
    "list of many small ints": list(range(-60_000, 60_000)),
    "list of many kinds": [1.5, 1, "é", None, True, b"x", 2**40, [2.5, 3j]] * 8_000,
    "list of many floats and an int": [0.5] * 40_000 + [1],
    "list of floats": [index / 7 for index in range(10_000)],
    "list of bytes": [b"a", b"b"],
    "empty tuple": (),
    "tuple of one": (1,),
    "tuple": (1, (2, (3,)), [4]),
    "empty set": set(),
    "set": {1, 2, 3},
    "set mixed": {1, "a", (2, 3), None},
    "set of nan": {float("nan")},
    "set of bytes": {b"a"},
    "frozenset": frozenset({1, 2}),
    "empty frozenset": frozenset(),
    "set of frozensets": {frozenset({1})},
    "empty dict": {},
    "dict": {"z": 1, "a": [2], "m": {"n": None}},
    "dict int keys": {1: "a", -2: "b"},
    "dict float keys": {1.5: "a"},
    "dict bool keys": {True: "a", False: "b"},
    "dict none key": {None: "a"},
    "dict tuple keys": {(1, "x"): "a"},
    "dict bytes keys": {b"k": "a"},
    "dict frozenset keys": {frozenset({1}): "a"},
    "dict mixed keys": {1: "a", "1": "b", 2.5: "c"},
    "dict nested in tuple": ({"a": (1, {2})},),
    "ordered dict": collections.OrderedDict(b=1, a=2),
}

# Values that Python programs hand over although no serializer has them as such.
OTHERS = {
    "none": None,
    "true": True,
    "false": False,
    "ellipsis": ...,
    "datetime": datetime.datetime(2024, 2, 29, 12, 30, 15, 250000),
    "date": datetime.date(2024, 2, 29),
    "decimal": decimal.Decimal("1.50"),
    "uuid": uuid.UUID(int=5),
    "array": array.array("d", [1.5, 2.5]),
    "exception": ValueError("a value", 1),
    "uri": Pyro5.api.URI("PYRO:object@localhost:1234"),
    "proxy": Pyro5.api.Proxy("PYRO:object@localhost:1234"),
    "class dict": {"__class__": "made.up", "x": 1},
    "class dict of an exception": {
        "__class__": "builtins.KeyError",
        "__exception__": True,
        "args": ("k",),
        "attributes": {"code": 5},
    },
    "class dict of a float": {"__class__": "float", "value": "nan"},
    "class dict with dunder": {"__class__": "os.__system__", "x": 1},
    "class dict in a list": [{"__class__": "made.up"}],
}

# Values that one side may carry and the other refuse: a connection must survive them.
HARD = {
    "str lone surrogate": "\ud800",
    "list nested 500": nested(500),
    "int 20000 bits": 2**20_000,
    "dict with a class key that is no str": {"__class__": 5},
    "class dict without a state": {"__class__": "Pyro5.core.URI"},
    "set of nan in a dict": {"a": {float("nan")}},
}

VALUES = {**NUMBERS, **TEXTS, **COLLECTIONS, **OTHERS}
