"""Crowds of connections: silent, slow, idle, and as many as the daemon may open files."""

import contextlib
import resource
import selectors
import socket
import ssl
import time
from pathlib import Path

import Pyro5.errors
import pytest
from harness import NEVER, Certificates, at_most, proxy, tls_client, wait_for, within
from harness.bare import connect_message, receive
from harness.processes import memory, processor_time
from harness.wire_lab import CONFIGURATION, address, serve_wire
from Pyro5 import protocol
from Pyro5.serializers import serializers

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="measured on Linux")


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
    uri, _ = serve_wire(lab, daemon if encrypted else "{}")
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
    uri, pid = serve_wire(lab, "{threadpool_size: 5000}")
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


def without_descriptors(pid, others=5):
    """Lets the process open only so many more."""
    descriptors = [int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(descriptors) + others, hard))


# Longer than the supervisor waits for an answer to its calls.
BEYOND_A_HANG = 12


def test_where_descriptors_run_out_those_who_are_in_are_served(lab):
    """Silent peers have them all: a supervisor that asks is answered, and newcomers get in."""
    uri, pid = serve_wire(lab)
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
        while (passed := time.monotonic() - begin) < BEYOND_A_HANG or (not newcomers and passed < NEVER):
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
    uri, pid = serve_wire(lab, "{servertype: multiplex}")
    with contextlib.ExitStack() as stack:
        honest = stack.enter_context(proxy(uri))
        assert honest.echo(1) == [[1], {}]
        without_descriptors(pid, 20)
        refusals = []
        begin, calls = time.monotonic(), 0
        while time.monotonic() - begin < BEYOND_A_HANG or (not refusals and calls < 60):
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
    """With 256: a quarter for handshakes, a hundred for its own files, and three for each."""
    lab.config(CONFIGURATION, daemon="{servertype: multiplex}")
    limited = lab.start("-c", f'ulimit -n 256; exec "{lab.binary}" up', program="/bin/sh")
    assert limited.wait(60) == 0, limited.stdout.read()
    (service,) = lab.ps()["services"]
    uri = service["uri"]
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            # A call opens its connection's channel to the worker.
            assert stack.enter_context(proxy(uri)).echo(1) == [[1], {}]
        with pytest.raises(Pyro5.errors.CommunicationError, match="serves 30, as many as its limit"):
            stack.enter_context(proxy(uri))._pyroBind()
