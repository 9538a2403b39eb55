"""Clients at each step of a conversation, on bare sockets, and their ways to leave.

A step brings the clients of a visit there and yields those that then leave. Knows nothing of what
may be left of them.
"""

import contextlib
import functools
import secrets
import socket
import ssl
import struct

from Pyro5 import protocol
from Pyro5.serializers import serializers

from .bare import connect_message, message, receive
from .wait import NEVER, wait_for

# Bytes of a request and of an answer that do not fit the buffers of a socket at once.
LARGE_REQUEST, LARGE_ANSWER = 200_000, 3 << 20
# Seconds for which a lock outlives its owner's connection.
TTL = 0.02


# Bytes that clients send.


@functools.cache
def hello(service):
    return connect_message(name=service)


def call(service, member, *args, flags=0, serializer="serpent"):
    return message(serializer, serializers[serializer].dumpsCall(service, member, args, {}), flags)


@functools.cache
def quick(service):
    return call(service, "ping") if service == "Pyro.NameServer" else call(service, "echo", "x" * 100)


@functools.cache
def large(service):
    return call(service, "list" if service == "Pyro.NameServer" else "echo", "x" * LARGE_REQUEST)


def next_item(stream):
    return call("Pyro.Daemon", "get_next_stream_item", stream)


def tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def tls_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        tls_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


TLS, TLS_HELLO = tls_context(), tls_hello()


def answer_of(sock):
    """The value and the annotations of an answer."""
    data = receive(sock)
    received = protocol.ReceivingMessage(data[:40], data[40:])
    assert received.type == protocol.MSG_RESULT, data
    value = serializers["serpent"].loads(received.data)
    return value, received.annotations


def ask(sock, service, member, *args):
    sock.sendall(call(service, member, *args))
    return answer_of(sock)[0]


# Ways to leave. One that closes its own direction only sees that the daemon closes the other.


def close(sock):
    sock.close()


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def close_own_direction(sock):
    # Where the machine has paused, the daemon may have closed the connection already.
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


WAYS = [close, reset, close_own_direction]


class Gate:
    """A file for which calls of the driver wait, and the calls that have begun and ended."""

    def __init__(self, file):
        self.file = file

    def count(self, what):
        beside = self.file.with_name(f"{self.file.name}.{what}")
        return beside.stat().st_size if beside.exists() else 0

    def wait_until_begun(self, calls):
        wait_for(lambda: self.count("begun") >= calls, NEVER, "the calls run")

    def open(self):
        self.file.touch()
        wait_for(lambda: self.count("begun") == self.count("ended"), NEVER, "the calls have ended")


class Visit:
    """Clients of a service that are at the same step."""

    def __init__(self, target, service, size, stack):
        self.service, self.size = service, size
        self.is_native = service.endswith(".native")
        # As many of the calls that clients make at the same time run at the same time.
        self.at_once = 1 if "turns" in service else size
        self._target, self._stack = target, stack

    def connect(self, sends=b"", count=None):
        socks = [self._connected() for _ in range(count or self.size)]
        for sock in socks:
            # A machine that pauses may be later than the daemon waits for a handshake.
            with contextlib.suppress(ConnectionError):
                sock.sendall(sends)
        return socks

    def enter(self, sends=b"", count=None, wrap=None):
        """Clients that have been let in, and have sent this."""
        socks = [
            wait_for(lambda: self._let_in(wrap), NEVER, "a place in the pool") for _ in range(count or self.size)
        ]
        for sock in socks:
            sock.sendall(sends)
        return socks

    def gate(self):
        return Gate(self._target.files / secrets.token_hex(8))

    def held(self, gate, member="wait"):
        """The arguments of a call that waits for the gate; a native service waits for a moment."""
        return ("wait", 0.02) if self.is_native else (member, str(gate.file))

    def wait_until_begun(self, gate, calls):
        if not self.is_native:
            gate.wait_until_begun(calls)

    def _connected(self):
        return self._stack.enter_context(socket.create_connection(self._target.address, NEVER))

    def _let_in(self, wrap):
        sock, answer = self._connected(), b""
        # A machine that pauses may be later than the daemon waits for a handshake.
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            if wrap:
                sock = self._stack.enter_context(wrap(sock))
            sock.sendall(hello(self.service))
            answer = receive(sock)
        if answer[6:7] == bytes([protocol.MSG_CONNECTOK]):
            return sock
        sock.close()
        # Clients that have left just now may still have their places.
        assert not answer or b"no free workers" in answer, answer
        return None


# Steps: each brings the clients of a visit there, and yields those that then leave.


def having_sent(what):
    def step(visit):
        yield visit.connect(what(visit.service))

    return step


def let_in_having_sent(what, wrap=None):
    def step(visit):
        yield visit.enter(what(visit.service), wrap=wrap)

    return step


def while_calls_run(visit):
    gate = visit.gate()
    socks = visit.enter(call(visit.service, *visit.held(gate)))
    visit.wait_until_begun(gate, visit.at_once)
    yield socks
    gate.open()


