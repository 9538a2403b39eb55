"""Large results whose bytes need no second look and no second copy.

Owns how they stand in an answer's frame. Bytes go to the socket from where they are. A list of
numbers is written once, and what was written tells that it held nothing else: to look at the type
of each number takes as long as to write all of them.
"""

import marshal
import struct

from .framing import LARGE, MARSHAL_VERSION
from .rules import JSON

# marshal's tuple of two, the first of which is the 0 that stands for a value
_VALUE = b"(\2\0\0\0i\0\0\0\0"
# a code, and how many bytes or items follow
_HEAD = struct.Struct("<si")
# A float and a small int each have their code and as many bytes in all.
_NUMBERS = {float: (b"g", 9), int: (b"i", 5)}
# Shorter lists are as well looked at number by number.
_MANY = 256
_LONGEST = 0x7FFFFFFF


def parts(value, serializer):
    """The beginning of the frame's content and its rest; None if `value` is to be looked at."""
    kind = type(value)
    if kind is bytes:
        if LARGE <= len(value) <= _LONGEST and serializer != JSON:
            return _VALUE + _HEAD.pack(b"s", len(value)), value
    elif kind is list and len(value) >= _MANY:
        first = type(value[0])
        if first in _NUMBERS and type(value[-1]) is first:
            data = _numbers(value, *_NUMBERS[first])
            if data is not None:
                return _VALUE, data
    return None


def _numbers(value, code, size):
    try:
        data = marshal.dumps(value, MARSHAL_VERSION)
    except ValueError:
        return None
    # By induction: where a number begins with its code, the next one begins `size` further on.
    count = _HEAD.unpack_from(data)[1]
    if len(data) == _HEAD.size + size * count and data[_HEAD.size :: size] == code * count:
        return data
    return None
