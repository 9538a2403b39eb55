"""One blocking connection to a daemon: the handshake, and a request with its answer at a time.

A connection that has failed in any way is closed: what still arrives on it could be taken for the
answer to a later call. `busy` is held by the thread that uses it.
"""

import json
import os
import struct
import threading
import weakref
from time import monotonic

from . import arrays, incoming_arrays, logins, message, serializers, transport
from .answer import read_value, refuse_handshake
from .errors import (
    NOT_STARTED,
    RAN,
    CommunicationError,
    ConnectionClosedError,
    MessageTooLargeError,
    ProtocolError,
    PyroError,
    TimeoutError,
)
from .members import Members

DAEMON = "Pyro.Daemon"
# Bytes of one read: holds most answers whole.
_READ_BYTES = 16 << 10
# Bytes of memory for a large answer before any of it has arrived.
_FIRST_BYTES = 1 << 20
# Requests of this many bytes are sent without being copied to their header.
_LARGE_BYTES = 64 << 10
# Bytes of one send of a large request.
_SEND_BYTES = 1 << 20
# Seconds without a call after which the next one first looks whether the server is still there.
_IDLE = 0.05

_header = message.header
_read_header = message.read_header
_RESULT, _INVOKE = message.RESULT, message.INVOKE
_HEADER_BYTES = message.HEADER_BYTES


_connections = weakref.WeakSet()


