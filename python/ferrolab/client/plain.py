"""Arguments as plain data: what every serializer can carry.

Owns what becomes of numpy's numbers, of subclasses, times and other known classes.
`marshal.dumps` would take anything with a buffer for bytes, so nothing passes by unseen. Arrays are
marked (`arrays.Kept`): what the serializer makes of them depends on the connection.
"""

import array
import datetime
import decimal
import enum
import os
import uuid

from . import arrays
from .errors import SerializeError

SCALARS = frozenset((int, float, str, bool, type(None), bytes, complex))
# Levels of nested containers, as in the daemon's limits.
MAX_DEPTH = 200

# Functions that make plain data of the instances of a class, by the class: see `register`.
_registered = {}


def register(cls, to_plain):
    """Has the instances of `cls` converted by `to_plain`, which returns plain data."""
    _registered[cls] = to_plain


def plain_args(args):
    """Positional arguments as plain data; the same tuple if they are it."""
    for arg in args:
        if type(arg) not in SCALARS:
            return tuple([plain(arg, 0) for arg in args])
    return args


def plain_kwargs(kwargs):
    """Keyword arguments as plain data."""
    return {name: plain(value, 0) for name, value in kwargs.items()}


def plain(value, depth):
    """`value`, or the plain data for it."""
    kind = type(value)
    if kind in SCALARS or kind is arrays.Kept:
        return value
    if depth > MAX_DEPTH:
        raise SerializeError(
            "an argument has more than {} levels, or contains itself".format(MAX_DEPTH),
            outcome="not started",
        )
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        if SCALARS.issuperset(map(type, value)):
            return value
        return kind([plain(item, depth + 1) for item in value])
    if kind is dict:
        return {plain(k, depth + 1): plain(v, depth + 1) for k, v in value.items()}
    return plain(convert(value), depth + 1)


def plain_array(array):
    """An array as lists of plain data."""
    made = array.tolist()
    # A datetime64 of nanoseconds becomes an int, others become datetimes.
    return plain(made, 0)


def convert(value):
    """The next simpler form of a value that is no plain data itself."""
    cls = type(value)
    if cls is arrays.Kept:
        return value.array.tolist()
    for known in cls.__mro__:
        if known in _registered:
            return _registered[known](value)
    # A proxy of either library would be asked for what it does not have.
    if cls.__module__.partition(".")[0] == "Pyro5":
        return _of_pyro5(value)
    if cls.__module__.partition(".")[0] == "numpy" or hasattr(value, "__array_interface__"):
        return _numpy(value)
    if isinstance(value, enum.Enum):
        return value.value
    for base in (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset):
        if isinstance(value, base):
            return base(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, array.array):
        return value.tolist()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, BaseException):
        return {
            "__class__": "{}.{}".format(cls.__module__, cls.__qualname__),
            "__exception__": True,
            "args": value.args,
            "attributes": dict(vars(value)),
        }
    raise _unknown(cls)


def _of_pyro5(value):
    """The forms of Pyro5's own addresses and proxies; the receiver gets no token."""
    name = type(value).__name__
    if name == "Proxy":
        return {
            "__class__": "Pyro5.client.Proxy",
            "state": (str(value._pyroUri), (), (), (), "hello", None),
        }
    if name == "URI":
        state = (value.protocol, value.object, value.sockname, value.host, value.port)
        return {"__class__": "Pyro5.core.URI", "state": state}
    raise _unknown(type(value))


def _unknown(cls):
    return SerializeError(
        "cannot send a {}.{}: send plain data, or name a conversion with "
        "`ferrolab.register(cls, to_plain)`".format(cls.__module__, cls.__qualname__),
        outcome="not started",
    )


def _numpy(value):
    try:
        kept = arrays.keep(value)
    except TypeError as error:
        raise SerializeError(str(error), outcome="not started") from None
    if kept is not None:
        return kept
    tolist = getattr(value, "tolist", None)
    if tolist is None:
        raise SerializeError("cannot send a {}".format(type(value).__name__), outcome="not started")
    made = tolist()
    # A datetime64 of nanoseconds becomes an int, others become datetimes.
    return made if type(made) is not type(value) else str(value)
