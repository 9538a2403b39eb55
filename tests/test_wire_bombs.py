"""Small compressed requests for large values cost their sender, and nobody else much."""

import contextlib
import socket
import struct
import threading
import time
import zlib
from pathlib import Path

import pytest
from harness import NEVER, at_most, proxy, wait_for, within
from harness.bare import connect_message, message, receive
from harness.processes import memory
from harness.wire_lab import address, serve_wire
from Pyro5 import protocol
from Pyro5.serializers import serializers

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="measured on Linux")

# Each inflates to just less than the 64 MiB that are allowed.
COUNT = 21_000_000
BOMBS = {
    "msgpack": b"\x94\xa6t.wire\xa4echo\x91\xdd" + struct.pack("!I", COUNT // 1000)
    + (b"\xdc\x03\xe8" + b"\x81\xa0\xc0" * 1000) * (COUNT // 1000) + b"\x80",
    "marshal": b"(\4\0\0\0z\6t.wirez\4echo(\1\0\0\0[" + struct.pack("<I", 3 * COUNT)
    + b"N" * (3 * COUNT) + b"{0",
    "json": b'{"object":"t.wire","method":"echo","params":[' + b"[0]," * (COUNT * 3 // 4)
    + b'0],"kwargs":{}}',
    "serpent": b"('t.wire','echo',[" + b"[0]," * (COUNT * 3 // 4) + b"],{})",
}
# Values may take six times the largest message, and the inflated request is there beside them.
MOST_MIB = 650


@pytest.fixture(scope="module")
def bench(module_lab):
    return module_lab, *serve_wire(module_lab)


@contextlib.contextmanager
def honest_client(uri):
    """Calls while the block runs; how long the longest of its calls took is in the list then."""
    took, done = [0.0], threading.Event()

    def calls():
        with proxy(uri) as made:
            while not done.wait(0.02):
                begin = time.monotonic()
                assert made.echo(1) == [[1], {}]
                took[0] = max(took[0], time.monotonic() - begin)

    thread = threading.Thread(target=calls)
    thread.start()
    try:
        yield took
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("serializer", BOMBS)
def test_bombs_just_under_the_limit_are_refused_and_hold_nobody_up(bench, serializer):
    lab, uri, pid = bench
    where = address(uri)
    packet = message(serializer, zlib.compress(BOMBS[serializer], 9), protocol.FLAGS_COMPRESSED)
    assert len(packet) < 200_000
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # forgets the peak of before
    with honest_client(uri) as took, contextlib.ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(where, NEVER)) for _ in range(6)
        ]
        for peer in crowd:
            peer.sendall(connect_message(serializer))
            assert receive(peer)[6] == protocol.MSG_CONNECTOK
        for peer in crowd:
            peer.sendall(packet)
        told = [str(serializers[serializer].loads(receive(peer)[40:])) for peer in crowd]
        # On a slow machine those at the end of the queue are not even looked at.
        refused = [text for text in told if "would take more than 384 MiB of memory" in text]
        waited = [text for text in told if "busy with other large requests" in text]
        assert refused and len(refused) + len(waited) == len(crowd), told
    print(f"{len(crowd)} times {len(packet)} bytes of {serializer}: {memory(pid, peak=True):.0f} MiB, "
          f"the honest client waited for {took[0]:.2f} s")
    assert memory(pid, peak=True) < at_most(MOST_MIB)
    assert took[0] < within(2)
    assert lab.entry("daemons", "bench")["pid"] == pid, "the daemon was killed"


def test_the_requests_in_a_worker_take_no_more_memory_than_the_daemon_has_for_them(lab):
    """An empty list takes 72 bytes in Python and 5 in marshal: those of these clients would take
    1.4 GiB together, and the daemon has 384 MiB for all that its calls have."""
    lists = 4 << 20
    payload = (b"(\4\0\0\0z\6t.wirez\x09wait_with(\2\0\0\0[" + struct.pack("<I", lists)
               + b"[\0\0\0\0" * lists + b"i\2\0\0\0" + b"{0")
    packet = message("marshal", zlib.compress(payload, 9), protocol.FLAGS_COMPRESSED)
    uri, daemon = serve_wire(lab)
    [pid] = [process.pid for process in lab.processes()
             if process.parent == daemon and "ferrolab-worker" in process.command]
    with honest_client(uri), contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection(address(uri), NEVER))
                 for _ in range(5)]
        for peer in crowd:
            peer.sendall(connect_message("marshal"))
            assert receive(peer)[6] == protocol.MSG_CONNECTOK
        for peer in crowd:
            peer.sendall(packet)
        told = [str(serializers["marshal"].loads(receive(peer)[40:])) for peer in crowd]
    carried_out = told.count("None")
    waited = [text for text in told if "busy with other large requests" in text]
    assert carried_out and carried_out + len(waited) == len(crowd), told
    print(f"{carried_out} carried out: the worker took {memory(pid, peak=True):.0f} MiB")
    assert memory(pid, peak=True) < at_most(600)
    wait_for(lambda: memory(pid) < 100, 30, "the worker returns the memory to the system")


def test_requests_that_stop_in_the_middle_keep_no_memory_from_others(bench):
    """Each announces 60 MiB and sends one of them; six such may arrive at once."""
    lab, uri, _ = bench
    half = message("msgpack", b"\0" * (60 << 20))[: 1 << 20]
    with contextlib.ExitStack() as stack:
        crowd = []
        for _ in range(8):
            peer = stack.enter_context(socket.create_connection(address(uri), NEVER))
            peer.sendall(connect_message("msgpack"))
            assert receive(peer)[6] == protocol.MSG_CONNECTOK
            peer.sendall(half)
            crowd.append(peer)
        with proxy(uri) as made:
            assert made.echo("x" * 10_000_000) == [["x" * 10_000_000], {}]
        crowd[0].settimeout(NEVER)
        with contextlib.suppress(ConnectionError):
            assert crowd[0].recv(1) == b"", "the first of them had to go"
    told = "hardly anything comes, and others wait"
    wait_for(lambda: told in lab.run("logs", "show").stdout, 10, "the log says why")


def test_a_long_honest_table_arrives(bench):
    _, uri, _ = bench
    table = [{"n": number, "t": number * 0.1} for number in range(100_000)]
    with proxy(uri, serializer="marshal") as made:
        assert made.echo(table) == [[table], {}]
