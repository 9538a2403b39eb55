"""Connections: how they begin, how long they last, how large messages are, whose instances are."""

import contextlib
import socket

import Pyro5.errors
import pytest
from harness import (
    EXTENDED,
    NEVER,
    SERIALIZERS,
    Service,
    both_sides,
    every_servertype,
    proxy,
    raised,
    stock_daemon,
    wait_for,
)
from harness.bare import answer, send
from harness.wire_lab import address, serve_wire
from Pyro5 import protocol

SERVICES = {"t.wire": Service("wire", "Wire", "single")}


# time


@every_servertype
@pytest.mark.parametrize("begun", [b"", b"PYRO"], ids=["silent", "half a request"])
def test_a_client_that_does_not_go_on_and_its_time(servertype, begun):
    """It is given up; but a multiplexing server waits for the next request for ever."""
    with both_sides(SERVICES, SERVERTYPE=servertype, COMMTIMEOUT=1) as sides:
        ends = bool(begun) or servertype == "thread"

        def script(side):
            with side.proxy("t.wire") as made:
                # A busy client may take too long between its handshake and its call.
                wait_for(lambda: made.echo(1), NEVER, "a call", Pyro5.errors.CommunicationError)
                sock = made._pyroConnection.sock
                sock.settimeout(NEVER if ends else 3)
                try:
                    sock.sendall(begun)
                    return ["ended", sock.recv(1)]
                except TimeoutError:
                    return ["open", made.echo(2)]
                except ConnectionError:
                    return ["ended", b""]

        came = sides.assert_same(script)
        assert ("ended" in came[1]) == ends


@every_servertype
def test_a_slow_reader_has_its_time_for_each_part_of_an_answer(servertype):
    """The whole of it may take longer than the daemon waits for a silent client."""
    limit, whole = (2, 3) if EXTENDED else (10, 12)
    with both_sides(SERVICES, SERVERTYPE=servertype, COMMTIMEOUT=limit) as sides, stock_daemon(SERVICES) as elsewhere:

        def script(side):
            size = 30_000_000
            with side.proxy("t.wire") as made, proxy(elsewhere.uris["t.wire"]) as busy:
                made.echo(1)
                sock = made._pyroConnection.sock
                sock.settimeout(NEVER)
                send(made, "large", size)
                header = protocol.ReceivingMessage(made._pyroConnection.recv(40))
                left = header.data_size
                while left:
                    part = min(1_000_000, left)
                    left -= len(sock.recv(part, socket.MSG_WAITALL))
                    # Longer than the limit over all of it, busy with another instrument.
                    busy.slow("in between", whole * part / size)
                return made.echo(2)

        sides.assert_same(script)


# size


@every_servertype
def test_a_request_that_is_too_large_is_refused(servertype):
    """Pyro5 closes the connection; ours says why first, and then does."""
    with both_sides(SERVICES, SERVERTYPE=servertype, MAX_MESSAGE_SIZE=100_000) as sides:
        for side in (sides.stock, sides.ours):
            with side.proxy("t.wire") as made, pytest.raises(Pyro5.errors.CommunicationError):
                made.echo("x" * 20_000_000)
        with sides.ours.proxy("t.wire") as made:
            with pytest.raises(Pyro5.errors.ProtocolError, match=r"too large .* max=100000"):
                made.echo("x" * 200_000)
            assert made.echo("x" * 50_000) == [["x" * 50_000], {}]


@every_servertype
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


@every_servertype
def test_answers_are_compressed_where_the_daemon_says_so(servertype):
    with both_sides(SERVICES, SERVERTYPE=servertype, COMPRESSION=True) as sides:

        def script(side):
            seen = []
            for serializer in SERIALIZERS:
                with side.proxy("t.wire", serializer=serializer) as made:
                    seen += [len(made.large(5000)), made.echo(1)]
                    for size in (10, 5000):
                        send(made, "large", size, serializer=serializer)
                        message = answer(made)
                        compressed = message.flags & protocol.FLAGS_COMPRESSED
                        seen.append([serializer, compressed, message.data_size < 99])
            return seen

        sides.assert_same(script)


# instances


@every_servertype
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


def test_a_handshake_that_is_too_large_is_told_so(lab):
    """Ours only: before the handshake, nobody is listened to for long."""
    uri, _ = serve_wire(lab)
    with proxy(uri) as made:
        made._pyroHandshake = "x" * 20_000_000
        with pytest.raises(Pyro5.errors.CommunicationError, match="too large .* max=65536"):
            made._pyroBind()


def test_what_a_handshake_may_not_be(lab):
    """The peer is told what is wrong, and no other client is disturbed."""
    uri, _ = serve_wire(lab)
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
            with socket.create_connection(address(uri), NEVER) as peer:
                peer.sendall(first)
                answer = b""
                with contextlib.suppress(ConnectionError):
                    while chunk := peer.recv(65536):
                        answer += chunk
            assert answer[:4] == b"PYRO" and answer[6] == protocol.MSG_CONNECTFAIL, answer
            assert honest.echo(1) == [[1], {}]


def test_a_lost_daemon_is_the_clients_error(lab):
    uri, _ = serve_wire(lab)
    with proxy(uri) as made:
        made.echo(1)
        lab.run("down")
        try:
            made.echo(2)
        except Exception as error:
            assert raised(error)[1] == "Pyro5.errors.ConnectionClosedError"
        else:
            raise AssertionError("the call succeeded")
