"""Numpy arrays as packed bytes, for clients and workers.

The byte table is in `crates/wire/src/packed.rs`: a table of segments, a head in marshal that has an
Ellipsis in place of each array, and the segments. Elements are sent from the array's own memory and
received into it. A worker first copies an array that its driver still has: while it is sent, another
thread of the driver may go on writing to it.

A peer's description of an array is checked before memory is taken for it: types are those of plain
bytes (an object would be an address), and a segment has as many bytes as its shape needs. Numpy is
imported when the first array is made.
"""

import importlib.util
import marshal
import re
import struct
import sys

# The id in the headers of messages with arrays.
SERIALIZER = 70
# The version of the format that a daemon announces.
FORMAT = 1

# Levels of nested structured types, and fields in all.
_MAX_DTYPE_DEPTH = 16
_MAX_FIELDS = 4096
_MAX_DIMENSIONS = 64
_ALIGNMENT = 8
_FIXED = struct.Struct("<II")
# Kinds of elements of plain bytes. Text of variable length (T) is kept elsewhere, like objects.
_KINDS = frozenset("biufcSUMmV")
_SIMPLE = re.compile(
    r"\|b1|\|[iu]1|[<>][iu][248]|[<>]f(?:[248]|12|16)|[<>]c(?:8|16|24|32)|\|[SV][0-9]{1,9}"
    r"|[<>]U[0-9]{1,8}|[<>][Mm]8(?:\[[0-9]{0,9}(?:[YMWDhms]|[munpfa]s)\])?"
)


class Kept:
    """An array among plain data, which no serializer takes for something else."""

    __slots__ = ("array",)

    def __init__(self, array):
        self.array = array


class Packed:
    """A payload with arrays: buffers that are sent one after the other."""

    __slots__ = ("buffers", "flags", "size")

    def __init__(self, buffers):
        self.buffers = buffers
        # Of the worker's frames.
        self.flags = 0
        self.size = sum(map(len, buffers))

    def __len__(self):
        return self.size


def has_numpy():
    """Whether this interpreter can make arrays; numpy is not imported for it."""
    try:
        return "numpy" in sys.modules or importlib.util.find_spec("numpy") is not None
    except (ImportError, ValueError):
        return False