def within_a_batch(visit):
    gate = visit.gate()
    member, argument = visit.held(gate)
    entries = [("echo", [1], {}), (member, [argument], {}), ("echo", [2], {})]
    socks = visit.enter(call(visit.service, "<batch>", *entries, flags=protocol.FLAGS_BATCH))
    visit.wait_until_begun(gate, visit.at_once)
    yield socks
    gate.open()


def while_oneway_calls_run(visit):
    gate = visit.gate()
    socks = visit.enter(call(visit.service, "wander", str(gate.file), flags=protocol.FLAGS_ONEWAY))
    gate.wait_until_begun(visit.size)
    yield socks
    gate.open()


def within_an_answer(visit):
    socks = visit.enter(call(visit.service, "block", LARGE_ANSWER, serializer="marshal"))
    for sock in socks:
        assert sock.recv(1000)
    yield socks


def open_streams(visit, *args):
    """Clients with a stream, and its id."""
    socks = visit.enter(call(visit.service, "numbers", *args))
    for sock in socks:
        data = receive(sock)
        yield sock, bytes(protocol.ReceivingMessage(data[:40], data[40:]).annotations["STRM"]).decode()


def with_a_stream(visit):
    yield [sock for sock, _ in open_streams(visit, 3)]


def between_items(visit):
    streams = list(open_streams(visit, 3))
    for sock, stream in streams:
        assert ask_for_item(sock, stream) == 0
    yield [sock for sock, _ in streams]


def ask_for_item(sock, stream):
    sock.sendall(next_item(stream))
    return answer_of(sock)[0]


def while_items_are_made(visit):
    gate = visit.gate()
    streams = list(open_streams(visit, 3, str(gate.file)))
    for sock, stream in streams:
        assert ask_for_item(sock, stream) == 0
    for sock, stream in streams:
        sock.sendall(next_item(stream))
    gate.wait_until_begun(visit.at_once)
    yield [sock for sock, _ in streams]
    gate.open()


def waiting_for_a_lock(visit):
    (owner,) = visit.enter(count=1)
    waiting = lambda: len(ask(owner, visit.service, "lock_info")["waiting"])
    assert ask(owner, visit.service, "lock", "owner", NEVER) is True
    socks = visit.enter(call(visit.service, "lock", "gone", NEVER))
    wait_for(lambda: waiting() == visit.size, NEVER, "they wait")
    yield socks
    wait_for(lambda: waiting() == 0, NEVER, "nobody waits")
    ask(owner, visit.service, "unlock")
    owner.close()


def with_a_lock(*settings):
    """One after the other: the next one gets the lock from the one that has left."""

    def step(visit):
        for _ in range(visit.size):
            token = [secrets.token_hex(16), *settings] if settings else []
            (sock,) = visit.enter(call(visit.service, "lock", "gone", NEVER, *token), count=1)
            assert answer_of(sock)[0] is True
            yield [sock]

    return step


def with_a_lock_and_a_call(visit):
    for _ in range(visit.size):
        gate = visit.gate()
        (sock,) = visit.enter(call(visit.service, "lock", "gone", NEVER), count=1)
        assert answer_of(sock)[0] is True
        sock.sendall(call(visit.service, *visit.held(gate)))
        visit.wait_until_begun(gate, 1)
        yield [sock]
        gate.open()


# The steps, each with the features that a service needs for it.
STEPS = {
    "connected": (having_sent(lambda _: b""), set()),
    "within the handshake's header": (having_sent(lambda service: hello(service)[:20]), set()),
    "within the handshake's body": (having_sent(lambda service: hello(service)[:50]), set()),
    "after the handshake's request": (having_sent(hello), set()),
    "within TLS's first message": (having_sent(lambda _: TLS_HELLO[:100]), set()),
    "within TLS's handshake": (having_sent(lambda _: TLS_HELLO), set()),
    "within a request in TLS": (let_in_having_sent(lambda service: quick(service)[:50], TLS.wrap_socket), set()),
    "let in": (let_in_having_sent(lambda _: b""), set()),
    "within a request's header": (let_in_having_sent(lambda service: quick(service)[:20]), set()),
    "within a request's body": (let_in_having_sent(lambda service: quick(service)[:50]), set()),
    "within a large request": (let_in_having_sent(lambda service: large(service)[: LARGE_REQUEST // 2]), set()),
    "after a request": (let_in_having_sent(quick), set()),
    "after a oneway call": (
        let_in_having_sent(lambda service: call(service, "tick", flags=protocol.FLAGS_ONEWAY)),
        {"daemon"},
    ),
    "while its call runs": (while_calls_run, {"daemon"}),
    "within a batch": (within_a_batch, {"daemon"}),
    "within an answer": (within_an_answer, {"daemon"}),
    "while its oneway call runs": (while_oneway_calls_run, {"driver"}),
    "with a stream": (with_a_stream, {"driver"}),
    "between items of a stream": (between_items, {"driver"}),
    "while an item is made": (while_items_are_made, {"driver"}),
    "waiting for a lock": (waiting_for_a_lock, {"lock"}),
    "with a lock": (with_a_lock(), {"lock"}),
    "with a lock that a token keeps": (with_a_lock(TTL), {"lock"}),
    "with a lock while its call runs": (with_a_lock_and_a_call, {"lock"}),
}
