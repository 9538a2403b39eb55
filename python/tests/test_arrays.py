"""Arrays as packed bytes: what a hostile peer may send instead."""

import marshal
import os
import pathlib
import random
import struct
import subprocess
import sys
import tracemalloc

import pytest
from ferrolab.client import arrays, incoming_arrays, safe_marshal

numpy = pytest.importorskip("numpy")

DECODERS = [marshal.loads, safe_marshal.loads_with_places]
FINE = ("<f8", (1,), "C")
EIGHT = bytes(8)


def raw(lengths, head, rest=b""):
    data = struct.pack("<II%dQ" % len(lengths), len(lengths), len(head), *lengths) + head
    return data + (bytes(-len(data) % 8) + rest if lengths else b"")


def payload(lengths, described, value=..., rest=b""):
    return raw(lengths, marshal.dumps((described, value), 2), rest)


def of(dtype="<f8", shape=(1,), order="C", lengths=(8,), rest=EIGHT):
    return payload(lengths, [(dtype, shape, order)], rest=rest)


def nested(levels):
    dtype = "<f8"
    for _ in range(levels):
        dtype = (dtype, (1,))
    return dtype


LIES = {
    "nothing": (b"", "cut short"),
    "a table of 4 GiB": (b"\xff" * 8 + bytes(100), "cut short"),
    "a head of 4 GiB": (bytes(4) + b"\xff" * 4 + bytes(100), "cut short"),
    "a segment of 4 GiB": (of(lengths=(1 << 32,), shape=(1 << 29,)), "beyond the message"),
    "a segment of 16 EiB": (of(lengths=(2**64 - 1,)), "beyond the message"),
    "two segments in one place": (payload([8, 8], [FINE, FINE], (..., ...), EIGHT), "beyond the message"),
    "bytes that belong to nothing": (of(rest=bytes(9)), "follow the last"),
    "a segment of no array": (payload([8, 8], [FINE], rest=bytes(16)), "belongs to no array"),
    "an array without a segment": (payload([], [FINE]), "another number of bytes"),
    "an array without a place": (payload([8], [FINE], 5, EIGHT), "no place"),
    "a place without an array": (payload([], [], ...), "has no array"),
    "one array for two places": (payload([8], [FINE], (..., ...), EIGHT), "has no array"),
    "a larger shape": (of(shape=(2,)), "another number of bytes"),
    "a negative shape": (of(shape=(-1, -1)), "shape"),
    "an endless shape": (of(shape=(1 << 61, 1 << 61)), "another number of bytes"),
    "an empty endless shape": (of(shape=(0, 1 << 61, 1 << 61), lengths=(0,), rest=b""), "numpy refuses"),
    "a shape that is none": (of(shape=[1]), "shape"),
    "a shape of texts": (of(shape=("1",)), "shape"),
    "many dimensions": (of(shape=(1,) * 65), "shape"),
    "an order that is none": (of(order="K"), "neither C nor F"),
    "objects": (of("|O"), "plain bytes"),
    "objects of eight bytes": (of("|O8"), "plain bytes"),
    "a type of Python's": (of("object"), "plain bytes"),
    "several types in a text": (of("O,O"), "plain bytes"),
    "code": (of("__import__('os').abort()"), "plain bytes"),
    "text of any length": (of("<T16"), "plain bytes"),
    "a number as the type": (of(8), "malformed"),
    "objects in a field": (of((["a"], ["|O8"], [0], 8)), "plain bytes"),
    "a field beyond the element": (of((["a"], ["<f8"], [1], 8)), "beyond its element"),
    "a field before the element": (of((["a"], ["<f8"], [-8], 8)), "beyond its element"),
    "a field without an offset": (of((["a"], ["<f8"], [], 8)), "malformed"),
    "fields of one name": (of((["a", "a"], ["<f4", "<f4"], [0, 4], 8)), "numpy refuses"),
    "fields without names": (of(([5], ["<f8"], [0], 8)), "malformed"),
    "too many fields": (of((["a"] * 5000, ["<f8"] * 5000, [0] * 5000, 8)), "malformed"),
    "a field of 16 EiB": (of(("<f8", (1 << 61, 8))), "numpy refuses|another number"),
    "deep types": (of(nested(100)), "malformed"),
    "a short mask": (payload([8, 0, 8], [FINE + ("C",)], rest=bytes(16)), "another number of bytes"),
    "a long fill value": (payload([8, 1, 9], [FINE + ("C",)], rest=bytes(25)), "another number of bytes"),
    "descriptions that are none": (payload([], 5), "not described"),
    "a head that is no pair": (raw([], marshal.dumps(5, 2)), "not described"),
}


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("decode", DECODERS)
def test_lies_are_errors(decode, copies):
    for name, (data, words) in LIES.items():
        with pytest.raises(ValueError, match=words):
            print(name, incoming_arrays.loads(bytearray(data), decode, copies))