def keep(value):
    """An array, marked; None for other values. A TypeError for an array of Python objects."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray):
        return None
    _describe_dtype(value.dtype)
    return Kept(value)


# Sending


def dumps(value, copies_shared=False):
    """The payload for plain data with marked arrays; None without any.

    With `copies_shared` arrays are copied to which others refer too.
    """
    kept = []
    value = _replace(value, lambda found: kept.append(found) or ..., Kept)
    if not kept:
        return None
    if copies_shared:
        for one in kept:
            if _is_shared(one):
                one.array = one.array.copy(order="A")
    return _payload(value, [one.array for one in kept])


def _is_shared(one):
    """Whether others refer to a marked array, or to the memory that it shows a part of."""
    # The mark itself has a reference, and so has this call's argument.
    if sys.getrefcount(one.array) > 2:
        return True
    base = one.array.base
    # Such as the array before `reshape`, which the new one refers to.
    return base is not None and (
        not hasattr(base, "base") or base.base is not None or sys.getrefcount(base) > 3
    )


def lists(value, to_plain):
    """Plain data with `to_plain(array)` in place of marked arrays."""
    return _replace(value, lambda found: to_plain(found.array), Kept)


def _replace(value, replace, mark):
    """The same data with other values for those of the type `mark`, in the order of marshal."""
    kind = type(value)
    if kind is mark:
        return replace(value)
    if kind is list or kind is tuple:
        return kind([_replace(item, replace, mark) for item in value])
    if kind is dict:
        return {key: _replace(item, replace, mark) for key, item in value.items()}
    return value


def _payload(value, kept):
    descriptions, segments = [], []
    for array in kept:
        descriptions.append(_describe(array, segments))
    head = marshal.dumps((descriptions, value), 2)
    lengths = list(map(len, segments))
    table = _FIXED.pack(len(segments), len(head)) + struct.pack("<%dQ" % len(lengths), *lengths)
    begin = table + head
    buffers = [begin]
    at = len(begin)
    for segment in segments:
        gap = -at % _ALIGNMENT
        if gap:
            buffers.append(bytes(gap))
        buffers.append(segment)
        at += gap + len(segment)
    return Packed(buffers)


def _describe(array, segments):
    import numpy

    # Without the rules of subclasses: a matrix stays two-dimensional whatever is done to it.
    data, order = _contiguous(numpy.asarray(array))
    segments.append(_memory(data))
    described = (_describe_dtype(data.dtype), data.shape, order)
    if not isinstance(array, numpy.ma.MaskedArray):
        return described
    mask, mask_order = _contiguous(numpy.asarray(numpy.ma.getmaskarray(array)))
    segments.append(_memory(mask))
    segments.append(_memory(numpy.array(array.fill_value, dtype=data.dtype)))
    return described + (mask_order,)


def _contiguous(array):
    """The array, or a copy of it that lies in one piece, and its order."""
    if _has_gaps(array.dtype):
        import numpy

        # Between the fields of an element lies whatever was in that memory before.
        clean = numpy.zeros_like(array, order="A")
        clean[...] = array
        array = clean
    if array.flags.c_contiguous:
        return array, "C"
    if array.flags.f_contiguous:
        return array, "F"
    return array.copy(order="C"), "C"


def _has_gaps(dtype):
    """Whether an element has bytes that belong to no field."""
    if dtype.subdtype is not None:
        return _has_gaps(dtype.base)
    if dtype.names is None:
        return False
    fields = [dtype.fields[name][0] for name in dtype.names]
    return sum(one.itemsize for one in fields) < dtype.itemsize or any(map(_has_gaps, fields))


def _memory(array):
    """The bytes of a contiguous array, without a copy."""
    import numpy

    if not array.nbytes:
        return memoryview(bytearray())
    if not array.flags.c_contiguous:
        array = array.T
    # Times have no buffer, but their bytes do.
    return memoryview(array.reshape(-1).view(numpy.uint8))


def _describe_dtype(dtype, field=None):
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return _describe_dtype(base, field), shape
    if dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        types = [_describe_dtype(one[0], name) for name, one in zip(dtype.names, fields)]
        return list(dtype.names), types, [one[1] for one in fields], dtype.itemsize
    if dtype.hasobject or dtype.kind not in _KINDS:
        raise TypeError(
            "{} of Python objects (dtype {}) cannot be sent: give it a dtype of numbers or text, "
            "or send `array.tolist()`".format(
                "a numpy array" if field is None else "the field {!r} of a numpy array".format(field),
                dtype,
            )
        )
    return dtype.str


# Receiving


class Incoming:
    """A payload with arrays, of which table and head are there.

    `begin` are its first bytes, `size` the bytes of the whole, `loads` the decoder of the head. A
    ValueError for anything that is not what it claims.
    """

    __slots__ = ("head", "_arrays", "_parts", "_segments", "_value")

    def __init__(self, begin, size, loads):
        count, head_size = _FIXED.unpack_from(begin)
        head_at = _FIXED.size + 8 * count
        lengths = struct.unpack_from("<%dQ" % count, begin, _FIXED.size)
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
        import numpy

        self._arrays = [
            [_made(numpy.empty, shape, dtype, order=order) for dtype, shape, order in group]
            for group in self._parts
        ]
        made = [array for group in self._arrays for array in group]
        return [(at, _memory(array)) for (at, _), array in zip(self._segments, made)]

    def view(self, payload):
        """Takes the bytes of the whole payload, which become the arrays' memory."""
        import numpy

        places = iter(self._segments)
        self._arrays = [
            [
                _made(numpy.ndarray, shape, dtype, payload, next(places)[0], order=order)
                if length(dtype, shape)
                else (next(places), _made(numpy.empty, shape, dtype, order=order))[1]
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

        value = _replace(self._value, take, type(...))
        if next(arrays, None) is not None:
            raise ValueError("an array has no place in its value")
        return value

    def __contains__(self, text):
        return text in self.head


def begin_size(fixed, size):
    """Bytes of a payload's table and head, by its first bytes."""
    count, head_size = _FIXED.unpack_from(fixed)
    end = _FIXED.size + 8 * count + head_size
    if end > size:
        raise ValueError("the table of the arrays' segments is cut short")
    return end


FIXED_SIZE = _FIXED.size


def buffer(size):
    """New memory of so many bytes. The system takes it from others only as it is written to."""
    import numpy

    return memoryview(numpy.empty(size, numpy.uint8))


def loads(payload, decode, copies):
    """The value of a whole payload. Arrays have new memory, or that of the payload."""
    if len(payload) < _FIXED.size:
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
        at += -at % _ALIGNMENT
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
    made = _made(numpy.ma.MaskedArray, data, mask=mask, copy=False)
    made.set_fill_value(fill[()])
    return made
