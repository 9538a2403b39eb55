"""Large results are written once, and only those that hold what they seem to."""

import array
import marshal

import numpy
import pytest

from ferrolab.worker import fast_encode

MANY = 300


@pytest.mark.parametrize("value", [
    [1.5] * MANY, [float("nan"), -0.0] * MANY, list(range(-MANY, MANY)), b"x" * 40_000,
])
def test_numbers_and_bytes_are(value):
    begin, data = fast_encode.parts(value, 1)
    assert begin + data == marshal.dumps((0, value), 2)
    assert (data is value) == isinstance(value, bytes)


@pytest.mark.parametrize("value", [
    [1.5] * 10, b"x" * 10, (1.5,) * MANY, [], {}, None, "x" * 100_000,
    [1.5] * MANY + [1] + [1.5] * MANY,
    [1] * MANY + [True] + [1] * MANY,
    [1] * MANY + [2**40] + [1] * MANY,
    [2**40] * MANY,
    # Other lengths that make up for each other: 5, 5, 17 against 9, 9, 9.
    [1.5] * MANY + [1, 1, 2j] * 100 + [1.5] * MANY,
    # A value with a buffer is written as bytes, as long as a float here.
    [1.5] * MANY + [numpy.float32(1.5)] * MANY + [1.5] * MANY,
    [1.5] * MANY + [array.array("b", b"gggg")] * MANY + [1.5] * MANY,
    [1.5] * MANY + [b"gggg"] * MANY + [1.5] * MANY,
    [1.5] * MANY + [object()] + [1.5] * MANY,
    [1.5] * MANY + [[1.5]] * MANY + [1.5] * MANY,
])
def test_what_may_hold_something_else_is_looked_at(value):
    assert fast_encode.parts(value, 1) is None
