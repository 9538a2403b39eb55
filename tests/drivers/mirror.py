"""A driver that returns its arguments, describes them, and makes values itself."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import uuid

from kept import kept
from Pyro5.api import expose
from shape import shape


class Plain:
    def __init__(self):
        self.x = 1
        self.name = "plain"


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self):
        self.x, self.y = 1, [2]


class Stateful:
    def __getstate__(self):
        return {"state": 5}


@dataclasses.dataclass
class Record:
    x: int = 1
    y: str = "two"


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


Point = collections.namedtuple("Point", "x y")

MADE = {
    "a lot": lambda: b"x" * 200_000,
    "array of doubles": lambda: array.array("d", [1.5, 2.5]),
    "array of ints": lambda: array.array("i", [1, -2]),
    "bytearray": lambda: bytearray(b"abc"),
    "class instance": Plain,
    "dataclass": Record,
    "date": lambda: datetime.date(2024, 2, 29),
    "datetime": lambda: datetime.datetime(2024, 2, 29, 12, 30, 15, 250000),
    "decimal": lambda: decimal.Decimal("1.50"),
    "deque": lambda: collections.deque([1, 2]),
    "ellipsis": lambda: ...,
    "enum": lambda: Colour.RED,
    "exception": lambda: ValueError("a value", 1),
    "exception in a list": lambda: [KeyError("k"), 2],
    "fraction": lambda: fractions.Fraction(1, 3),
    "frozenset": lambda: frozenset({1}),
    "function": lambda: shape,
    "instances in a list": lambda: [Plain(), Plain()],
    "int enum": lambda: Level.HIGH,
    "lone surrogate": lambda: "\ud800",
    "memoryview": lambda: memoryview(b"abc"),
    "named tuple": lambda: Point(1, 2),
    "object": object,
    "ordered dict": lambda: collections.OrderedDict(b=1, a=2),
    "default dict": lambda: collections.defaultdict(int, b=1),
    "range": lambda: range(3),
    "slotted": Slotted,
    "stateful": Stateful,
    "set in a dict": lambda: {"s": {1}},
    "subclass of int": lambda: type("Volt", (int,), {})(5),
    "subclass of str": lambda: type("Label", (str,), {})("x"),
    "time": lambda: datetime.time(12, 30),
    "timedelta": lambda: datetime.timedelta(seconds=1.5),
    "type": lambda: int,
    "uuid": lambda: uuid.UUID(int=5),
    "dict keys": lambda: {"a": 1}.keys(),
}


@expose
class Mirror:
    def __init__(self):
        self._held = None

    def same(self, value):
        return value

    def seen(self, *args, **kwargs):
        """The arguments as text: a serializer that loses something on the way back hides it."""
        return [shape(args), shape(kwargs)]

    def made(self, name):
        return MADE[name]()

    held = kept("_held")


@expose
class Numpy:
    """Values that stock Pyro5 mostly cannot carry."""

    def made(self, name):
        import numpy

        return {
            "float64": numpy.float64(1.5),
            "float32": numpy.float32(0.5),
            "int32": numpy.int32(-7),
            "uint64": numpy.uint64(2**64 - 1),
            "bool": numpy.bool_(True),
            "complex": numpy.complex128(1 + 2j),
            "vector": numpy.array([1.0, 2.0]),
            "matrix": numpy.arange(6).reshape(2, 3),
            "in a dict": {"trace": numpy.array([1, 2]), "peak": numpy.float64(2.0)},
        }[name]
