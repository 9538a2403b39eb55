"""Connections: where they go, how many there may be, how long they last, how large messages are."""

import contextlib
import socket
import time
from pathlib import Path

import Pyro5.errors
import pytest
from harness import Service, both_sides, free_port, outcome, proxy, raised, wait_for
from Pyro5 import protocol
from Pyro5.serializers import serializers

SERVICES = {"t.wire": Service("wire", "Wire", "single")}
LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: $daemon
services:
  t.wire: {module: wire, classname: Wire, daemon: bench, instancemode: single}
  t.counter: {module: counter, classname: Threads, daemon: bench, instancemode: single}
autolaunch: {daemons: [bench]}
"""


def served(lab, daemon, name="t.wire"):
    """The URI of a service in a lab with this daemon."""
    lab.config(LAB, daemon=daemon)
    lab.up()
    return next(entry["uri"] for entry in lab.ps()["services"] if entry["name"] == name)


def use(uri):
    with proxy(uri) as made:
        made.adopt("anna")
        child = made.child_of("anna")["the child"][0]
        try:
            return [made.echo(1), list(made.numbers(2)), child.who(), str(child._pyroUri)]
        finally:
            child._pyroRelease()
            made.disown("anna")


# addresses


def test_a_unix_socket(lab):
    path = lab.folder / "bench.sock"
    uri = served(lab, f'{{unixsocket: "{path}"}}')
    assert uri == f"PYRO:t.wire@./u:{path}"
    assert use(uri) == [[[1], {}], [0, 1], "anna", f"PYRO:child.anna@./u:{path}"]


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_ipv6(lab):
    uri = served(lab, '{host: "::1"}')
    assert uri.startswith("PYRO:t.wire@[::1]:")
    assert use(uri)[:3] == [[[1], {}], [0, 1], "anna"]
    assert use(uri)[3].startswith("PYRO:child.anna@[::1]:")


def test_a_nat_address_is_what_clients_are_told(lab):
    port = free_port()
    uri = served(lab, f"{{port: {port}, nathost: lab.example.edu, natport: 5555}}")
    assert uri == "PYRO:t.wire@lab.example.edu:5555"
    with proxy(f"PYRO:t.wire@localhost:{port}") as made:
        assert str(made.adopt("anna")._pyroUri) == "PYRO:child.anna@lab.example.edu:5555"
    with proxy(f"PYRO:Pyro.Daemon@localhost:{port}") as daemon:
        assert "NAT lab.example.edu:5555" in daemon.info()


# time


@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_a_silent_client_and_its_time(servertype):
    """A threaded server gives it up; a multiplexing one waits for the next request for ever."""
    with both_sides(SERVICES, SERVERTYPE=servertype, COMMTIMEOUT=0.5) as sides:

        def script(side):
            with side.proxy("t.wire") as made:
                made.echo(1)
                sock = made._pyroConnection.sock
                sock.settimeout(2)
                try:
                    return ["ended", sock.recv(1)]
                except TimeoutError:
                    return ["open", made.echo(2)]
                except ConnectionError:
                    return ["ended", b""]

        came = sides.assert_same(script)
        assert ("ended" in came[1]) == (servertype == "thread")


@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_half_a_request_and_its_time(servertype):
    with both_sides(SERVICES, SERVERTYPE=servertype, COMMTIMEOUT=0.5) as sides:

        def script(side):
            with side.proxy("t.wire") as made:
                made.echo(1)
                sock = made._pyroConnection.sock
                sock.sendall(b"PYRO")
                sock.settimeout(10)
                with contextlib.suppress(ConnectionError):
                    return sock.recv(1)
                return b""

        sides.assert_same(script)


# size


def test_a_request_that_is_too_large_is_refused():
    """Pyro5 closes the connection; ours says why first, and then does."""
    with both_sides(SERVICES, MAX_MESSAGE_SIZE=100_000) as sides:
        for side in (sides.stock, sides.ours):
            with side.proxy("t.wire") as made, pytest.raises(Pyro5.errors.CommunicationError):
                made.echo("x" * 20_000_000)
        with sides.ours.proxy("t.wire") as made:
            with pytest.raises(Pyro5.errors.ProtocolError, match=r"too large .* max=100000"):
                made.echo("x" * 200_000)
            assert made.echo("x" * 50_000) == [["x" * 50_000], {}]


@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_an_answer_that_is_too_large_is_the_callers_error(servertype):
    """Pyro5 closes the connection, and its multiplexing server with it."""
    with both_sides(SERVICES, SERVERTYPE=servertype, MAX_MESSAGE_SIZE=100_000) as sides:
        with sides.ours.proxy("t.wire") as made:
            with pytest.raises(Pyro5.errors.ProtocolError, match=r"too large .* max=100000"):
                made.large(200_000)
            made._pyroReconnect()
            assert len(made.large(90_000)) == 90_000
        with sides.stock.proxy("t.wire") as made, pytest.raises(Pyro5.errors.CommunicationError):
            made.large(200_000)


@pytest.mark.parametrize("serializer", ["serpent", "marshal", "json", "msgpack"])
def test_answers_are_compressed_where_the_daemon_says_so(serializer):
    with both_sides(SERVICES, COMPRESSION=True) as sides:

        def script(side):
            with side.proxy("t.wire", serializer=serializer) as made:
                seen = [len(made.large(5000)), made.echo(1)]
                for size in (10, 5000):
                    send(made, "large", size, serializer=serializer)
                    connection = made._pyroConnection
                    header = connection.recv(40)
                    message = protocol.ReceivingMessage(header)
                    connection.recv(message.data_size)
                    seen.append([message.flags & protocol.FLAGS_COMPRESSED, message.data_size < 99])
                return seen

        sides.assert_same(script)


# places


def test_connection_81_is_refused_until_one_leaves(lab):
    """With the settings as they come: 80 connections are served."""
    uri = served(lab, "{}")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(proxy(uri)) for _ in range(80)]
        for client in clients:
            client._pyroBind()
        refusals = []
        for _ in range(5):
            begin = time.monotonic()
            with pytest.raises(Pyro5.errors.CommunicationError) as refused, proxy(uri) as late:
                late._pyroBind()
            refusals.append(time.monotonic() - begin)
            assert str(refused.value).endswith(
                "rejected: no free workers, increase server threadpool size"
            )
        assert min(refusals) < 0.1
        assert all(client.echo(1) == [[1], {}] for client in clients)
        clients[40]._pyroRelease()
        with proxy(uri) as late:
            wait_for(late._pyroBind, 5, "a place", ignoring=Pyro5.errors.CommunicationError)
            assert late.echo(2) == [[2], {}]


def test_the_refusal_is_pyro5s():
    with both_sides(SERVICES, THREADPOOL_SIZE=2, THREADPOOL_SIZE_MIN=1) as sides:

        def script(side):
            with side.proxy("t.wire") as one, side.proxy("t.wire") as two:
                one._pyroBind()
                two._pyroBind()
                with side.proxy("t.wire") as three:
                    came = outcome(three._pyroBind)
                two._pyroRelease()
                with side.proxy("t.wire") as three:
                    wait_for(three._pyroBind, 5, "a place", Pyro5.errors.CommunicationError)
                    return [came, three.echo(1)]

        sides.assert_same(script)


def test_a_multiplexing_daemon_has_no_places(lab):
    uri = served(lab, "{servertype: multiplex, threadpool_size: 2}")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(proxy(uri)) for _ in range(200)]
        assert [client.echo(1) for client in clients] == [[[1], {}]] * 200


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells what was read")
def test_a_multiplexing_daemon_serves_in_order_of_arrival_over_all_services(lab):
    """Calls of Python services and of the daemon itself wait for each other."""
    lab.config(LAB, daemon="{servertype: multiplex}")
    lab.up()
    uris = {entry["name"]: entry["uri"] for entry in lab.ps()["services"]}
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(proxy(uris["t.wire"]))
        others = [stack.enter_context(proxy(uris["t.wire"])) for _ in range(5)]
        counter = stack.enter_context(proxy(uris["t.counter"]))
        for client in [first, *others, counter]:
            client._pyroBind()
        send(first, "slow", "first", 1.0)
        wait_until_read(first)
        for number, client in enumerate(others):
            send(client, "note", number)
            wait_until_read(client)
        send(counter, "overlap", 1, 0.0)
        begin = time.monotonic()
        for client in [counter, *others, first]:
            protocol.recv_stub(client._pyroConnection, [protocol.MSG_RESULT])
        assert time.monotonic() - begin > 0.3, "nobody waited for the first"
        with proxy(uris["t.wire"]) as watcher:
            assert watcher.notes() == [("begin", "first"), ("end", "first"), *range(5)]


def send(client, method, *args, serializer="serpent"):
    """Sends a request without waiting for its answer."""
    serializer = serializers[serializer]
    data = serializer.dumpsCall(client._pyroConnection.objectId, method, args, {})
    client._pyroSeq += 1
    message = protocol.SendingMessage(
        protocol.MSG_INVOKE, 0, client._pyroSeq, serializer.serializer_id, data
    )
    client._pyroConnection.send(message.data)


def wait_until_read(client):
    """Until the daemon has read what the client sent, which Linux tells."""
    sock = client._pyroConnection.sock
    ours, theirs = sock.getsockname()[1], sock.getpeername()[1]

    def read():
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, _, queues, *_ = line.split()
            if int(local[-4:], 16) == theirs and int(remote[-4:], 16) == ours:
                return int(queues.partition(":")[2], 16) == 0
        return False

    wait_for(read, 5, "the request was read")


# instances


@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
@pytest.mark.parametrize("mode", ["single", "session", "percall"])
def test_instance_modes_in_both_server_types(servertype, mode):
    services = {"t.count": Service("counter", "Counter", mode)}
    with both_sides(services, SERVERTYPE=servertype) as sides:

        def script(side):
            with side.proxy("t.count") as one, side.proxy("t.count") as two:
                one.count = 10
                seen = [one.bump(), one.bump(), two.bump()]
                one._pyroRelease()
                return [*seen, one.bump(), two.bump()]

        sides.assert_same(script)


def test_what_a_handshake_may_not_be(lab):
    """Whatever comes first, the peer is told what is wrong, and nobody else is troubled."""
    uri = served(lab, "{}")
    host, _, port = uri.partition("@")[2].rpartition(":")
    with proxy(uri) as honest:
        honest._pyroBind()
        for first in (
            protocol.SendingMessage(protocol.MSG_INVOKE, 0, 1, 1, b"x").data,
            protocol.SendingMessage(protocol.MSG_CONNECT, 0, 1, 77, b"x").data,
            protocol.SendingMessage(protocol.MSG_CONNECT, 0, 1, 1, b"garbage(").data,
            protocol.SendingMessage(protocol.MSG_CONNECT, 0, 1, 1, b"[]").data,
            protocol.SendingMessage(protocol.MSG_CONNECT, 0, 1, 1, b"{}").data,
            b"GET / HTTP/1.1\r\n\r\n" * 4,
        ):
            with socket.create_connection((host, int(port)), 10) as peer:
                peer.sendall(first)
                answer = b""
                with contextlib.suppress(ConnectionError):
                    while chunk := peer.recv(65536):
                        answer += chunk
            assert answer[:4] == b"PYRO" and answer[6] == protocol.MSG_CONNECTFAIL, answer
            assert honest.echo(1) == [[1], {}]


def test_a_lost_daemon_is_the_clients_error(lab):
    uri = served(lab, "{}")
    with proxy(uri) as made:
        made.echo(1)
        lab.run("down")
        try:
            made.echo(2)
        except Exception as error:
            assert raised(error)[1] == "Pyro5.errors.ConnectionClosedError"
        else:
            raise AssertionError("the call succeeded")
