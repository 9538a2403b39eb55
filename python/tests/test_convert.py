"""Results become what Pyro5's serializers make of them, and numpy values become plain ones."""

import array
import ast
import collections
import dataclasses
import datetime
import decimal
import enum
import ipaddress
import json
import marshal
import pathlib
import re
import sys
import uuid

import msgpack
import numpy
import pytest
from Pyro5.api import URI, Proxy
from Pyro5.errors import NamingError, SerializeError
from Pyro5.serializers import SerializerBase, serializers

from ferrolab.worker import convert, exceptions
from ferrolab.worker.rules import is_plain

IDS = {"serpent": 1, "marshal": 2, "json": 3, "msgpack": 4}

Point = collections.namedtuple("Point", "x y")


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


class Word(str, enum.Enum):
    YES = "yes"


@dataclasses.dataclass
class Reading:
    value: float = 1.5
    inner: object = None


class Slots:
    __slots__ = ("a", "b")

    def __init__(self):
        self.a, self.b = 1, "two"


class StateDict:
    def __getstate__(self):
        return {"q": 1}


class StateTuple:
    def __getstate__(self):
        return ("t", 1)


class Text(str):
    pass


class Whole(int):
    pass


class Real(float):
    pass


class Many(list):
    pass


class Map(dict):
    pass


class Registered:
    def __init__(self, inner):
        self.inner = inner


SerializerBase.register_class_to_dict(
    Registered, lambda obj: {"__class__": "test.Registered", "inner": obj.inner})


class RegisteredError(Exception):
    pass


SerializerBase.register_class_to_dict(
    RegisteredError, lambda error: {"__class__": "test.Error", "code": error.args[0]})


def error_with_attributes():
    error = NamingError("no such name", 5)
    error.detail = {"a": (1, 2)}
    return error


VALUES = [
    None, True, 5, 2 ** 70, -1.5, float("inf"), 1 + 2j, "text", b"bytes", bytearray(b"array"),
    memoryview(b"view"), (1, 2), [1, [2.5, "x"]], {1, 2}, frozenset([1]), {"a": 1, 2: (3,)},
    {(1, 2): 3}, {None: 1}, {frozenset([1]): 1}, {b"k": 1}, [], (), {}, [[]] * 3,
    datetime.datetime(2020, 1, 2, 3, 4, 5, 6),
    datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc), datetime.date(2020, 1, 2),
    datetime.time(1, 2, 3), datetime.timedelta(1, 2, 3), decimal.Decimal("1.50"), uuid.UUID(int=5),
    [datetime.date(2020, 1, 2)], {"d": decimal.Decimal(1)}, {datetime.date(2020, 1, 1): 1},
    Color.RED, Level.HIGH, Word.YES, [Color.RED], {Color.RED: 1}, {Level.HIGH: 1},
    Point(1, 2), [Point(1, Point(2, 3))], collections.deque([1, 2]),
    collections.OrderedDict(a=1, b=Point(1, 2)), collections.defaultdict(int, a=1),
    collections.Counter("aab"), collections.UserDict(a=1), collections.UserList([1]),
    collections.UserString("s"), collections.ChainMap({"a": 1}),
    array.array("d", [1, 2]), array.array("i", [1]), range(3), slice(1, 2), {"a": 1}.keys(),
    {"a": 1}.values(), {"a": 1}.items(), Reading(), Reading(inner=Reading()), [Reading()],
    Slots(), StateDict(), StateTuple(), [StateTuple()], Text("x"), Whole(5), Real(1.5), Many([1]),
    Map(a=1), [Text("x")], {Text("k"): 1}, [Map(a=Many([1]))],
    pathlib.PurePosixPath("/tmp"), ipaddress.ip_address("1.2.3.4"), len, object(), ..., json,
    ValueError("a", 1), error_with_attributes(), OSError(2, "no file"), [KeyError("k")],
    Registered(1), [Registered(Point(1, 2))], {"r": Registered([Registered(2)])},
    RegisteredError(7), URI("PYRO:obj@localhost:5"), Proxy("PYRO:obj@localhost:5"),
    {datetime.date(2020, 1, 1)}, {(1, 2)}, {Point(1, 2)}, {Color.RED},
]

# An enum has no state worth sending; Pyro5 names some part of its class in the error.
BETTER = {("marshal", Color.RED): SerializeError}

# No client of Pyro5's reads serpent's form of an OrderedDict.
ORDERED = collections.OrderedDict(a=1, b=Point(1, 2))

# A date as a key of a dict can be read by no client of Pyro5's.
UNREADABLE = {("msgpack", "{datetime.date(2020, 1, 1): 1}"): TypeError}


def raw(name, data):
    """The bytes as plain data, without the recreation of classes."""
    if name == "serpent":
        return ast.literal_eval(data.decode())
    if name == "json":
        return json.loads(data)
    if name == "marshal":
        return marshal.loads(data)
    return msgpack.unpackb(data, raw=False, strict_map_key=False, use_list=False)


def outcome(name, make):
    try:
        return raw(name, serializers[name].dumps(make()))
    except Exception as error:
        return type(error)


