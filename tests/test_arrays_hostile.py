"""Arrays that are not what they claim: of a client to the daemon, of a server to our client."""

import asyncio
import json
import marshal
import resource
import socket
import struct

import ferrolab
import numpy as np
import pytest
from harness import NEVER
from harness.bare import connect_message, message, receive
from harness.liar import MEMBERS, Liar, frame, result
from harness.wire_lab import address

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {host: localhost, max_message_size: 16777216}
services:
  t.hosted: {module: matrices, classname: Matrices, daemon: bench, instancemode: session}
  t.native: {native: simulated.loopback, daemon: bench}
autolaunch: {daemons: [bench]}
"""
# Id and flags of messages with arrays.
SERIALIZER, ARRAYS, SERPENT_RULES = 70, 1 << 14, 1 << 15
EXCEPTION = 1
FINE = ("<f8", (1,), "C")
EIGHT = bytes(8)
FIELDS = (["a"], ["<f8"], [0], 8)


def payload(lengths, described, value, rest=b""):
    head = marshal.dumps((described, value), 2)
    data = struct.pack("<II%dQ" % len(lengths), len(lengths), len(head), *lengths) + head
    return data + (bytes(-len(data) % 8) + rest if lengths else b"")


def one(dtype="<f8", shape=(1,), order="C", lengths=(8,), rest=EIGHT):
    return lengths, [(dtype, shape, order)], ..., rest


# Lengths, descriptions, value, segments; and words of the error.
LIES = {
    "a segment of 4 GiB": (one(shape=(1 << 29,), lengths=(1 << 32,)), "beyond the message"),
    "a segment of 16 EiB": (one(lengths=(2**64 - 1,)), "beyond the message"),
    "two segments in one place": (((8, 8), [FINE, FINE], [..., ...], EIGHT), "beyond the message"),
    "bytes of no segment": (one(rest=bytes(9)), "follow the last segment"),
    "a segment of no array": (((8, 8), [FINE], ..., bytes(16)), "belongs to no array"),
    "an array of no segment": (((8,), [FINE, FINE], [..., ...], EIGHT), "no segment|another number of bytes"),
    "an array without a place": (((8,), [FINE], 5, EIGHT), "no place"),
    "a place without an array": (((), [], ..., b""), "Ellipsis is not plain data|has no array"),
    "an array twice": (((8,), [FINE], [..., ...], EIGHT), "Ellipsis is not plain data|has no array"),
    "a larger shape": (one(shape=(2,)), "than its shape needs"),
    "a negative shape": (one(shape=(-1,)), "shape"),
    "an endless shape": (one(shape=(1 << 61, 1 << 61)), "too large|than its shape needs"),
    "endless and empty": (one(shape=(0, 1 << 61), lengths=(0,), rest=b""), "too large|numpy refuses"),
    "an order that is none": (one(order="K"), "neither C nor F"),
    "objects": (one("|O8"), "plain bytes"),
    "objects in a field": (one((["a"], ["|O8"], [0], 8)), "plain bytes"),
    "code": (one("__import__('os').abort()"), "plain bytes"),
    "a type that is none": (one(b"<f8"), "malformed"),
    "a field beyond the element": (one((["a"], ["<f8"], [1], 8)), "beyond its element"),
    "a short mask": (((8, 0, 8), [FINE + ("C",)], ..., bytes(16)), "than its shape needs"),
    "not described": (((), 5, 5, b""), "malformed|not described"),
}
# Known to the daemon, and refused by numpy: the worker answers with an error as well.
OF_NUMPY = {
    "fields of one name": (one((["a", "a"], ["<f4", "<f4"], [0, 4], 8)), "cannot be made: numpy refuses"),
}


class Bare:
    """A connection without a proxy."""

    def __init__(self, lab, name):
        self.name = name
        self.sock = socket.create_connection(address(lab.uri(name)), timeout=NEVER)
        self.sock.sendall(connect_message(name=name))
        receive(self.sock)

    def request(self, data, serializer=SERIALIZER, flags=ARRAYS | SERPENT_RULES):
        """Serializer, flags and payload of the answer."""
        self.sock.sendall(message(serializer, data, flags))
        answer = receive(self.sock)
        assert len(answer) >= 40, "the daemon has closed the connection"
        return answer[7], struct.unpack("!H", answer[8:10])[0], answer[40 + struct.unpack("!I", answer[16:20])[0] :]

    def call(self, value, lengths=(), described=(), rest=b"", method="same", **kwargs):
        call = self.name, method, [value], {}
        return self.request(payload(lengths, list(described) if type(described) is tuple else described, call, rest), **kwargs)


@pytest.fixture(scope="module")
def arrays(module_lab):
    module_lab.config(CONFIGURATION)
    module_lab.up()
    module_lab.wait_until_loaded()
    return module_lab


@pytest.mark.parametrize("name", ["t.hosted", "t.native"])
def test_a_client_that_lies_is_refused_and_its_connection_lives(arrays, name):
    bare = Bare(arrays, name)
    method = "same" if name == "t.hosted" else "echo"
    lies = {**LIES, **(OF_NUMPY if name == "t.hosted" else {})}
    for lie, ((lengths, described, value, rest), words) in lies.items():
        _, flags, answer = bare.call(value, lengths, described, rest, method=method)
        assert flags & EXCEPTION, lie
        error = marshal.loads(answer)
        assert error["__class__"] == "Pyro5.errors.SerializeError", lie
        assert any(word in error["args"][0] for word in words.split("|")), (lie, error["args"])
    # The driver has seen nothing, and the session has not ended.
    serializer, flags, answer = bare.call(..., (8,), [FINE], struct.pack("<d", 1.5), method=method)
    assert (serializer, flags & EXCEPTION) == (SERIALIZER, 0)
    assert answer.endswith(struct.pack("<d", 1.5))


def test_other_messages_with_the_serializer_of_arrays(arrays):
    bare = Bare(arrays, "t.hosted")
    for data in (b"", b"\xff" * 40, bytes(8), bytes(100), b"(" * 1000):
        _, flags, answer = bare.request(data)
        assert flags & EXCEPTION and marshal.loads(answer)["__class__"] == "Pyro5.errors.SerializeError", data
    # A call without arrays may be sent so, and a value without arrays is answered in marshal.
    assert bare.call(5)[0] == 2
    kept = 1 << 5
    _, flags, answer = bare.call(5, flags=kept | ARRAYS)
    assert flags & EXCEPTION and b"serialized" in answer


def test_arrays_are_sent_to_those_that_ask_for_them(arrays):
    """Asked for with another serializer than marshal, or not at all, lists are sent."""
    bare = Bare(arrays, "t.hosted")
    call = "t.hosted", "frame", [1, 2], {}
    assert bare.request(marshal.dumps(call, 2), 2)[0] == SERIALIZER
    number, _, answer = bare.request(marshal.dumps(call, 2), 2, SERPENT_RULES)
    assert (number, marshal.loads(answer)) == (2, [[0, 1]])
    number, _, answer = bare.request(repr(call).encode(), 1)
    assert (number, b"[[0,1]]" in answer.replace(b" ", b"")) == (1, True)


def test_an_array_beyond_the_daemons_limit(arrays):
    with ferrolab.Proxy(arrays.uri("t.hosted"), timeout=NEVER) as proxy:
        with pytest.raises(Exception, match="max_message_size|closed the connection|failed"):
            proxy.same(np.zeros(3_000_000))
    # The daemon closes that connection, sooner or later.
    with ferrolab.Proxy(arrays.uri("t.hosted"), timeout=NEVER) as proxy:
        with pytest.raises(Exception, match="max_message_size"):
            proxy.frame(4096, 4096)
        assert proxy.same(np.arange(3)).tolist() == [0, 1, 2]


# Servers

HELLO = {"handshake": "hello", "meta": {**MEMBERS, "ferrolab": {"version": "0", "arrays": 1}}}
WELCOME = frame(2, json.dumps(HELLO).encode(), seq=0, serializer=3)


def answering(data):
    return Liar(lambda sock, seq, _: sock.sendall(data(seq)), welcome=WELCOME)


def ask(server, twin, **settings):
    settings = {"timeout": NEVER, "connect_timeout": NEVER, **settings}
    proxy = ferrolab.Proxy(server.uri, **settings)
    if twin == "sync":
        with proxy:
            return proxy.echo(np.arange(3))

    async def call():
        async with ferrolab.Lab(None, proxy._remote.settings).aio as lab:
            return await lab[server.uri].echo(np.arange(3))

    return asyncio.run(call())


twins = pytest.mark.parametrize("twin", ["sync", "asyncio"])


@twins
def test_a_server_that_lies(twin):
    # Larger than a read: the client receives the beginning first, and the arrays into their memory.
    large = (1 << 16, [("|u1", (1 << 16,), "C")], bytes(1 << 16))
    for lie, ((lengths, described, value, rest), words) in LIES.items():
        shapes = [(lengths, described, value, rest)]
        if type(described) is list and value is not ... or lengths:
            grown = [..., value] if described else value
            shapes.append(((large[0], *lengths), [*large[1], *described], grown, large[2] + rest))
        for lengths, described, value, rest in shapes:
            data = payload(lengths, described, value, rest)
            with answering(lambda seq, data=data: result(data, seq, serializer=SERIALIZER)) as server:
                with pytest.raises(ferrolab.SerializeError, match=words) as caught:
                    print(lie, ask(server, twin))
                assert caught.value.outcome == "ran"
                assert server.requests == 1


@twins
def test_what_a_server_claims_is_no_reason_to_take_memory(twin):
    def claims(seq):
        data = payload((900 << 20,), [("|u1", (900 << 20,), "C")], ..., bytes(1 << 17))
        return result(data, seq, serializer=SERIALIZER, size=len(data) + (900 << 20) - (1 << 17))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with answering(claims) as server:
        with pytest.raises(ferrolab.TimeoutError):
            ask(server, twin, timeout=0.5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10, "KiB"
    with answering(lambda seq: result(b"", seq, serializer=SERIALIZER, size=2**32 - 1)) as server:
        with pytest.raises(ferrolab.MessageTooLargeError):
            ask(server, twin)


@twins
@pytest.mark.parametrize("sent", [41, 47, 60, 30_000, 100_000])
def test_a_server_that_vanishes_in_the_middle_of_an_array(twin, sent):
    def cut(sock, seq, _):
        data = payload((1 << 17,), [("|u1", (1 << 17,), "C")], ..., bytes(1 << 17))
        sock.sendall(result(data, seq, serializer=SERIALIZER)[:sent])
        sock.shutdown(socket.SHUT_RDWR)

    with Liar(cut, welcome=WELCOME) as server:
        with pytest.raises(ferrolab.ConnectionClosedError) as caught:
            ask(server, twin)
        assert caught.value.outcome == "unknown"


@twins
def test_odd_lengths_and_compression_are_read_as_they_come(twin):
    """A server may send segments of any length, annotations, and compressed arrays."""
    import zlib

    texts = np.array([b"abc"] * 10_000 + [b"xyz"], "S3")
    bytes_ = np.arange(10_001, dtype="u1")
    lengths = (texts.nbytes, bytes_.nbytes, 0)
    described = [("|S3", texts.shape, "C"), ("|u1", bytes_.shape, "C"), ("<f8", (0,), "C")]
    gaps = [bytes(-length % 8) for length in lengths]
    rest = texts.tobytes() + gaps[0] + bytes_.tobytes() + gaps[1]
    data = payload(lengths, described, [..., {"key": ...}, ...], rest)
    forms = [
        lambda seq: result(data, seq, serializer=SERIALIZER),
        lambda seq: result(zlib.compress(data), seq, serializer=SERIALIZER, flags=2),
        lambda seq: result(b"ABCD\0\0\0\3xyz" + data, seq, serializer=SERIALIZER, notes=11, size=len(data)),
    ]
    for form in forms:
        with answering(form) as server:
            first, second, third = ask(server, twin)
        assert np.array_equal(first, texts) and np.array_equal(second["key"], bytes_) and third.shape == (0,)
        assert first.flags.writeable and second["key"].flags.aligned


def test_an_older_daemon_gets_lists():
    """One of ours that does not announce arrays."""
    seen = []

    def answer(sock, seq, data):
        seen.append(marshal.loads(data))
        sock.sendall(result(marshal.dumps([0, 1], 2), seq))

    with Liar(answer) as server:
        assert ask(server, "sync") == [0, 1]
        assert ask(server, "asyncio") == [0, 1]
    assert seen == [("t.liar", "echo", ([0, 1, 2],), {})] * 2
