"""Servers that lie, stall or vanish: our client raises an error with its cause."""

import json
import marshal
import resource
import socket
import subprocess
import sys
import zlib

import ferrolab
import pytest
from harness import NEVER, wait_for
from harness.lab import TESTS
from harness.liar import HEADER, Liar, frame, result
from harness.locks import later

FIVE = marshal.dumps(5, 2)


def client(server, **settings):
    return ferrolab.Proxy(server.uri, **{"timeout": NEVER, "connect_timeout": NEVER, **settings})


def send(data):
    return lambda sock, seq, payload: sock.sendall(data(seq) if callable(data) else data)


LIES = {
    "another call's answer": (lambda seq: result(FIVE, seq + 1), ferrolab.ProtocolError, "answer"),
    "two answers": (lambda seq: result(FIVE, seq) * 2, ferrolab.ProtocolError, "more than the answer"),
    "no protocol": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" * 3, ferrolab.ProtocolError, "does not speak"),
    "another version": (lambda seq: result(FIVE, seq, version=501), ferrolab.ProtocolError, "version 501"),
    "a handshake": (lambda seq: frame(2, b"{}", seq), ferrolab.ProtocolError, "of type 2"),
    "4 GiB": (lambda seq: result(FIVE, seq, size=2**32 - 1), ferrolab.MessageTooLargeError, "4294967295 bytes"),
    "annotations of 4 GiB": (lambda seq: result(FIVE, seq, notes=2**32 - 1), ferrolab.MessageTooLargeError, "announces"),
    "a code object": (lambda seq: result(marshal.dumps(compile("1", "x", "eval")), seq), ferrolab.SerializeError, "plain data"),
    "a list of 4 GiB": (lambda seq: result(b"[\xff\xff\xff\x7f", seq), ferrolab.SerializeError, "cut short"),
    "deep nesting": (lambda seq: result(b"[\x01\0\0\0" * 100_000, seq), ferrolab.SerializeError, "nested"),
    "deep nesting in serpent": (lambda seq: result(b"[" * 500_000, seq, serializer=1), ferrolab.SerializeError, "nested"),
    "deep nesting in json": (lambda seq: result(b"[" * 500_000, seq, serializer=3), ferrolab.SerializeError, "recursion"),
    "an unknown serializer": (lambda seq: result(FIVE, seq, serializer=9), ferrolab.SerializeError, "serializer 9"),
    "a bomb": (lambda seq: result(zlib.compress(bytes(1 << 24)), seq, flags=2), ferrolab.MessageTooLargeError, "inflates"),
    "a damaged bomb": (lambda seq: result(b"xxxx", seq, flags=2), ferrolab.ProtocolError, "damaged"),
    "an exception that is none": (lambda seq: result(FIVE, seq, flags=1), ferrolab.ProtocolError, "is none"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies(lie):
    data, error, words = LIES[lie]
    with Liar(send(data)) as server, client(server, max_message=1 << 20) as made:
        with pytest.raises(error, match=words) as caught:
            made.echo(1)
        assert caught.value.outcome in ("ran", "unknown")
        assert server.requests == 1, "it is not made again"


@pytest.mark.parametrize(
    ("welcome", "words"),
    [
        (frame(3, b'"no free workers"', seq=0, serializer=3), "refuses the connection: no free workers"),
        (frame(2, b"{}", seq=0, serializer=3), "no metadata"),
        (frame(2, b'{"meta": {"methods": 5}}', seq=0, serializer=3), "no list of methods"),
        (frame(2, b"[" * 900_000, seq=0, serializer=3), "recursion"),
        (frame(2, b"", seq=0, serializer=3, size=2**31), "announces"),
        (b"SSH-2.0-OpenSSH_9.2\r\n" * 3, "does not speak"),
    ],
)
def test_a_handshake_that_is_none(welcome, words):
    with Liar(welcome=welcome) as server, client(server) as made:
        with pytest.raises(ferrolab.CommunicationError, match=words) as caught:
            made.echo(1)
        assert caught.value.outcome == "not started"


def test_a_server_that_says_nothing():
    with Liar(welcome=b"") as server, client(server, connect_timeout=0.3) as made:
        with pytest.raises(ferrolab.TimeoutError) as caught:
            made.echo(1)
        assert caught.value.outcome == "not started"


@pytest.mark.parametrize("sent", [b"", result(bytes(1000), 1)[:500], result(FIVE, 1)[:20]], ids=len)
def test_a_server_that_stalls(sent):
    """The limit is for the whole call: a byte now and then does not prolong it."""
    with Liar(send(sent)) as server, client(server) as made:
        with pytest.raises(ferrolab.TimeoutError) as caught:
            made.echo.with_timeout(0.3)(1)
        assert caught.value.outcome == "unknown"


def test_a_late_answer_is_nobody_s():
    late = []

    def answer(sock, seq, payload):
        if b"first" in payload:
            late.append(sock)
        else:
            late[0].sendall(result(marshal.dumps("stale", 2), 1))
            sock.sendall(result(marshal.dumps("fresh", 2), seq))

    with Liar(answer) as server, client(server) as made:
        with pytest.raises(ferrolab.TimeoutError):
            made.echo.with_timeout(3)("first")
        wait_for(lambda: late, NEVER, "the server has the first call")
        with pytest.raises((ferrolab.ConnectionClosedError, AssertionError)):
            # The server cannot write to the connection that the timeout has closed.
            assert made.echo("second") == "fresh"
            raise AssertionError
        assert len(server.connections) == 2


@pytest.mark.parametrize("sent", [b"", result(FIVE, 1)[:44]], ids=len)
def test_a_server_that_vanishes_in_the_middle_of_a_call(sent):
    def vanish(sock, seq, payload):
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_RDWR)

    with Liar(vanish) as server, client(server, safe=["slow"]) as made:
        with pytest.raises(ferrolab.ConnectionClosedError, match="may have run") as caught:
            made.echo(1)
        assert caught.value.outcome == "unknown" and server.requests == 1
        with pytest.raises(ferrolab.ConnectionClosedError):
            made.slow()
        assert server.requests == 3, "what was declared safe is made once more"


def test_a_connection_that_was_closed_while_idle_costs_no_call():
    with Liar(send(lambda seq: result(FIVE, seq))) as server, client(server) as made:
        assert made.echo(1) == 5
        server.connections[0].shutdown(socket.SHUT_RDWR)
        # It is looked at where no call was made for a moment.
        made._remote.pool._by_thread[next(iter(made._remote.pool._by_thread))].used_at -= 10
        assert made.echo(1) == 5
        assert server.requests == 2


def test_an_announced_answer_takes_no_memory_before_it_arrives():
    program = f"""
import resource, sys
sys.path[:0] = {[str(TESTS.parent / "python")]!r}
import ferrolab
ferrolab.Proxy
import ferrolab.client.connection
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = ferrolab.Proxy(sys.argv[1])
try:
    made.echo.with_timeout(0.5)(1)
except ferrolab.TimeoutError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    with Liar(send(lambda seq: result(bytes(100_000), seq, size=1 << 29))) as server:
        done = subprocess.run([sys.executable, "-c", program, server.uri], capture_output=True, text=True, timeout=NEVER)
    unit = 1024 if sys.platform.startswith("linux") else 1
    assert int(done.stdout) * unit < 64 << 20, done.stderr
    assert resource


def test_a_token_goes_to_no_other_server():
    """A server may send the URI of any object; the handshake's data is for its own ones only."""
    seen = []

    def answer(sock, seq, payload):
        sock.sendall(result(FIVE, seq))

    class Spy(Liar):
        def _read(self, sock):
            found = super()._read(sock)
            if found[0] == 0:
                seen.append(json.loads(found[1])["handshake"])
            return found

    with Spy(answer) as other:
        proxy = {"__class__": "Pyro5.client.Proxy", "state": (other.uri, (), (), (), "hello", None)}
        with Spy(send(lambda seq: result(marshal.dumps(proxy, 2), seq))) as server:
            with client(server, handshake="a secret") as made:
                assert made.echo(1).echo(2) == 5
    assert seen == ["a secret", "hello"]
    assert HEADER.size == 40


def test_a_token_goes_to_nobody_who_answers_a_search(monkeypatch):
    monkeypatch.delenv("FERROLAB_LAB", raising=False)
    monkeypatch.delenv("PYRO_NS_HOST", raising=False)
    monkeypatch.setattr("ferrolab.client.home.control_socket", lambda: None)
    monkeypatch.setattr("ferrolab.client.nameserver._listens", lambda host, port: False)
    monkeypatch.setattr("ferrolab.client.nameserver._search", lambda: pytest.fail("it searches"))
    with pytest.raises(ferrolab.NamingError, match="say where"):
        ferrolab.connect(handshake={"token": "a secret"})
    with pytest.raises(ferrolab.NamingError, match="say where"):
        ferrolab.Proxy("PYRONAME:lab.laser", handshake="a secret").move(1)


@pytest.mark.parametrize("unix", [False, True])
def test_marshal_of_python_s_own_only_from_a_trusted_server(unix, tmp_path, monkeypatch):
    """A reference is data of `marshal.loads` only: over TCP it is refused."""
    monkeypatch.chdir(tmp_path)
    with Liar(send(lambda seq: result(marshal.dumps(("a", "a")), seq)), unix="s" if unix else None) as server:
        with client(server) as made:
            if unix:
                assert made.echo(1) == ("a", "a")
            else:
                with pytest.raises(ferrolab.SerializeError):
                    made.echo(1)


def test_answers_out_of_order_to_many_threads():
    def answer(sock, seq, payload):
        value = marshal.loads(payload)[2][0]
        sock.sendall(result(marshal.dumps(value, 2), seq if value % 7 else seq + 1))

    with Liar(answer) as server, client(server) as made:

        def calls(first):
            for value in range(first, first + 100):
                try:
                    assert made.echo(value) == value
                except ferrolab.ProtocolError:
                    assert value % 7 == 0

        for end in [later(lambda first=first: calls(first * 1000)) for first in range(8)]:
            end()
        wait_for(lambda: server.requests == 800, 20, "each was made once")
