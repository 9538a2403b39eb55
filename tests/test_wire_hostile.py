"""Peers that are silent, slow, lying or sending garbage cost only themselves."""

import contextlib
import marshal
import os
import random
import resource
import selectors
import socket
import ssl
import struct
import time
import zlib
from pathlib import Path

import Pyro5.errors
import pytest
from harness import (
    EXTENDED,
    NEVER,
    SERIALIZERS,
    Certificates,
    at_most,
    every_serializer,
    proxy,
    tls_client,
    wait_for,
    within,
)
from harness.bare import connect_message, message, receive
from Pyro5 import protocol
from Pyro5.serializers import serializers

LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: $daemon
services:
  t.wire: {module: wire, classname: Wire, daemon: bench, instancemode: single}
autolaunch: {daemons: [bench]}
"""
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="measured on Linux")


def serve(lab, daemon):
    """The URI of the service, and the number of the daemon's process."""
    lab.config(LAB, daemon=daemon)
    lab.up()
    (service,) = lab.ps()["services"]
    (bench,) = lab.ps()["daemons"]
    return service["uri"], bench["pid"]


def address(uri):
    host, _, port = uri.partition("@")[2].rpartition(":")
    return host, int(port)


def memory(pid):
    """Resident memory in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def processor_time(pid):
    """Seconds of processor time, to 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def allow_open_files(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"the system allows only {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    connection = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_a_crowd_that_does_not_shake_hands_is_gone_within_six_seconds(lab, encrypted):
    allow_open_files(5000)
    certificate, key = Certificates(lab.files).self_signed("server")
    daemon = f'{{ssl: true, ssl_servercert: "{certificate}", ssl_serverkey: "{key}"}}'
    uri, _ = serve(lab, daemon if encrypted else "{}")
    beginning = client_hello() if encrypted else connect_message()
    honest = tls_client(certificate) if encrypted else contextlib.nullcontext()
    with contextlib.ExitStack() as stack, honest:
        crowd = Crowd(stack, address(uri), beginning, silent=1000, slow=1000)
        longest, calls = 0, 0
        while crowd.left():
            begin = time.monotonic()
            with proxy(uri) as made:
                assert made.echo(1) == [[1], {}]
            longest = max(longest, time.monotonic() - begin)
            calls += 1
            crowd.step()
        print(f"{calls} honest clients, the longest took {longest:.3f} s; {crowd.longest:.2f} s")
        assert longest < within(1)
        assert crowd.longest < within(6)


class Crowd:
    """Silent sockets, and slow ones that send a byte each second."""

    def __init__(self, stack, address, beginning, silent, slow):
        self.longest = 0
        self._open = {}
        self._selector = stack.enter_context(selectors.DefaultSelector())
        for number in range(silent + slow):
            sock = stack.enter_context(socket.create_connection(address, NEVER))
            sock.setblocking(False)
            to_send = bytearray(beginning if number >= silent else b"")
            self._open[sock] = (time.monotonic(), to_send)
            self._selector.register(sock, selectors.EVENT_READ)
        self._last = time.monotonic()

    def left(self):
        return len(self._open)

    def step(self):
        now = time.monotonic()
        if now - self._last >= 1:
            self._last = now
            for sock, (_, to_send) in self._open.items():
                if to_send:
                    with contextlib.suppress(OSError):
                        sock.send(bytes([to_send.pop(0)]))
        for key, _ in self._selector.select(0.01):
            ended = True
            with contextlib.suppress(ConnectionError):
                ended = key.fileobj.recv(4096) == b""
            if ended:
                begun, _ = self._open.pop(key.fileobj)
                self.longest = max(self.longest, now - begun)
                self._selector.unregister(key.fileobj)


def test_five_thousand_idle_connections_take_little_memory(lab):
    allow_open_files(6000)
    uri, pid = serve(lab, "{threadpool_size: 5000}")
    before = memory(pid)
    connect = connect_message()
    # Each has made a call with a large answer, too: what that took is given back.
    data = serializers["serpent"].dumpsCall("Pyro.Daemon", "info", (), {})
    call = protocol.SendingMessage(protocol.MSG_INVOKE, 0, 2, 1, data).data
    with contextlib.ExitStack() as stack:
        crowd = []
        for _ in range(4999):
            sock = stack.enter_context(socket.create_connection(address(uri), NEVER))
            sock.sendall(connect)
            crowd.append(sock)
            # Not many at a time are let in by a busy machine.
            if len(crowd) >= 100:
                assert receive(crowd[-100])[6] == protocol.MSG_CONNECTOK
        for sock in crowd[-99:]:
            assert receive(sock)[6] == protocol.MSG_CONNECTOK
        for sock in crowd:
            sock.sendall(call)
        for sock in crowd:
            assert receive(sock)[6] == protocol.MSG_RESULT
        begin = time.monotonic()
        with proxy(uri) as made:
            assert made.echo(1) == [[1], {}]
            took = time.monotonic() - begin
            with pytest.raises(Pyro5.errors.CommunicationError, match="no free workers"):
                with proxy(uri) as late:
                    late._pyroBind()
        after = memory(pid)
        print(f"{before:.0f} MiB before, {after:.0f} MiB with 5,000; a call took {took:.3f} s")
        assert after < at_most(200)
        assert took < within(1)


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


@pytest.fixture(scope="module")
def bench(module_lab):
    return serve(module_lab, "{}")


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
    """What is answered to a packet, and what it costs the daemon in processor time."""
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


def without_descriptors(pid, others=5):
    """Lets the process open only so many more."""
    descriptors = [int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(descriptors) + others, hard))


# Longer than the supervisor waits for an answer to its calls.
BEYOND_A_HANG = 12