def test_a_place_is_no_data_elsewhere():
    with pytest.raises(ValueError, match="plain data"):
        safe_marshal.loads(b".")
    with pytest.raises(ValueError, match="plain data"):
        safe_marshal.loads_with_places(b"c")
    with pytest.raises(ValueError, match="unhashable|hashable"):
        incoming_arrays.loads(bytearray(raw([], b"(\2\0\0\0[\0\0\0\0{[\0\0\0\0.0")), safe_marshal.loads_with_places, True)


def test_no_memory_is_taken_for_what_is_not_there():
    tracemalloc.start()
    try:
        for name in ("a table of 4 GiB", "a head of 4 GiB", "a segment of 4 GiB", "a larger shape", "an endless shape"):
            with pytest.raises(ValueError):
                incoming_arrays.loads(bytearray(LIES[name][0]), safe_marshal.loads_with_places, True)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_damaged_bytes_are_errors_or_values():
    """After any change: an error, or a value of plain data and arrays without objects."""
    structured = numpy.ones(2, dtype=[("a", "<f4"), ("b", "<i2", (2,))])
    masked = numpy.ma.array([1.0, 2.0], mask=[0, 1])
    kept = [arrays.keep(one) for one in (numpy.arange(3), structured, masked)]
    whole = b"".join(arrays.dumps(["text", {"key": kept}]).buffers)
    chance = random.Random(17)
    seen = 0
    for _ in range(5000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 8, 46, 79, 255, chance.randrange(256)))
        del data[len(data) - chance.choice((0, 0, 0, 1, 8, 30)) :]
        try:
            value = incoming_arrays.loads(data, safe_marshal.loads_with_places, chance.random() < 0.5)
        except (ValueError, TypeError, struct.error, OverflowError):
            continue
        seen += 1
        for array in find_arrays(value):
            assert not array.dtype.hasobject
    assert seen > 100


@pytest.mark.parametrize("make", [
    lambda: numpy.arange(10),
    lambda: numpy.arange(10).reshape(2, 5),
    lambda: numpy.zeros((2, 3)).T,
    lambda: numpy.arange(10)[2:5],
])
def test_an_array_that_nobody_else_has_is_not_copied(make):
    mark = arrays.keep(make())
    address = mark.array.ctypes.data
    sent = arrays.dumps([mark], copies_shared=True).buffers[-1]
    assert numpy.frombuffer(sent, "u1").ctypes.data == address


@pytest.mark.parametrize("part", [lambda a: a, lambda a: a[2:], lambda a: a.reshape(2, 5), lambda a: memoryview(a)])
def test_an_array_that_its_driver_has_as_well_is_copied(part):
    """Its driver may write the next frame into it while this one is sent."""
    own = numpy.arange(10)
    sent = arrays.dumps([arrays.keep(numpy.asarray(part(own)))], copies_shared=True).buffers[-1]
    before = bytes(sent)
    own[:] = -1
    assert bytes(sent) == before


# Prints, of arrays whose fields have no zero bytes, how many zero bytes are too few between fields.
GAPS = """
import numpy
from ferrolab.client import arrays

inner = numpy.dtype([("a", "u1"), ("b", "f8")], align=True)
nested = numpy.dtype([("flag", "u1"), ("inner", inner)], align=True)
union = {"names": ["p", "q"], "formats": ["<u4", "<u4"], "offsets": [0, 0], "itemsize": 8}
array, overlapping = [
    numpy.frombuffer(bytearray(b"\\xff" * 2 * dtype.itemsize), dtype) for dtype in (nested, numpy.dtype(union))
]
masked = numpy.ma.MaskedArray(array, fill_value=array[0])
for value, gap in ((array, 28), (masked, 14), (overlapping, 8)):
    sent = bytes(arrays.dumps([arrays.keep(value)]).buffers[-1])
    print(gap - sent.count(0), sent)
"""


def test_memory_between_fields_is_not_sent():
    """Also in a process that has run for long, where new memory is not zero."""
    filled = {"PYTHONMALLOC": "debug", "MALLOC_PERTURB_": "90"}
    paths = {"PYTHONPATH": str(pathlib.Path(__file__).parent.parent)}
    ran = subprocess.run([sys.executable, "-c", GAPS], env=os.environ | filled | paths, capture_output=True, text=True)
    assert [line.split()[0] for line in ran.stdout.splitlines()] == ["0", "0", "0"], ran.stdout + ran.stderr


def test_an_array_with_memory_between_its_fields_arrives():
    gaps = numpy.dtype([("flag", "u1"), ("inner", numpy.dtype([("a", "u1"), ("b", "f8")], align=True))], align=True)
    array = numpy.frombuffer(bytearray(b"\xff" * 2 * gaps.itemsize), gaps)
    got = incoming_arrays.loads(bytearray(b"".join(arrays.dumps([arrays.keep(array)]).buffers)), marshal.loads, True)[0]
    assert got.dtype == gaps and got["inner"]["a"].tolist() == [255, 255]


def find_arrays(value):
    if isinstance(value, numpy.ndarray):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from find_arrays(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from find_arrays(item)