def with_dates(value):
    """The daemon's values for the class dicts that stand for dates in msgpack."""
    if type(value) in (list, tuple):
        return type(value)(map(with_dates, value))
    if type(value) is not dict:
        return value
    if value.get("__class__") == "datetime.datetime":
        return datetime.datetime.fromtimestamp(value["timestamp"])
    if value.get("__class__") == "datetime.date":
        return datetime.date.fromordinal(value["ordinal"])
    return {key: with_dates(item) for key, item in value.items()}


def name_of(value):
    """A name for the tests of a value: the same in every process, so without its address."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(value))[:60]


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("value", VALUES, ids=name_of)
def test_as_pyro5(name, value):
    expected = outcome(name, lambda: value)
    if isinstance(value, Color):
        expected = BETTER.get((name, value), expected)
    expected = UNREADABLE.get((name, repr(value)), expected)
    if name == "serpent" and value == ORDERED:
        expected = {"a": 1, "b": (1, 2)}

    goes_round = name in ("json", "msgpack") and sys.version_info < (3, 11)
    if goes_round and expected is ValueError and "Color" in repr(value):
        # Pyro5 goes round in circles there, through the enum's class
        expected = SerializeError

    def made():
        plain = convert.plain(value, IDS[name])
        assert is_plain(plain)
        return with_dates(plain) if name == "msgpack" else plain

    assert outcome(name, made) == expected


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("value, plain", [
    (numpy.float64(1.5), 1.5), (numpy.float32(0.5), 0.5), (numpy.int32(3), 3),
    (numpy.uint64(2 ** 64 - 1), 2 ** 64 - 1), (numpy.bool_(True), True), (numpy.str_("s"), "s"),
    (numpy.complex64(1 + 2j), 1 + 2j), (numpy.longdouble(1.5), 1.5),
    (numpy.array([1.5, 2]), [1.5, 2.0]), (numpy.arange(6).reshape(2, 3), [[0, 1, 2], [3, 4, 5]]),
    (numpy.array(7), 7), (numpy.array([], dtype=int), []),
    (numpy.array([(1, 2.5)], dtype=[("a", int), ("b", float)]), [(1, 2.5)]),
    ([numpy.float64(1.5), 2], [1.5, 2]), ({"a": numpy.array([1])}, {"a": [1]}),
    ((numpy.int8(1), [numpy.array([True])]), (1, [[True]])),
    ({numpy.int64(1): 2}, {1: 2}), (numpy.array([None, "x"], dtype=object), [None, "x"]),
], ids=repr)
def test_numpy(name, value, plain):
    if name == "json" and isinstance(plain, complex):
        with pytest.raises(SerializeError, match="<class 'complex'> using serializer JsonSer"):
            convert.plain(value, IDS[name])
        return
    result = convert.plain(value, IDS[name])
    assert result == plain
    assert is_plain(result)
    assert type(result) is type(plain)


def test_what_is_plain_is_sent_as_it_is():
    value = {"a": [1, 2.5, (None, True)], ("b", 1): {"c": {1, 2}, "d": frozenset([b"x"])}}
    assert convert.plain(value, 1) is value


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("build", [
    lambda: loop_list(), lambda: loop_dict(), lambda: loop_object(), lambda: deep(5000),
], ids=["list", "dict", "object", "deep"])
def test_endless_results(name, build):
    with pytest.raises((ValueError, SerializeError)):
        convert.plain(build(), IDS[name])


def loop_list():
    value = []
    value.append(value)
    return value


def loop_dict():
    value = {}
    value["self"] = value
    return value


def loop_object():
    value = Reading()
    value.inner = [value]
    return value


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("name", IDS)
def test_exceptions(name):
    try:
        try:
            {}["missing"]
        except KeyError:
            raise NamingError("no such name", 5)
    except NamingError as error:
        error.detail = (1, 2)
        made = exceptions.exception(error, IDS[name])
    assert made["__class__"] == "Pyro5.errors.NamingError"
    assert made["__exception__"] is True
    assert list(made["args"]) == ["no such name", 5]
    assert list(made["attributes"]["detail"]) == [1, 2]
    text = "".join(made["attributes"]["_pyroTraceback"])
    assert "KeyError: 'missing'" in text and "in test_exceptions" in text


def test_an_exception_that_cannot_be_sent():
    made = exceptions.exception(ValueError(object()), 1)
    assert made["__class__"] == "Pyro5.errors.PyroError"
    assert made["args"][0].startswith("Error serializing exception: don't know how to serialize")
    assert "Original exception: <class 'ValueError'>" in made["args"][0]


@pytest.mark.parametrize("serializer", [1, 2, 3, 4])
def test_text_that_is_no_unicode_does_not_spoil_an_exception(serializer):
    error = ValueError("\udc80", ["\udc80"])
    error.detail = {"\udc80": ("\udc80", {"fine": "\udc80"})}
    made = exceptions.exception(error, serializer)
    assert made["__class__"] == "builtins.ValueError"
    assert made["args"][0] == "\\udc80" and list(made["args"][1]) == ["\\udc80"]
    assert made["attributes"]["detail"]["\\udc80"][1] == {"fine": "\\udc80"}
    "".join(made["attributes"]["_pyroTraceback"]).encode()
    # It is not changed without a word.
    assert made["attributes"]["_pyroTraceback"][-1].startswith("(its text has lone surrogates")
    plain = exceptions.exception(ValueError("plain", [float("nan")]), serializer)
    assert "lone surrogates" not in str(plain)
