"""Arrays of a message as they arrive, with checks of what a peer says of them.

The byte table is in `crates/wire/src/packed.rs`. A peer's description of an array is checked before
memory is taken for it: types are those of plain bytes (an object would be an address), and a
segment has as many bytes as its shape needs. Elements are received into the array's own memory.
"""

import re
import struct

from .arrays import ALIGNMENT, FIXED, memory_of, replace

# Levels of nested structured types, and fields in all.
_MAX_DTYPE_DEPTH = 16
_MAX_FIELDS = 4096
_MAX_DIMENSIONS = 64
_SIMPLE = re.compile(
    r"\|b1|\|[iu]1|[<>][iu][248]|[<>]f(?:[248]|12|16)|[<>]c(?:8|16|24|32)|\|[SV][0-9]{1,9}"
    r"|[<>]U[0-9]{1,8}|[<>][Mm]8(?:\[[0-9]{0,9}(?:[YMWDhms]|[munpfa]s)\])?"
)


class Incoming:
    """A payload with arrays, of which table and head are there.

    `begin` are its first bytes, `size` the bytes of the whole, `loads` the decoder of the head. A
    ValueError for anything that is not what it claims.
    """

    __slots__ = ("head", "_arrays", "_parts", "_segments", "_value")

    def __init__(self, begin, size, loads):
        count, head_size = FIXED.unpack_from(begin)
        head_at = FIXED.size + 8 * count
        lengths = struct.unpack_from("<%dQ" % count, begin, FIXED.size)
        self.head = bytes(begin[head_at : head_at + head_size])
        self._segments = _places(lengths, head_at + head_size, size)
        head = loads(self.head)
        if type(head) is not tuple or len(head) != 2 or type(head[0]) is not list:
            raise ValueError("the arrays of a message are not described")
        descriptions, self._value = head
        self._parts = _parts(descriptions, lengths)
        self._arrays = None

    def allocate(self):
        """Memory for the arrays: pairs of the place in the payload and the memory to fill."""
        self._arrays = [
            [_new_array(dtype, shape, order) for dtype, shape, order in group]
            for group in self._parts
        ]
        made = [array for group in self._arrays for array in group]
        return [(at, memory_of(array)) for (at, _), array in zip(self._segments, made)]

    def view(self, payload):
        """Takes the bytes of the whole payload, which become the arrays' memory."""
        import numpy

        places = iter(self._segments)
        self._arrays = [
            [
                _made(numpy.ndarray, shape, dtype, payload, next(places)[0], order=order)
                if length(dtype, shape)
                else (next(places), _new_array(dtype, shape, order))[1]
                for dtype, shape, order in group
            ]
            for group in self._parts
        ]

    def value(self):
        """The value, with its arrays."""
        arrays = iter(self._arrays)

        def take(_):
            try:
                return _array(next(arrays))
            except StopIteration:
                raise ValueError("a place in the value has no array") from None

        value = replace(self._value, take, type(...))
        if next(arrays, None) is not None:
            raise ValueError("an array has no place in its value")
        return value

    def __contains__(self, text):
        return text in self.head


class Filler:
    """The memory of arrays, filled from a payload that comes in pieces.

    `missing` is what `Incoming.allocate` returns; `at` bytes of the payload have come before.
    """

    __slots__ = ("at", "_begin", "_memory", "_missing")

    def __init__(self, missing, at):
        self.at = at
        self._missing = iter(missing)
        self._begin, self._memory = at, memoryview(b"")

    def feed(self, piece):
        """Takes the next bytes; a ValueError where no array has a place for them."""
        piece = memoryview(piece)
        while piece:
            done = self.at - self._begin
            if done >= len(self._memory):
                self._begin, self._memory = self._next()
                continue
            if done < 0:
                # Zeros before the segment.
                taken = min(len(piece), -done)
            else:
                taken = min(len(piece), len(self._memory) - done)
                self._memory[done : done + taken] = piece[:taken]
            piece = piece[taken:]
            self.at += taken

    def _next(self):
        for found in self._missing:
            return found
        raise ValueError("the server sent more than the answer to one call")


def begin_size(fixed, size):
    """Bytes of a payload's table and head, by its first bytes."""
    count, head_size = FIXED.unpack_from(fixed)
    end = FIXED.size + 8 * count + head_size
    if end > size:
        raise ValueError("the table of the arrays' segments is cut short")
    return end


def buffer(size):
    """New memory of so many bytes. The system takes it from others only as it is written to."""
    import numpy

    return memoryview(numpy.empty(size, numpy.uint8))