class Connection:
    """A connection to the object of a URI, after its handshake."""

    def __init__(self, uri, settings):
        self.uri = uri
        self.settings = settings
        self.busy = threading.Lock()
        # The thread that waited its turn for it: a lock's, or a stream's reader.
        self.user = None
        self.seq = 0
        self.closed = False
        # Whether a call is under way; where it is not and `busy` is, an interrupt has come between.
        self.in_call = False
        # A connection for one call only, beside the thread's own.
        self.spare = False
        # Whether a call of `lock` by its name has locked the service for this connection.
        self.has_lock = False
        # Streams that were dropped without being read to their end; closed before the next call.
        self.dropped_streams = []
        self.used_at = monotonic()
        self._limit = message.MAX_HANDSHAKE_BYTES
        _connections.add(self)
        timeout = settings.connect_timeout
        # Before the deadline begins: it may ask the resolver and the server.
        tls, handshake = logins.way_to(uri, settings)
        deadline = None if timeout is None else monotonic() + timeout
        self.sock, self.trusted = transport.open_socket(uri, timeout, tls)
        self._clock = transport.Clock(self.sock)
        try:
            self.is_here = transport.is_here(self.sock, uri)
            self._shake_hands(handshake, deadline)
            self._clock.stop()
        except BaseException as error:
            self.close()
            if isinstance(error, CommunicationError):
                error.outcome = NOT_STARTED
            raise
        self._limit = settings.max_message

    def _shake_hands(self, handshake, deadline):
        hello = {"handshake": handshake, "object": self.uri.object}
        payload = json.dumps(hello).encode("utf-8")
        expected = (message.CONNECT_OK, message.CONNECT_FAIL)
        try:
            head = _header(message.CONNECT, serializers.JSON, 0, 0, len(payload))
            self._send((head + payload,), deadline)
            kind, _, number, _, payload = self._receive(expected, 0, deadline)
        except PyroError:
            raise
        except OSError as error:
            raise self._failure(error, NOT_STARTED) from error
        answer = serializers.decode(number, payload, False)
        if kind == message.CONNECT_FAIL:
            raise refuse_handshake(self.uri, answer)
        self.members = Members.from_handshake(answer)
        self.serializer, self.dumps, self._flags = serializers.speak(
            self.settings.serializer, self.members
        )

    def call(self, object_id, method, args, kwargs, flags=0, timeout=None):
        """The result of a call, or its exception; `args` are plain data."""
        self.in_call = True
        try:
            payload = self.dumps(object_id, method, args, kwargs)
            if self.dropped_streams:
                self.close_dropped_streams()
            answer = self.request(payload, flags, timeout)
            if answer is None:
                return None
            return read_value(answer, self)
        finally:
            self.in_call = False

    def request(self, payload, flags, timeout):
        """Sends a call; its answer as type, flags, serializer, annotations and payload.

        None for a oneway call. Any failure closes the connection.
        """
        self.seq = seq = (self.seq + 1) & 0xFFFF
        serializer = self.serializer if type(payload) is bytes else arrays.SERIALIZER
        head = _header(_INVOKE, serializer, flags | self._flags, seq, len(payload))
        sent = False
        # One block for both: an interrupt between them leaves an answer that nobody reads.
        try:
            deadline = None
            if timeout is not None:
                deadline = monotonic() + timeout
                if self.members.ferrolab and not flags & message.ONEWAY:
                    head = message.with_deadline(head, timeout)
            if deadline is None and len(payload) < _LARGE_BYTES and serializer == self.serializer:
                self.sock.sendall(head + payload)
            else:
                self._send_parts(head, payload, deadline)
            sent = True
            answer = None if flags & message.ONEWAY else self._receive(_RESULT, seq, deadline)
            if deadline is not None:
                self._clock.stop()
            return answer
        except MessageTooLargeError as error:
            self.close()
            error.outcome = RAN
            raise
        except PyroError:
            self.close()
            raise
        except OSError as error:
            self.close()
            if error.errno is None and not isinstance(error, (transport.TimeIsUp, transport.socket.timeout)):
                # A signal handler's of the program, which may raise any class.
                raise
            raise self._failure(error, None if sent else NOT_STARTED) from error
        except BaseException:
            # An interrupted receive: the answer would be the next call's.
            self.close()
            raise

    def ping(self, timeout):
        """Asks the server for a sign of life."""
        self.seq = seq = (self.seq + 1) & 0xFFFF
        deadline = monotonic() + timeout
        try:
            head = _header(message.PING, message.PING_SERIALIZER, 0, seq, 4)
            self._send((head + b"ping",), deadline)
            self._receive(message.PING, seq, deadline)
            self._clock.stop()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError) and not isinstance(error, PyroError):
                raise self._failure(error, NOT_STARTED) from error
            raise

    def is_stale(self):
        """Whether the server has closed the connection while nobody used it."""
        if self.closed:
            return True
        now = monotonic()
        if now - self.used_at < _IDLE:
            self.used_at = now
            return False
        self.used_at = now
        return transport.is_closed(self.sock)

    def close_dropped_streams(self):
        """Has the server close the streams that nobody reads any longer."""
        while self.dropped_streams:
            stream = self.dropped_streams.pop()
            payload = self.dumps(DAEMON, "close_stream", (stream,), {})
            self.request(payload, message.ONEWAY, self.settings.connect_timeout)

    def close(self):
        """Ends the connection; safe from any thread."""
        self.closed = True
        try:
            if self.busy.locked():
                # Wakes the thread that waits for an answer.
                self.sock.shutdown(transport.socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass
        self._drop()

    def _drop(self):
        self.closed = True
        try:
            self.sock.close()
        except (OSError, AttributeError):
            pass

    def __del__(self):
        self._drop()

    def _after_fork(self):
        # The parent goes on with the connection; the child only drops its descriptor.
        self._drop()
        self.busy = threading.Lock()

    def _send_parts(self, head, payload, deadline):
        """Sends a request; a large one is not copied to its header."""
        parts = (payload,) if type(payload) is bytes else payload.buffers
        if len(payload) < _LARGE_BYTES:
            self._send((b"".join([head, *parts]),), deadline)
        else:
            self._send((head, *parts), deadline)

    def _send(self, parts, deadline):
        for part in parts:
            with memoryview(part) as view:
                sent = 0
                while sent < len(view):
                    piece = view[sent : sent + _SEND_BYTES]
                    if deadline is None:
                        sent += self.sock.send(piece)
                    else:
                        sent += self._clock.send(piece, deadline)

    def _receive(self, kind, seq, deadline):
        if deadline is not None:
            self._clock.wait_readable(deadline)
        data = self.sock.recv(_READ_BYTES)
        if len(data) < _HEADER_BYTES:
            data = self._complete(data, _HEADER_BYTES, deadline)
        kind, flags, number, notes, size = _read_header(data, kind, seq, self._limit)
        total = _HEADER_BYTES + notes + size
        if len(data) < total:
            if number == arrays.SERIALIZER and not flags & message.COMPRESSED:
                notes, payload = self._receive_arrays(data, notes, size, deadline)
                return kind, flags, number, notes, payload
            data = self._complete(data, total, deadline)
        elif len(data) > total:
            raise ProtocolError("the server sent more than the answer to one call")
        if notes:
            at = _HEADER_BYTES + notes
            notes, payload = data[_HEADER_BYTES:at], data[at:]
        else:
            notes, payload = b"", data[_HEADER_BYTES:]
        if flags & message.COMPRESSED:
            payload = message.inflate(payload, self._limit)
        return kind, flags, number, notes, payload

    def _receive_arrays(self, data, notes, size, deadline):
        """The annotations and the payload of an answer; arrays are received into their memory."""
        begin = _HEADER_BYTES + notes
        at = min(begin + arrays.FIXED.size, begin + size)
        data = self._complete(data, at, deadline) if len(data) < at else data
        try:
            at = begin + incoming_arrays.begin_size(memoryview(data)[begin:], size)
        except (ValueError, struct.error) as error:
            raise ProtocolError("the server sent no arrays: {}".format(error)) from None
        data = self._complete(data, at, deadline) if len(data) < at else data
        there = memoryview(data)
        payload, missing = serializers.arrays_begin(there[begin:at], size, self.trusted)
        passed = len(there)
        for place, memory in missing:
            place += begin
            if passed < place:
                # Zeros between the segments.
                self._fill(memoryview(bytearray(place - passed)), deadline)
                passed = place
            part = there[place : place + len(memory)]
            memory[: len(part)] = part
            self._fill(memory[len(part) :], deadline)
            passed = max(passed, place + len(memory))
        return bytes(there[_HEADER_BYTES:begin]), payload

    def _fill(self, view, deadline):
        """Receives as many bytes as `view` has, into it."""
        filled, total = 0, len(view)
        while filled < total:
            if deadline is not None:
                self._clock.wait_readable(deadline)
            count = self.sock.recv_into(view[filled:])
            if not count:
                raise self._closed_error()
            filled += count

    def _complete(self, data, total, deadline):
        """`data` and the bytes after it, `total` in all; memory grows with what has arrived."""
        buffer = bytearray(data)
        filled = len(buffer)
        if not filled:
            raise self._closed_error()
        while filled < total:
            if filled == len(buffer):
                buffer.extend(bytes(min(total - filled, max(filled, _FIRST_BYTES))))
            with memoryview(buffer) as view:
                self._fill(view[filled:], deadline)
            filled = len(buffer)
        return buffer

    def _closed_error(self):
        return ConnectionClosedError(
            "{} closed the connection before its answer; the call may have run".format(self.uri)
        )

    def _failure(self, error, outcome):
        """The error of a failed send (`not started`) or receive (the outcome is unknown)."""
        what = (
            "the service has not seen the call"
            if outcome == NOT_STARTED
            else "the call may have run"
        )
        if isinstance(error, (BlockingIOError, transport.socket.timeout)):
            text = "no answer from {} in time; {}".format(self.uri, what)
            return TimeoutError(text, outcome=outcome)
        text = "the connection to {} failed ({}); {}".format(
            self.uri, error.strerror or error, what
        )
        return ConnectionClosedError(text, outcome=outcome)


def _drop_inherited():
    for connection in list(_connections):
        connection._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_inherited)
