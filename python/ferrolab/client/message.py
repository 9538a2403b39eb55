"""Messages of Pyro5's protocol 502 as a client reads and writes them.

The byte table is in `crates/wire/src/message.rs`: 40 bytes of header, annotations, payload. Here
are its codes, and the checks of what a server announces, before memory is allocated for it.
"""

import struct
import zlib

from .errors import MessageTooLargeError, ProtocolError

CONNECT, CONNECT_OK, CONNECT_FAIL, INVOKE, RESULT, PING = range(1, 7)

EXCEPTION = 1
COMPRESSED = 1 << 1
ONEWAY = 1 << 2
BATCH = 1 << 3
ITEM_STREAM = 1 << 4
# Ferrolab's own: the caller knows arrays as packed bytes.
ARRAYS = 1 << 14
# Ferrolab's own, of an answer: the call has not begun by its deadline, and will not.
NOT_BEGUN = 1 << 13
# Ferrolab's own: a driver's objects become data by serpent's rules, whatever the serializer.
SERPENT_RULES = 1 << 15

HEADER_BYTES = 40
# Serializer id of a ping, which has no payload.
PING_SERIALIZER = 42
# Bytes of all annotations of one message, as the daemon's limits have it.
MAX_ANNOTATION_BYTES = 64 << 10
# Bytes of a message before the handshake is done.
MAX_HANDSHAKE_BYTES = 1 << 20

_TAG = b"PYRO"
_VERSION = 502
_MAGIC = 0x4DC5
_NO_CORRELATION = bytes(16)
_HEADER = struct.Struct("!4sHBBHHII16sHH")
_CHUNK = struct.Struct("!4sI")
# Annotation of a request: how many microseconds it may wait before it begins.
_DEADLINE = struct.Struct("!4sIQ")
_DEADLINE_BYTES = struct.pack("!I", _DEADLINE.size)
# Margin between the deadline that a daemon is told and the client's own timeout, so that the answer
# "not started" arrives in time: a share of the timeout, and at most so many seconds.
_DEADLINE_MARGIN_SHARE = 0.1
_DEADLINE_MARGIN_SECONDS = 0.25
_pack = _HEADER.pack
_unpack = _HEADER.unpack_from


def header(kind, serializer, flags, seq, size):
    """The header of a message without annotations whose payload has `size` bytes."""
    return _pack(_TAG, _VERSION, kind, serializer, flags, seq, size, 0, _NO_CORRELATION, 0, _MAGIC)


def with_deadline(head, seconds):
    """A header with the annotation that its call is not to begin after so many seconds."""
    # Nine thousand years are enough for a number of 8 bytes.
    seconds = min(seconds, 2.8e11)
    micros = int((seconds - min(seconds * _DEADLINE_MARGIN_SHARE, _DEADLINE_MARGIN_SECONDS)) * 1e6)
    note = _DEADLINE.pack(b"DLIN", 8, micros)
    return head[:16] + _DEADLINE_BYTES + head[20:] + note


def read_header(data, kind, seq, limit):
    """Flags, serializer, annotation bytes and payload bytes of the expected answer.

    `kind` is a message type or a tuple of them; `limit` is the most bytes that may follow.
    """
    tag, version, type_, serializer, flags, number, size, notes, _, _, magic = _unpack(data)
    if tag != _TAG or magic != _MAGIC:
        raise ProtocolError(
            "the server does not speak Pyro5's protocol: {!r}".format(bytes(data[:8]))
        )
    if version != _VERSION:
        raise ProtocolError(
            "the server speaks version {} of the protocol, not {}".format(version, _VERSION)
        )
    if type_ != kind and not (type(kind) is tuple and type_ in kind):
        raise ProtocolError(
            "the server sent a message of type {} where {} was due".format(type_, kind)
        )
    if number != seq:
        raise ProtocolError("the server sent answer {} where {} was due".format(number, seq))
    if notes > MAX_ANNOTATION_BYTES or size + notes > limit:
        raise MessageTooLargeError(
            "the server announces an answer of {} bytes, the limit is {} (`max_message`)".format(
                size + notes, limit
            )
        )
    return type_, flags, serializer, notes, size


def read_annotations(data):
    """The annotations of a message, by their ids."""
    found = {}
    at = 0
    while at < len(data):
        if len(data) - at < _CHUNK.size:
            raise ProtocolError("the server sent annotations that are cut short")
        name, size = _CHUNK.unpack_from(data, at)
        at += _CHUNK.size
        if size > len(data) - at:
            raise ProtocolError("the server sent annotations that are cut short")
        found[name.decode("ascii", "replace")] = bytes(data[at : at + size])
        at += size
    return found


def inflate(payload, limit):
    """A compressed payload, inflated to `limit` bytes at most."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(payload, limit)
    except zlib.error as error:
        raise ProtocolError(
            "the server sent a damaged compressed answer: {}".format(error)
        ) from None
    if stream.unconsumed_tail:
        raise MessageTooLargeError(
            "the server sent an answer that inflates to more than {} bytes (`max_message`)".format(
                limit
            )
        )
    if not stream.eof:
        raise ProtocolError("the server sent a compressed answer that is cut short")
    return data
