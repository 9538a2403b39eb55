"""One connection to a daemon for asyncio: a protocol that knows of one answer that is due.

A call is sent when its connection is free, so that a slow call delays no other and a call that
waits is known not to have started. A call that is cancelled or late closes its connection: no other
call can get its answer.
"""

import asyncio
import json
import os
import socket
import struct
import weakref

from .. import arrays, incoming_arrays, logins, message, serializers, transport
from ..answer import read_value, refuse_handshake
from ..errors import (
    NOT_STARTED,
    RAN,
    UNKNOWN,
    CommunicationError,
    ConnectionClosedError,
    MessageTooLargeError,
    ProtocolError,
    PyroError,
    TimeoutError,
)
from ..members import Members

_HEADER_BYTES = message.HEADER_BYTES
_connections = weakref.WeakSet()
_EXPECTED_WELCOME = (message.CONNECT_OK, message.CONNECT_FAIL)


class AioConnection(asyncio.Protocol):
    """A connection to the object of a URI; made by `open_connection`."""

    def __init__(self, uri, settings, tls):
        self.uri = uri
        self.settings = settings
        self._tls = tls
        self.closed = False
        # Of the pool, when it opened the connection.
        self.generation = 0
        self.seq = 0
        self._transport = None
        self._limit = message.MAX_HANDSHAKE_BYTES
        self._loop = asyncio.get_running_loop()
        # The answer that is due: its future, its number and the message types it may have.
        self._waiter = None
        self._kind = None
        self._data = bytearray()
        self._total = _HEADER_BYTES
        self._head = None
        # An answer with arrays whose beginning is there, and the memory that the rest goes into.
        self._payload = None
        self._filler = None
        _connections.add(self)

    # Calls

    async def call(self, object_id, method, args, kwargs, flags=0, timeout=None):
        """The result of a call; `args` are plain data."""
        payload = self.dumps(object_id, method, args, kwargs)
        self.seq = seq = (self.seq + 1) & 0xFFFF
        serializer, parts = self.serializer, (payload,)
        if type(payload) is not bytes:
            serializer, parts = arrays.SERIALIZER, payload.buffers
        head = message.header(message.INVOKE, serializer, flags | self.flags, seq, len(payload))
        if timeout is not None and self.members.ferrolab and not flags & message.ONEWAY:
            head = message.with_deadline(head, timeout)
        # Copies arrays: the event loop may send them when the program has changed them.
        data = b"".join((head, *parts))
        if self.closed:
            raise ConnectionClosedError(
                "the connection to {} has ended".format(self.uri), outcome=NOT_STARTED
            )
        if flags & message.ONEWAY:
            self._transport.write(data)
            return None
        answer = await self._exchange(data, message.RESULT, timeout)
        try:
            return read_value(answer, self)
        except StopIteration as error:
            # No coroutine may raise it.
            raise StopAsyncIteration(*error.args) from None

    async def ping(self, timeout):
        """Asks the server for a sign of life."""
        self.seq = seq = (self.seq + 1) & 0xFFFF
        data = message.header(message.PING, message.PING_SERIALIZER, 0, seq, 4) + b"ping"
        await self._exchange(data, message.PING, timeout)

    async def _exchange(self, data, kind, timeout):
        self._waiter = waiter = self._loop.create_future()
        self._kind = kind
        timer = None if timeout is None else self._loop.call_later(timeout, self._expire, waiter)
        self._transport.write(data)
        try:
            return await waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _expire(self, waiter):
        if not waiter.done():
            text = "no answer from {} in time; the call may have run".format(self.uri)
            self._fail(TimeoutError(text, outcome=UNKNOWN))

    def _fail(self, error):
        self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    # The handshake

    async def shake_hands(self, handshake, timeout):
        """Greets the daemon; the members of the object come with its answer."""
        hello = {"handshake": handshake, "object": self.uri.object}
        payload = json.dumps(hello).encode("utf-8")
        head = message.header(message.CONNECT, serializers.JSON, 0, 0, len(payload))
        try:
            answer = await self._exchange(head + payload, _EXPECTED_WELCOME, timeout)
            kind, _, number, _, payload = answer
            welcome = serializers.decode(number, payload, False)
            if kind == message.CONNECT_FAIL:
                raise refuse_handshake(self.uri, welcome)
            self.members = Members.from_handshake(welcome)
        except BaseException as error:
            self.close()
            if isinstance(error, CommunicationError):
                error.outcome = NOT_STARTED
            raise
        self.serializer, self.dumps, self.flags = serializers.speak(
            self.settings.serializer, self.members
        )
        self._limit = self.settings.max_message

    # Callbacks of the event loop

    def connection_made(self, transport_):
        self._transport = transport_
        sock = transport_.get_extra_info("socket")
        self.is_here = transport.is_here(sock, self.uri)
        if self.uri.sockname is not None:
            self.trusted = transport.is_process_of_this_user(sock)
        else:
            transport.set_tcp_options(sock)
            self.trusted = transport.is_trusted(self.uri, self._tls)

    def data_received(self, data):
        try:
            if self._filler is not None:
                self._fill(data)
                return
            if self._data:
                self._data += data
                data = self._data
            if len(data) < self._total:
                self._store(data)
            else:
                self._read(data)
        except PyroError as error:
            if isinstance(error, MessageTooLargeError):
                error.outcome = RAN
            self._fail(error)

    def _read(self, data):
        if self._waiter is None:
            raise ProtocolError("the server sent an answer that nobody asked for")
        if self._head is None:
            self._head = message.read_header(data, self._kind, self.seq, self._limit)
        kind, flags, number, notes, _ = self._head
        # Not that of a beginning, which `_begin_arrays` has waited for.
        self._total = self._whole_size()
        if len(data) < self._total and number == arrays.SERIALIZER:
            if not flags & message.COMPRESSED:
                self._begin_arrays(data)
                return
        if len(data) < self._total:
            self._store(data)
            return
        if len(data) > self._total:
            raise ProtocolError("the server sent more than the answer to one call")
        at = _HEADER_BYTES + notes
        notes = bytes(data[_HEADER_BYTES:at])
        # Elements of arrays are copied once, into the arrays.
        payload = memoryview(data)[at:] if number == arrays.SERIALIZER else data[at:]
        if flags & message.COMPRESSED:
            payload = message.inflate(payload, self._limit)
        self._deliver((kind, flags, number, notes, payload))

    def _whole_size(self):
        return _HEADER_BYTES + self._head[3] + self._head[4]

    def _store(self, data):
        if data is not self._data:
            self._data += data

    def _deliver(self, answer):
        self._head, self._total = None, _HEADER_BYTES
        self._payload = self._filler = None
        self._data = bytearray()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(answer)

    def _begin_arrays(self, data):
        """Makes the arrays of an answer once their descriptions are there."""
        _, _, _, notes, size = self._head
        begin = _HEADER_BYTES + notes
        self._total = min(begin + arrays.FIXED.size, begin + size)
        if len(data) >= self._total:
            there = memoryview(data)
            try:
                self._total = begin + incoming_arrays.begin_size(there[begin:], size)
            except (ValueError, struct.error) as error:
                raise ProtocolError("the server sent no arrays: {}".format(error)) from None
            if len(data) >= self._total:
                at = self._total
                made = serializers.arrays_begin(there[begin:at], size, self.trusted)
                self._payload, missing = made
                self._filler = incoming_arrays.Filler(missing, at - begin)
                notes = bytes(there[_HEADER_BYTES:begin])
                self._head = (*self._head[:3], notes, size)
                self._fill(there[at:])
                return
        self._store(data)

    def _fill(self, data):
        """Takes bytes of an answer with arrays, into their memory."""
        try:
            self._filler.feed(data)
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        if self._filler.at == self._head[4]:
            self._deliver((*self._head[:4], self._payload))

    def connection_lost(self, error):
        self.closed = True
        text = "the connection to {} ended ({}); the call may have run".format(
            self.uri, error or "closed by the server"
        )
        self._fail(ConnectionClosedError(text, outcome=UNKNOWN))

    def close(self):
        """Ends the connection at once."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def close_soon(self):
        """Ends the connection, from any thread."""
        try:
            self._loop.call_soon_threadsafe(self.close)
        except RuntimeError:
            # The loop has ended, and its sockets with it.
            self.closed = True


async def open_connection(uri, settings):
    """A connection to the object of `uri`, after its handshake."""
    timeout = settings.connect_timeout
    loop = asyncio.get_running_loop()

    def protocol():
        return AioConnection(uri, settings, tls)

    tls, handshake = logins.given_way(uri, settings)
    if logins.exist():
        # It may ask the resolver and the server.
        tls, handshake = await loop.run_in_executor(None, logins.way_to, uri, settings)
    started = loop.time()

    if uri.sockname is not None:
        opening = loop.create_unix_connection(protocol, uri.sockname)
    elif uri.told_by is not None:
        opening = _open_elsewhere(loop, protocol, uri, tls)
    else:
        opening = loop.create_connection(protocol, uri.host, uri.port, ssl=tls)
    try:
        _, connection = await asyncio.wait_for(opening, timeout)
    except asyncio.TimeoutError:
        text = "cannot connect to {}: no answer within {:g} s".format(uri.location, timeout)
        raise TimeoutError(text, outcome=NOT_STARTED) from None
    except transport.ssl.SSLError as error:
        raise transport.tls_failure(uri, error) from error
    except OSError as error:
        text = "cannot connect to {}: {}".format(uri.location, error.strerror or error)
        raise CommunicationError(text, outcome=NOT_STARTED) from error
    left = None if timeout is None else max(timeout - (loop.time() - started), 0.001)
    await connection.shake_hands(handshake, left)
    return connection


async def _open_elsewhere(loop, protocol, uri, tls):
    """Opens a connection that must not lead to this host, which is seen before TLS begins."""
    failure = None
    for family, kind, number, _, address in await loop.getaddrinfo(
        uri.host, uri.port, type=socket.SOCK_STREAM
    ):
        sock = None
        try:
            sock = socket.socket(family, kind, number)
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            transport.check_way(sock, uri)
        except BaseException as error:
            if sock is not None:
                sock.close()
            if not isinstance(error, OSError):
                raise
            failure = error
            continue
        name = None if tls is None else uri.host
        return await loop.create_connection(protocol, sock=sock, ssl=tls, server_hostname=name)
    try:
        raise failure
    finally:
        # Its traceback has this frame.
        failure = None


def _drop_inherited():
    """Has the parent's connections end with the parent, locks with them: a child has none of them.

    The event loop is not asked: the list of sockets that it watches is the parent's too. It closes
    the descriptors, so that they stay, without the connections.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for connection in list(_connections):
        connection.closed = True
        transport_ = connection._transport
        sock = None if transport_ is None else transport_.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            os.dup2(null, sock.fileno(), False)
    os.close(null)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_inherited)