def loads(payload, decode, copies):
    """The value of a whole payload. Arrays have new memory, or that of the payload."""
    if len(payload) < FIXED.size:
        raise ValueError("the table of the arrays' segments is cut short")
    end = begin_size(payload, len(payload))
    incoming = Incoming(payload[:end], len(payload), decode)
    if copies:
        for at, memory in incoming.allocate():
            memory[:] = payload[at : at + len(memory)]
    else:
        incoming.view(payload)
    return incoming.value()


def _places(lengths, at, size):
    """Begin and end of each segment in a payload of `size` bytes."""
    places = []
    for count in lengths:
        at += -at % ALIGNMENT
        places.append((at, at + count))
        at += count
        if at > size:
            raise ValueError("a segment of an array reaches beyond the message")
    if at != size:
        raise ValueError("bytes follow the last segment of the arrays")
    return places


def _parts(descriptions, lengths):
    """Type, shape and order of each segment, grouped by arrays."""
    import numpy

    lengths = iter(lengths)
    groups = []
    for described in descriptions:
        if type(described) is not tuple or len(described) not in (3, 4):
            raise ValueError("the description of an array is malformed")
        dtype, shape = _make_dtype(described[0]), _check_shape(described[1])
        group = [(dtype, shape, described[2])]
        if len(described) == 4:
            mask = numpy.dtype(bool) if dtype.names is None else numpy.ma.make_mask_descr(dtype)
            group += [(mask, shape, described[3]), (dtype, (), "C")]
        for dtype, shape, order in group:
            if order not in ("C", "F"):
                raise ValueError("the order of an array is neither C nor F")
            if length(dtype, shape) != next(lengths, None):
                raise ValueError("an array has another number of bytes than its shape needs")
        groups.append(group)
    if next(lengths, None) is not None:
        raise ValueError("a segment belongs to no array")
    return groups


def length(dtype, shape):
    """Bytes of an array."""
    total = dtype.itemsize
    for count in shape:
        total *= count
    return total


def _check_shape(shape):
    if type(shape) is not tuple or len(shape) > _MAX_DIMENSIONS:
        raise ValueError("the shape of an array is malformed")
    for count in shape:
        if type(count) is not int or not 0 <= count < 1 << 62:
            raise ValueError("the shape of an array is malformed")
    return shape


def _make_dtype(described, depth=0, seen=None):
    import numpy

    seen = [0] if seen is None else seen
    if type(described) is str:
        if not _SIMPLE.fullmatch(described):
            raise ValueError("the dtype of an array is not one of plain bytes")
        return _made(numpy.dtype, described)
    if type(described) is not tuple or depth >= _MAX_DTYPE_DEPTH:
        raise ValueError("the dtype of an array is malformed")
    if len(described) == 2:
        base = _make_dtype(described[0], depth + 1, seen)
        return _made(numpy.dtype, (base, _check_shape(described[1])))
    if len(described) != 4:
        raise ValueError("the dtype of an array is malformed")
    names, types, offsets, size = described
    if not (type(names) is type(types) is type(offsets) is list and type(size) is int):
        raise ValueError("the dtype of an array is malformed")
    seen[0] += len(names)
    if not len(names) == len(types) == len(offsets) or seen[0] > _MAX_FIELDS:
        raise ValueError("the dtype of an array is malformed")
    if set(map(type, names)) - {str} or set(map(type, offsets)) - {int}:
        raise ValueError("the dtype of an array is malformed")
    types = [_make_dtype(one, depth + 1, seen) for one in types]
    for offset, one in zip(offsets, types):
        if not 0 <= offset <= size - one.itemsize:
            raise ValueError("a field of an array reaches beyond its element")
    fields = {"names": names, "formats": types, "offsets": offsets, "itemsize": size}
    return _made(numpy.dtype, fields)


def _new_array(dtype, shape, order):
    """An array with memory for as many bytes as its segment has."""
    import numpy

    # `numpy.empty` takes texts of length 0 for texts of length 1.
    made = _made(numpy.ndarray, shape, dtype, order=order)
    if made.nbytes != length(dtype, shape):
        raise ValueError("numpy makes an array of another size than its description")
    return made


def _made(make, *args, **kwargs):
    """An object that numpy makes of a peer's description; a ValueError for what it refuses."""
    try:
        return make(*args, **kwargs)
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise ValueError("numpy refuses an array: {}".format(error)) from None


def _array(group):
    if len(group) == 1:
        return group[0]
    import numpy

    data, mask, fill = group
    try:
        made = numpy.ma.MaskedArray(data, mask=mask, copy=False)
        made.set_fill_value(fill[()])
    except Exception as error:
        # numpy's `MaskError` is no ValueError.
        raise ValueError("numpy refuses an array: {}".format(error)) from None
    return made
