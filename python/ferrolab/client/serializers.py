"""The four serializers as a client uses them, and which one a connection takes.

`auto` is marshal with daemons that announce Ferrolab: the fastest, and it keeps every type. On a
connection whose server is trusted (see `transport`) Python's own decoder reads it, elsewhere
`safe_marshal`: in one run it took 0.4 us for a number where JSON took 5 and serpent 3, and 1.4 ms
for 100,000 floats, like Python's own, where they took 17 and 42. Other servers get serpent, as from
Pyro5's own client: they convert more classes for it than for marshal.
"""

import json
import marshal
import struct

from . import arrays, incoming_arrays, message, safe_marshal, serpent
from .errors import RAN, SerializeError
from .plain import convert, plain_array

_PLACES = safe_marshal.loads_with_places
# Errors of the decoders for bytes that are no value.
_UNREADABLE = (
    ValueError, TypeError, EOFError, RecursionError, MemoryError, OverflowError, struct.error,
)  # fmt: skip


def _marshal_call(object_id, method, args, kwargs):
    # Version 2 has no references; every Python reads it.
    try:
        return marshal.dumps((object_id, method, args, kwargs), 2)
    except ValueError:
        call = arrays.lists((object_id, method, args, kwargs), plain_array)
        return marshal.dumps(call, 2)


def _packed_call(object_id, method, args, kwargs):
    """A call in marshal, or with its arrays as packed bytes."""
    call = object_id, method, args, kwargs
    try:
        return marshal.dumps(call, 2)
    except ValueError:
        # Marked arrays are no data for marshal.
        made = arrays.dumps(call)
        if made is None:
            raise
        return made


def _json_call(object_id, method, args, kwargs):
    call = {"object": object_id, "method": method, "params": args, "kwargs": kwargs}
    return json.dumps(call, default=_json_default).encode("utf-8")


def _json_default(value):
    if isinstance(value, (set, frozenset)):
        return tuple(value)
    if isinstance(value, bytes):
        import base64

        return {"data": base64.b64encode(value).decode("ascii"), "encoding": "base64"}
    if isinstance(value, complex):
        raise TypeError("json has no complex numbers")
    return convert(value)


def _json_loads(data):
    return json.loads(bytes(data).decode("utf-8"))


def _msgpack_call(object_id, method, args, kwargs):
    return _msgpack().packb(
        (object_id, method, args, kwargs), use_bin_type=True, default=_msgpack_default
    )


def _msgpack_default(value):
    if isinstance(value, (set, frozenset)):
        return tuple(value)
    if isinstance(value, complex):
        return _msgpack().ExtType(0x30, _complex_bytes(value))
    return convert(value)


def _complex_bytes(value):
    return struct.pack("dd", value.real, value.imag)


def _msgpack_loads(data):
    def extension(code, payload):
        if code == 0x30 and len(payload) == 16:
            return complex(*struct.unpack("dd", payload))
        raise ValueError("an extension of msgpack with code {}".format(code))

    try:
        return _msgpack().unpackb(data, raw=False, strict_map_key=False, ext_hook=extension)
    except _msgpack().UnpackException as error:
        raise ValueError(str(error)) from None


def _msgpack():
    try:
        import msgpack
    except ImportError:
        raise SerializeError(
            "the serializer msgpack needs the package msgpack", outcome="not started"
        ) from None
    return msgpack


SERPENT, MARSHAL, JSON, MSGPACK = 1, 2, 3, 4
IDS = {"serpent": SERPENT, "marshal": MARSHAL, "json": JSON, "msgpack": MSGPACK}
_DUMPS = {
    SERPENT: serpent.dumps_call,
    MARSHAL: _marshal_call,
    JSON: _json_call,
    MSGPACK: _msgpack_call,
}
_LOADS = {
    SERPENT: serpent.loads,
    MARSHAL: safe_marshal.loads,
    JSON: _json_loads,
    MSGPACK: _msgpack_loads,
}


def check_name(name):
    """The name of a serializer, or `auto`."""
    if name != "auto" and name not in IDS:
        raise ValueError("no serializer is called {!r}: auto, {}".format(name, ", ".join(IDS)))
    return name


def speak(name, members):
    """The serializer's id, its encoder and the flags of every call, for a connection."""
    if name != "auto":
        return IDS[name], _DUMPS[IDS[name]], 0
    if not members.ferrolab:
        return SERPENT, _DUMPS[SERPENT], 0
    # By marshal's own rules a Decimal in a list, or a proxy, is an error.
    if members.arrays and arrays.has_numpy():
        return MARSHAL, _packed_call, message.SERPENT_RULES | message.ARRAYS
    return MARSHAL, _DUMPS[MARSHAL], message.SERPENT_RULES


def arrays_begin(begin, size, trusted):
    """A payload with arrays of `size` bytes that begins so, and the memory to fill with the rest
    (`Incoming.allocate`); a SerializeError for other bytes."""
    try:
        payload = incoming_arrays.Incoming(begin, size, marshal.loads if trusted else _PLACES)
        return payload, payload.allocate()
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def decode(number, payload, trusted):
    """The value of an answer; a SerializeError for bytes that are no value."""
    try:
        if number == MARSHAL and trusted:
            return marshal.loads(payload)
        if number == arrays.SERIALIZER:
            if type(payload) is incoming_arrays.Incoming:
                return payload.value()
            return incoming_arrays.loads(payload, marshal.loads if trusted else _PLACES, True)
        return _LOADS[number](payload)
    except KeyError:
        raise SerializeError(
            "the server answers in serializer {}".format(number), outcome=RAN
        ) from None
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def _unreadable(error):
    text = "the call has run, but its result is not readable: {}".format(error)
    return SerializeError(text, outcome=RAN)
