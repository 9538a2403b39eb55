"""Requests made to cost the daemon much: refused with little processor time and memory."""

import contextlib
import marshal
import random
import socket
import struct
import zlib
from pathlib import Path

import pytest
from harness import EXTENDED, NEVER, SERIALIZERS, at_most, every_serializer, proxy
from harness.bare import connect_message, message, receive
from harness.processes import memory, processor_time
from harness.wire_lab import address, serve_wire
from Pyro5 import protocol
from Pyro5.serializers import serializers

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="measured on Linux")


@pytest.fixture(scope="module")
def bench(module_lab):
    return serve_wire(module_lab)


def dump(serializer, *args):
    return serializers[serializer].dumpsCall("t.wire", "echo", args, {})


def bomb(serializer):
    return message(serializer, zlib.compress(b" " * (200 << 20), 9), protocol.FLAGS_COMPRESSED)


def annotations(serializer):
    return message(serializer, dump(serializer, 1), 0, b"ABCD\0\0\0\0" * (4 << 20))


def nested(serializer):
    depth = 100_000
    payload = {
        "serpent": b"['t.wire','echo'," + b"[" * depth + b"]" * depth + b",{}]",
        "json": b'{"object":"t.wire","method":"echo","params":'
        + (b"[" * depth + b"]" * depth + b',"kwargs":{}}'),
        "marshal": b"(\4\0\0\0z\6t.wirez\4echo" + b"[\1\0\0\0" * depth + b"N{0",
        "msgpack": b"\x94\xa6t.wire\xa4echo" + b"\x91" * depth + b"\xc0\x80",
    }
    return message(serializer, payload[serializer])


# Python's hash of an int is its value modulo this prime.
MODULUS = (1 << 61) - 1


def colliding(serializer, step=MODULUS):
    """A dict whose keys all have one hash, unless the step between them is another."""
    keys = [number * step for number in range(1, 50_000)]
    if serializer == "json":  # has texts for keys, whose hashes nobody knows beforehand
        items = b",".join(b'"%d":0' % key for key in keys)
        body = b'{"object":"t.wire","method":"echo","params":[{' + items + b'}],"kwargs":{}}'
    elif serializer == "msgpack":  # has no such large numbers
        items = b"".join(b"\xcf" + struct.pack("!Q", key & (1 << 64) - 1) + b"\0" for key in keys)
        body = b"\x94\xa6t.wire\xa4echo\x91\xdf" + struct.pack("!I", len(keys)) + items + b"\x80"
    elif serializer == "marshal":
        zero = marshal.dumps(0, 2)
        items = b"".join(marshal.dumps(key, 2) + zero for key in keys)
        body = b"(\4\0\0\0z\6t.wirez\4echo(\1\0\0\0{" + items + b"0{0"
    else:
        items = b",".join(b"%d:0" % key for key in keys)
        body = b"('t.wire','echo',({" + items + b"},),{})"
    return message(serializer, body)


@every_serializer
@pytest.mark.parametrize(
    ("attack", "says"),
    [
        (bomb, "it inflates to more than"),
        (annotations, "annotations too large"),
        (nested, "nest"),
        (colliding, "colliding keys"),
    ],
)
def test_what_costs_a_peer_little_costs_us_little(bench, serializer, attack, says):
    """In processor time: less than two honest requests of a megabyte."""
    uri, pid = bench
    packet, honest = attack(serializer), colliding("serpent", MODULUS - 1)
    costs, affordable = [], 0
    # A busy machine makes a moment of processor time longer than it is, now and then.
    while len(costs) < 5 and not any(cost <= affordable for cost in costs):
        answer, cost = attacked(uri, pid, "serpent", honest)
        assert answer.startswith(b"# serpent"), "the honest request was not carried out"
        affordable = 0.1 if EXTENDED else 2 * cost
        memory_before = memory(pid)
        answer, cost = attacked(uri, pid, serializer, packet)
        costs.append(cost)
        print(f"{attack.__name__} {serializer}: {cost:.2f} s, {memory(pid) - memory_before:.0f} MiB")
        assert answer, "no answer"
        if attack is not colliding or serializer in ("serpent", "marshal"):
            assert says in str(serializers[serializer].loads(answer))
    assert min(costs) <= affordable


@pytest.mark.parametrize("key", ["(%d,'a')", "(b'a',%d)", "(0.5,(%d,None))", "(1e30,%d)"])
def test_keys_that_collide_beside_others_are_refused(bench, key):
    uri, pid = bench
    items = ",".join(f"{key % (number * ((1 << 61) - 1))}:0" for number in range(1, 20_000))
    packet = message("serpent", f"('t.wire','echo',({{{items}}},),{{}})".encode())
    answer, _ = attacked(uri, pid, "serpent", packet)
    assert "colliding keys" in str(serializers["serpent"].loads(answer))


def attacked(uri, pid, serializer, packet):
    """The answer to a packet, and the processor time that it costs the daemon."""
    with proxy(uri) as honest, socket.create_connection(address(uri), NEVER) as peer:
        honest._pyroBind()
        peer.sendall(connect_message(serializer))
        assert receive(peer)[6] == protocol.MSG_CONNECTOK
        before = processor_time(pid)
        answer = b""
        with contextlib.suppress(ConnectionError):
            peer.sendall(packet)
            answer = receive(peer)
        assert honest.echo(1) == [[1], {}]
        return answer[40:], processor_time(pid) - before


def test_mutated_packets_harm_nobody(bench):
    """A short run; `mutations` of the `remote` crate's tests is the long one."""
    uri, pid = bench
    generator = random.Random(5)
    with proxy(uri) as honest:
        for serializer in SERIALIZERS:
            whole = message(serializer, dump(serializer, 1, "two", [3.5, None], {"k": True}))
            for _ in range(200):
                packet = bytearray(whole)
                for _ in range(generator.randint(1, 4)):
                    packet[generator.randrange(len(packet))] = generator.randrange(256)
                with socket.create_connection(address(uri), NEVER) as peer:
                    peer.sendall(connect_message(serializer) + packet)
                    peer.shutdown(socket.SHUT_WR)
                    with contextlib.suppress(ConnectionError):
                        while peer.recv(65536):
                            pass
            assert honest.echo(1) == [[1], {}]
    assert memory(pid) < at_most(200)