def test_where_descriptors_run_out_those_who_are_in_are_served(lab):
    """Silent peers have them all: a supervisor that asks is answered, and newcomers get in."""
    uri, pid = serve(lab, "{}")
    with contextlib.ExitStack() as stack:
        honest = stack.enter_context(proxy(uri))
        assert honest.echo(1) == [[1], {}]
        without_descriptors(pid)
        silent = []

        def knock():
            silent.append(stack.enter_context(socket.create_connection(address(uri), NEVER)))

        for _ in range(40):
            knock()
        complaint = "cannot accept a connection"
        wait_for(lambda: complaint in lab.run("logs", "show").stdout, 10, "they have run out")
        begin, before, calls, newcomers = time.monotonic(), processor_time(pid), 0, 0
        while time.monotonic() - begin < BEYOND_A_HANG:
            honest.slow("measuring", 0.02)
            calls += 1
            if calls % 10 == 0:
                knock()
            if calls % 50 == 0:
                with proxy(uri) as newcomer, contextlib.suppress(Pyro5.errors.CommunicationError):
                    newcomer._pyroBind()
                    newcomers += 1
        cost = processor_time(pid) - before
        print(f"{calls} calls with no descriptor left: {cost:.2f} s of processor time, "
              f"{newcomers} newcomers")
        assert cost < (time.monotonic() - begin) / 2
        assert newcomers > 0
        (bench,) = lab.ps()["daemons"]
        assert (bench["pid"], bench["status"]) == (pid, "running")
    with proxy(uri) as later:
        wait_for(later._pyroBind, 10, "room", ignoring=Pyro5.errors.CommunicationError)
        assert later.echo(1) == [[1], {}]
    told = lab.run("logs", "show").stdout
    assert 1 <= told.count(complaint) < 100


def test_where_those_who_are_in_have_all_descriptors_others_are_refused_by_name(lab):
    uri, pid = serve(lab, "{servertype: multiplex}")
    with contextlib.ExitStack() as stack:
        honest = stack.enter_context(proxy(uri))
        assert honest.echo(1) == [[1], {}]
        without_descriptors(pid, 20)
        refusals = []
        begin, calls = time.monotonic(), 0
        while time.monotonic() - begin < BEYOND_A_HANG:
            honest.slow("measuring", 0.02)
            calls += 1
            if calls < 60:
                further = stack.enter_context(proxy(uri.replace("t.wire", "Pyro.Daemon")))
                try:
                    further._pyroBind()
                except Pyro5.errors.CommunicationError as error:
                    refusals.append(str(error))
        assert any("no file descriptor left" in refusal for refusal in refusals), refusals
        (bench,) = lab.ps()["daemons"]
        assert (bench["pid"], bench["status"]) == (pid, "running")


def test_a_multiplex_daemon_serves_as_many_connections_as_it_may_open_files(lab):
    """With 256: a quarter for handshakes, a hundred for files of its own, and two for each."""
    lab.config(LAB, daemon="{servertype: multiplex}")
    limited = lab.start("-c", f'ulimit -n 256; exec "{lab.binary}" up', program="/bin/sh")
    assert limited.wait(60) == 0, limited.stdout.read()
    (service,) = lab.ps()["services"]
    uri = service["uri"]
    with contextlib.ExitStack() as stack:
        for _ in range(46):
            stack.enter_context(proxy(uri))._pyroBind()
        with pytest.raises(Pyro5.errors.CommunicationError, match="serves 46, as many as its limit"):
            stack.enter_context(proxy(uri))._pyroBind()


def test_a_oneway_flood_is_refused_and_told(bench):
    """Ours only: Pyro5 starts a thread for each, until it cannot."""
    uri, _ = bench
    with proxy(uri) as made, proxy(uri) as other:
        made.clear()
        try:
            for _ in range(1100):
                made.note_later(1)
            with pytest.raises(Pyro5.errors.DaemonError, match="too many oneway calls: 1"):
                made.echo(1)
            assert made.echo(2) == [[2], {}]
        finally:
            other.go_on()
        wait_for(lambda: finished(other) >= 900, 30, "the oneway calls have ended")


def finished(proxy):
    return sum(1 for what, *_ in proxy.notes() if what == "done")


def test_a_crowd_of_refused_peers_does_not_fill_the_log(lab):
    """A few of them are told in full, and the number of the others behind them."""
    uri, _ = serve(lab, "{}")
    for _ in range(300):
        with socket.create_connection(address(uri), NEVER) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\n\r\n" * 3)
            assert receive(peer)[6] == protocol.MSG_CONNECTFAIL

    def told():
        return lab.run("logs", "show").stdout

    wait_for(lambda: "more connections were refused" in told(), 30, "the number of the others")
    assert 1 <= told().count("connection refused") < 100


@pytest.mark.parametrize(
    "service, told_of, of_the_others",
    [
        ("{module: wire, classname: Wire, daemon: bench}", "an error in the oneway call", "more err"),
        ("{native: simulated.power_supply, daemon: bench}", "a oneway call raised", "more oneway"),
    ],
    ids=["python", "native"],
)
def test_a_flood_of_oneway_calls_that_fail_does_not_fill_the_log(
    lab, service, told_of, of_the_others
):
    lab.config(LAB.partition("  t.wire:")[0] + f"  t.flooded: {service}\n", daemon="{}")
    lab.up()
    lab.run("start", "daemon", "bench")
    with lab.proxy("t.flooded") as client:
        client._pyroBind()
        client._pyroOneway.add("nothing")
        client._pyroMethods.add("nothing")
        for _ in range(900):
            client.nothing()

        def told():
            return lab.run("logs", "show").stdout

        wait_for(lambda: of_the_others in told(), 30, "that there are others")
        assert 1 <= told().count(told_of) < 100


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
