"""Decoder of marshal for bytes that nobody vouches for.

`marshal.loads` trusts its input: hostile bytes can crash the interpreter. This decoder knows the
codes of plain data, checks each length against the bytes that are there, and limits nesting. The
codes are those of `crates/wire/src/marshal`; references and code objects are refused.
"""

import struct
import sys

# Levels of nested containers.
MAX_DEPTH = 200
# Digits of 15 bits in an int: about 4300 decimal digits, Python's own limit for texts.
MAX_INT_DIGITS = 1000

_int = struct.Struct("<i").unpack_from
_float = struct.Struct("<d").unpack_from
_complex = struct.Struct("<dd").unpack_from
# Bytes and the native format of numbers in a list of one kind, each after its code.
_UNIFORM = {ord("g"): (8, "d"), ord("i"): (4, "i")}
# Shorter lists are read item by item.
_MANY = 16
_CONSTANTS = {ord("N"): None, ord("T"): True, ord("F"): False}
_SEQUENCES = {ord("("): tuple, ord("["): list, ord("<"): set, ord(">"): frozenset}


class _WithPlaces(bytes):
    """The head of a message with arrays, where Ellipsis is the place of one."""


def loads_with_places(data):
    """The value in `data`, with an Ellipsis in the place of each array; a ValueError otherwise."""
    return loads(_WithPlaces(data))


def loads(data):
    """The value in `data`; a ValueError for anything else."""
    if type(data) is not _WithPlaces:
        data = bytes(data)
    try:
        value, at = _read(data, 0, 0)
    except (IndexError, struct.error):
        raise ValueError("the data is cut short") from None
    if at != len(data):
        raise ValueError("bytes follow the data")
    return value


def _read(data, at, depth):
    code = data[at]
    at += 1
    if code == 103:  # g
        return _float(data, at)[0], at + 8
    if code == 105:  # i
        return _int(data, at)[0], at + 4
    if code == 117:  # u
        end = _end(data, at)
        return data[at + 4 : end].decode("utf-8", "surrogatepass"), end
    if code in _CONSTANTS:
        return _CONSTANTS[code], at
    if code == 115:  # s
        end = _end(data, at)
        return data[at + 4 : end], end
    if code == 108:  # l
        return _long(data, at)
    if code == 121:  # y
        return complex(*_complex(data, at)), at + 16
    if code == 46 and type(data) is _WithPlaces:  # .
        return ..., at
    if depth >= MAX_DEPTH:
        raise ValueError("more than {} levels are nested".format(MAX_DEPTH))
    if code == 123:  # {
        return _dict(data, at, depth + 1)
    kind = _SEQUENCES.get(code)
    if kind is None:
        raise ValueError("code {!r} is not plain data".format(chr(code)))
    return _sequence(kind, data, at, depth + 1)


def _end(data, at):
    """The end of the bytes whose length stands at `at`."""
    size = _int(data, at)[0]
    if not 0 <= size <= len(data) - at - 4:
        raise ValueError("the data is cut short")
    return at + 4 + size


def _sequence(kind, data, at, depth):
    count = _int(data, at)[0]
    at += 4
    # Each item has a byte at least.
    if not 0 <= count <= len(data) - at:
        raise ValueError("the data is cut short")
    if count >= _MANY and data[at] in _UNIFORM:
        values, end = _numbers(data, at, count)
        if values is not None:
            return _made(kind, values), end
    values = []
    for _ in range(count):
        value, at = _read(data, at, depth)
        values.append(value)
    return _made(kind, values), at


def _numbers(data, at, count):
    """A list of numbers of one kind, without a look at each; None if they are of several."""
    code = data[at]
    size, form = _UNIFORM[code]
    end = at + (size + 1) * count
    if end > len(data) or data[at : end : size + 1].count(code) != count:
        return None, at
    # Takes the codes out: the first byte of every number, then the second, and so on.
    numbers = bytearray(size * count)
    for index in range(size):
        place = index if sys.byteorder == "little" else size - 1 - index
        numbers[place::size] = data[at + 1 + index : end : size + 1]
    return memoryview(numbers).cast(form).tolist(), end


def _made(kind, values):
    if kind is list:
        return values
    try:
        return kind(values)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _dict(data, at, depth):
    found = {}
    while data[at] != 48:  # 0
        key, at = _read(data, at, depth)
        value, at = _read(data, at, depth)
        try:
            found[key] = value
        except TypeError as error:
            raise ValueError(str(error)) from None
    return found, at + 1


def _long(data, at):
    count = _int(data, at)[0]
    at += 4
    digits = abs(count)
    if digits > MAX_INT_DIGITS:
        raise ValueError("an int has more than {} bits".format(15 * MAX_INT_DIGITS))
    number = 0
    for index, digit in enumerate(struct.unpack_from("<{}H".format(digits), data, at)):
        number |= (digit & 0x7FFF) << 15 * index
    return -number if count < 0 else number, at + 2 * digits
