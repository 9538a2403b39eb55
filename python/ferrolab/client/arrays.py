"""Numpy arrays as packed bytes, for clients and workers.

The byte table is in `crates/wire/src/packed.rs`: a table of segments, a head in marshal that has an
Ellipsis in place of each array, and the segments. Elements are sent from the array's own memory and
received into it. A worker first copies an array that its driver still has: while it is sent,
another thread of the driver may go on writing to it.

Numpy is imported when the first array is made; `incoming_arrays` is the other direction.
"""

import importlib.util
import marshal
import struct
import sys

# The id in the headers of messages with arrays.
SERIALIZER = 70
# The version of the format that a daemon announces.
FORMAT = 1

# Segments begin at a multiple of this many bytes.
ALIGNMENT = 8
# The beginning of a payload: number of segments, bytes of the head.
FIXED = struct.Struct("<II")
# Kinds of elements of plain bytes. Text of variable length (T) is kept elsewhere, like objects.
_KINDS = frozenset("biufcSUMmV")


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
    # Another thread may be importing numpy.
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    if ndarray is None or not isinstance(value, ndarray):
        return None
    _describe_dtype(value.dtype)
    return Kept(value)


def dumps(value, copies_shared=False):
    """The payload for plain data with marked arrays; None without any.

    With `copies_shared` arrays are copied to which others refer too.
    """
    kept = []
    value = replace(value, lambda found: kept.append(found) or ..., Kept)
    if not kept:
        return None
    if copies_shared:
        for one in kept:
            if _is_shared(one):
                one.array = one.array.copy(order="A")
    return _payload(value, [one.array for one in kept])


def _references_of_local():
    made = []
    # Two before Python 3.14, where an argument is counted too; one since then.
    return sys.getrefcount(made)


_OWN_REFERENCES = _references_of_local()


def _is_shared(one):
    """Whether others refer to a marked array, or to the memory that it shows a part of."""
    if isinstance(one.array, sys.modules["numpy"].ma.MaskedArray):
        # The driver may still have its mask, also where it has let go of the data.
        return True
    # The mark itself has a reference, and so has this call's argument.
    if sys.getrefcount(one.array) > 2:
        return True
    base = one.array.base
    # Such as the array before `reshape`, which the new one refers to.
    return base is not None and (
        not hasattr(base, "base")
        or base.base is not None
        # The array has one more.
        or sys.getrefcount(base) > _OWN_REFERENCES + 1
    )


def lists(value, to_plain):
    """Plain data with `to_plain(array)` in place of marked arrays."""
    return replace(value, lambda found: to_plain(found.array), Kept)


def replace(value, make, mark):
    """The same data with `make(item)` for each item of the type `mark`, in the order of marshal."""
    kind = type(value)
    if kind is mark:
        return make(value)
    if kind is list or kind is tuple:
        return kind([replace(item, make, mark) for item in value])
    if kind is dict:
        return {key: replace(item, make, mark) for key, item in value.items()}
    return value


def _payload(value, kept):
    descriptions, segments = [], []
    for array in kept:
        descriptions.append(_describe(array, segments))
    head = marshal.dumps((descriptions, value), 2)
    lengths = list(map(len, segments))
    table = FIXED.pack(len(segments), len(head)) + struct.pack("<%dQ" % len(lengths), *lengths)
    begin = table + head
    buffers = [begin]
    at = len(begin)
    for segment in segments:
        gap = -at % ALIGNMENT
        if gap:
            buffers.append(bytes(gap))
        buffers.append(segment)
        at += gap + len(segment)
    return Packed(buffers)


def _describe(array, segments):
    import numpy

    # Without the rules of subclasses: a matrix stays two-dimensional whatever is done to it.
    data, order = _contiguous(numpy.asarray(array))
    segments.append(memory_of(data))
    described = (_describe_dtype(data.dtype), data.shape, order)
    if not isinstance(array, numpy.ma.MaskedArray):
        return described
    mask, mask_order = _contiguous(numpy.asarray(numpy.ma.getmaskarray(array)))
    segments.append(memory_of(mask))
    segments.append(memory_of(_contiguous(numpy.array(array.fill_value, dtype=data.dtype))[0]))
    return described + (mask_order,)


def _contiguous(array):
    """The array, or a copy of it that lies in one piece, and its order."""
    if _has_gaps(array.dtype):
        import numpy

        # Between the fields of an element lies whatever was in that memory before. `zeros_like` and
        # copies of whole elements leave such bytes as well; `zeros` leaves none.
        clean = numpy.zeros(array.shape, array.dtype, "F" if array.flags.fnc else "C")
        _copy_fields(array, clean)
        array = clean
    if array.flags.c_contiguous:
        return array, "C"
    if array.flags.f_contiguous:
        return array, "F"
    return array.copy(order="C"), "C"


def _copy_fields(source, target):
    """Copies the innermost fields of elements, each for itself, and nothing between them."""
    if target.dtype.names is None:
        target[...] = source
        return
    for name in target.dtype.names:
        _copy_fields(source[name], target[name])


def _has_gaps(dtype):
    """Whether an element has bytes that belong to no field."""
    if dtype.subdtype is not None:
        return _has_gaps(dtype.base)
    if dtype.names is None:
        return False
    end = 0
    # By their offsets: fields may overlap, and may be in any order.
    for field, at in sorted((dtype.fields[name][:2] for name in dtype.names), key=lambda one: one[1]):
        if at > end or _has_gaps(field):
            return True
        end = max(end, at + field.itemsize)
    return end < dtype.itemsize


def memory_of(array):
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
