"""Functions that a driver registers come before our rules, wherever Pyro5 asks for them."""

import collections
import datetime
import enum
import fractions
import ipaddress
import pathlib
import struct
import uuid

import msgpack
import numpy
import pytest
import serpent
from Pyro5.errors import SerializeError
from Pyro5.serializers import SerializerBase, serializers
from test_convert import IDS, outcome, raw, with_dates

from ferrolab.worker import convert, exceptions


class Base:
    def __init__(self, inner=None):
        self.inner = inner


class Heir(Base):
    pass


class Slow(enum.Enum):
    YES = 1


class Trouble(Exception):
    pass


class Worse(Trouble):
    def __init__(self, code):
        super().__init__("worse", code)
        self.code = code


class Table(dict):
    pass


class Steps(collections.OrderedDict):
    pass


def marked(value):
    return {"__class__": "marked", "value": str(value)}


def with_inner(value):
    return {"__class__": "made", "inner": value.inner}


ARRAY = numpy.arange(4, dtype="u2")
MASKED = numpy.ma.masked_array([1.0, 2.0], [True, False])

CASES = {
    "an array": (numpy.ndarray, marked, ARRAY),
    "an array in a dict": (numpy.ndarray, marked, {"a": [ARRAY, 1], "b": (ARRAY,)}),
    "a subclass of an array": (numpy.ndarray, marked, MASKED),
    "an array whose subclass is registered": (type(MASKED), marked, [MASKED]),
    "a numpy scalar": (numpy.generic, marked, numpy.float32(0.5)),
    "numpy scalars": (numpy.generic, marked, [numpy.int16(3), numpy.bool_(True), {"a": numpy.int8(1)}]),
    "a float of numpy's": (numpy.float64, marked, [numpy.float64(1.5)]),
    "a datetime of numpy's": (numpy.generic, marked, [numpy.datetime64("2024-01-02")]),
    "a complex of numpy's": (numpy.complexfloating, marked, [numpy.complex64(1 + 2j)]),
    "an ordered dict": (collections.OrderedDict, marked, collections.OrderedDict(a=1)),
    "an ordered dict in a list": (collections.OrderedDict, marked, [collections.OrderedDict(a=1)]),
    "a subclass of dict": (Table, marked, [Table(a=1)]),
    "a subclass of an ordered dict": (dict, marked, [Steps(a=1)]),
    "an enum": (Slow, marked, [Slow.YES]),
    "a complex": (complex, marked, [1 + 2j]),
    "bytes": (bytes, marked, {"a": b"abc"}),
    "long bytes": (bytes, lambda value: {"size": len(value)}, b"x" * 100_000),
    "a bytearray": (bytearray, marked, [bytearray(b"abc")]),
    "a memoryview": (memoryview, marked, [memoryview(b"abc")]),
    "a set": (set, marked, [{1}]),
    "a frozenset": (frozenset, marked, [frozenset({1})]),
    "a deque": (collections.deque, marked, [collections.deque([1])]),
    "a date": (datetime.date, marked, [datetime.date(2024, 2, 29), datetime.datetime(2024, 1, 2)]),
    "a span of time": (datetime.timedelta, marked, [datetime.timedelta(1)]),
    "a uuid": (uuid.UUID, marked, [uuid.UUID(int=5)]),
    "a fraction": (fractions.Fraction, marked, [fractions.Fraction(1, 3)]),
    "an address": (ipaddress.IPv4Address, marked, [ipaddress.ip_address("1.2.3.4")]),
    "a path": (pathlib.PurePath, marked, {"path": pathlib.PurePosixPath("/tmp")}),
    "a base": (Base, with_inner, [Heir(Heir((1, 2)))]),
    "a base as a whole": (Base, with_inner, Heir([1])),
    "everything": (object, marked, [Heir(), 1, "x", {"a": None}, slice(1)]),
    "an exception in a list": (Trouble, marked, [Worse(3)]),
    "a list in place of a dict": (Base, lambda value: [1, 2], [Base()]),
    "a text in place of a dict": (Base, lambda value: "text", [Base()]),
    "nothing in place of a dict": (Base, lambda value: None, [Base()]),
    "an ordered dict in place of a dict": (Base, lambda value: Steps(a=1), [Base()]),
    "an array in what was made": (Base, lambda value: {"a": Base}, [Base()]),
    "an object in place of itself": (Base, lambda value: value, [Base()]),
    "a function that raises": (Base, lambda value: 1 // 0, [Base()]),
    "a function that raises two arguments": (Base, lambda value: open("/no/file"), [Base()]),
    "keys": (fractions.Fraction, marked, {fractions.Fraction(1, 3): 1}),
}

# No client reads what Pyro5 makes of these: bytes for numbers, or text that is no data.
OURS = {
    ("marshal", "an array in a dict"): {"a": [[0, 1, 2, 3], 1], "b": ([0, 1, 2, 3],)},
    ("marshal", "an array whose subclass is registered"): [[None, 2.0]],
    ("marshal", "numpy scalars"): [3, True, {"a": 1}],
    ("marshal", "a float of numpy's"): [1.5],
    ("marshal", "a complex of numpy's"): [1 + 2j],
    ("marshal", "a datetime of numpy's"): ValueError,
    ("msgpack", "a numpy scalar"): 0.5,
    ("serpent", "a subclass of an ordered dict"): [marked(Steps(a=1))],
    ("serpent", "a function that raises two arguments"): SerializeError,
    ("json", "a function that raises two arguments"): SerializeError,
    ("msgpack", "a function that raises two arguments"): SerializeError,
    ("msgpack", "numpy scalars"): (3, marked(True), {"a": 1}),
    ("msgpack", "a complex of numpy's"): (msgpack.ExtType(0x30, struct.pack("<dd", 1, 2)),),
    ("msgpack", "a fraction"): (marked("1/3"),),
    ("msgpack", "keys"): TypeError,
    ("msgpack", "an object in place of itself"): ValueError,
}


@pytest.fixture
def registries():
    """The registries of Pyro5 and serpent as they were, afterwards."""
    kept = [
        vars(SerializerBase)["_SerializerBase__custom_class_to_dict_registry"],
        serpent._special_classes_registry,
    ]
    before = [dict(registry) for registry in kept]
    yield
    for registry, items in zip(kept, before):
        registry.clear()
        registry.update(items)


def made(name, value):
    """A result as the daemon writes it."""

    def convert_it():
        plain = convert.result(value, IDS[name], None, "lab.a", "read")
        return with_dates(plain) if name == "msgpack" else plain

    return outcome(name, convert_it)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", IDS)
def test_a_registered_function_is_asked_where_pyro5_asks_it(registries, name, case):
    cls, function, value = CASES[case]
    SerializerBase.register_class_to_dict(cls, function)
    expected = OURS.get((name, case))
    if expected is None:
        expected = outcome(name, lambda: value)
    assert made(name, value) == expected


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("with_serpent", [True, False])
def test_the_first_of_several_functions_is_asked(registries, name, with_serpent):
    for cls in (Heir, Base, object):
        function = lambda value, cls=cls: {"made by": cls.__name__}  # noqa: E731
        SerializerBase.register_class_to_dict(cls, function, serpent_too=with_serpent)
    for value in (Base(1), Heir(2)):
        assert made(name, value) == outcome(name, lambda value=value: value)


@pytest.mark.parametrize("name", ["serpent", "json", "msgpack"])
def test_a_replaced_type_is_replaced(registries, name):
    serializer = serializers[name]
    SerializerBase.register_class_to_dict(Slow, marked)
    SerializerBase.register_class_to_dict(pathlib.PurePath, marked)
    types = {Base: lambda value: pathlib.PurePosixPath(str(value.inner)), complex: lambda value: Slow.YES}
    for cls, function in types.items():
        serializer.register_type_replacement(cls, function)
    try:
        for value in (Base((1, 2)), [Base(1), Heir(2)], 1 + 2j, [1 + 2j]):
            assert made(name, value) == outcome(name, lambda value=value: value)
    finally:
        replaced = vars(type(serializer)).get("_{}__type_replacements".format(type(serializer).__name__), {})
        for cls in types:
            replaced.pop(cls, None)


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("error", [Trouble("bad", 1), Worse(7)])
def test_a_registered_function_makes_the_dict_of_an_exception(registries, name, error):
    SerializerBase.register_class_to_dict(Trouble, lambda error: dict(vars(error), __class__="T"))
    sent = exceptions.exception(error, IDS[name], ["a line"])
    expected = raw(name, serializers[name].dumps(error))
    assert list(sent.pop("_pyroTraceback")) == list(expected.pop("_pyroTraceback")) == ["a line"]
    assert sent == expected


@pytest.mark.parametrize("name", IDS)
def test_a_registered_function_that_exits_costs_no_exception(registries, name):
    def exits(error):
        raise SystemExit("no form")

    SerializerBase.register_class_to_dict(Trouble, exits)
    sent = exceptions.exception(Trouble("bad"), IDS[name], ["a line"])
    assert sent["__class__"] == "Pyro5.errors.PyroError"
    assert "no form" in sent["args"][0] and "Trouble'>: bad" in sent["args"][0]


def test_serpent_does_not_ask_what_is_registered_for_the_others(registries):
    SerializerBase.register_class_to_dict(Trouble, marked, serpent_too=False)
    sent = exceptions.exception(Trouble("bad"), IDS["serpent"], ["a line"])
    assert sent["__class__"] == "test_registered.Trouble"
    assert exceptions.exception(Trouble("bad"), IDS["json"], ["a line"]) == marked("bad")


@pytest.mark.parametrize("name", IDS)
def test_an_error_of_a_registered_function_names_the_call(registries, name):
    def fails(value):
        raise ZeroDivisionError("no scale")

    SerializerBase.register_class_to_dict(Base, fails)
    with pytest.raises(ZeroDivisionError) as raised:
        convert.result(Heir(), IDS[name], None, "lab.camera", "frame")
    text = str(raised.value)
    assert text.startswith("no scale (in the result of 'frame' of service 'lab.camera', with " + name)
    assert "Heir <" in text and text.endswith("the function that is registered for its class raised this)")


ITSELF = "the function that is registered for its class did not convert it)"
NOT_ASKED = (
    "marshal asks the function that is registered for its class only where the object is the whole "
    "result: have the client use serpent, or return plain data)"
)
OTHER = "return plain data, or register a function with register_class_to_dict)"


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("made, build, advice, by_marshal", [
    (lambda value: value, Base, ITSELF, ITSELF),
    (lambda value: value, lambda: [Base()], ITSELF, NOT_ASKED),
    (marked, lambda: {"a": [Base()]}, None, NOT_ASKED),
    (lambda value: {"inner": object()}, Base, OTHER, OTHER),
    (lambda value: {"inner": object()}, lambda: [Base()], OTHER, NOT_ASKED),
])
def test_an_error_tells_what_a_registered_function_has_to_do_with_it(
    registries, name, made, build, advice, by_marshal
):
    SerializerBase.register_class_to_dict(Base, made)
    expected = by_marshal if name == "marshal" else advice
    if expected is None:
        assert "marked" in str(convert.result(build(), IDS[name], None, "lab.camera", "frame"))
        return
    with pytest.raises((SerializeError, TypeError, ValueError, AttributeError)) as raised:
        convert.result(build(), IDS[name], None, "lab.camera", "frame")
    assert str(raised.value).endswith("; " + expected), str(raised.value)



@pytest.mark.parametrize("name", ["json", "msgpack", "serpent", "marshal"])
@pytest.mark.parametrize("value, shown", [
    (iter([1]), "list_iterator"), ([(n for n in [1])], "generator"), ({"a": {"b": object()}}, "object"),
    ([len], "builtin_function_or_method"),
])
def test_an_error_names_what_cannot_be_sent(name, value, shown):
    with pytest.raises((SerializeError, TypeError, ValueError)) as raised:
        convert.result(value, IDS[name], None, "lab.vna", "s21")
    text = str(raised.value)
    assert " (in the result of 's21' of service 'lab.vna', with {}: {} <".format(name, shown) in text
    assert text.endswith("an iterator)" if "iterator" in shown or "gen" in shown else "register_class_to_dict)")


@pytest.mark.parametrize("value, shown", [
    ([1 + 2j], "complex (1+2j)"), ({"trace": b"x"}, "bytes b'x'"), (b"x" * 100, "bytes b'" + "x" * 58 + "…"),
    ({(1, 2): 3}, "tuple (1, 2)"), ([frozenset()], "frozenset frozenset()"),
])
def test_json_names_what_it_has_no_form_for(value, shown):
    with pytest.raises((SerializeError, TypeError)) as raised:
        convert.result(value, IDS["json"], None, "lab.vna", "s21")
    assert ", with json: {}; json has no form for it: have the client".format(shown) in str(raised.value)


class Unreadable:
    """A class that tells nothing about itself."""

    def __getattribute__(self, name):
        raise RuntimeError("broken " + name)

    def __repr__(self):
        raise RuntimeError("no repr")


@pytest.mark.parametrize("name", IDS)
def test_a_class_that_cannot_be_looked_at_is_an_error_that_names_it(name):
    with pytest.raises(Exception) as raised:
        convert.result([Unreadable()], IDS[name], None, "lab.vna", "s21")
    text = str(raised.value)
    assert "in the result of 's21' of service 'lab.vna'" in text and "Unreadable (no repr)" in text


EXTENSIONS = [
    msgpack.Timestamp(1, 2), msgpack.Timestamp(-5, 999_999_999), [msgpack.Timestamp(2**34, 0)],
    msgpack.ExtType(0x30, bytes(16)), msgpack.ExtType(0x31, b"-12"), msgpack.ExtType(0x33, bytes([5] + [0] * 7)),
    msgpack.ExtType(0x32, bytes(8)), msgpack.ExtType(5, b"abc"),
]


@pytest.mark.parametrize("value", EXTENSIONS, ids=repr)
def test_msgpacks_own_types_are_sent_as_pyro5_sends_them(value):
    def stamps(plain):
        if isinstance(plain, list):
            return [stamps(item) for item in plain]
        if isinstance(plain, dict) and plain.get("__class__") == "msgpack.Timestamp":
            return msgpack.Timestamp(plain["seconds"], plain["nanoseconds"])
        return with_dates(plain)

    pyro5 = serializers["msgpack"]
    try:
        expected = pyro5.loads(pyro5.dumps(value))
    except SerializeError as error:
        with pytest.raises(SerializeError, match=str(error)):
            convert.result(value, IDS["msgpack"], None, "lab.clock", "now")
    else:
        assert stamps(convert.result(value, IDS["msgpack"], None, "lab.clock", "now")) == expected
