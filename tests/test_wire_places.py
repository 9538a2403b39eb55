"""How many connections are served, and in which order their calls are.

Every case runs the same script of a stock client against Pyro5's own daemon and against ours.
"""

import contextlib
import json
import select
import socket
import time
from pathlib import Path

import Pyro5.errors
import pytest
from harness import NEVER, Service, both_sides, outcome, wait_for, within
from harness.bare import answer, connect_message, receive, send
from harness.sockets import wait_until_read
from harness.wire_lab import address, serve_wire
from Pyro5 import protocol

SERVICES = {
    "t.wire": Service("wire", "Wire", "single"),
    "t.counter": Service("counter", "Threads", "single"),
}


def bound(stack, side, number, service="t.wire"):
    """Clients that have been let in."""
    clients = [stack.enter_context(side.proxy(service)) for _ in range(number)]
    for client in clients:
        client._pyroBind()
    return clients


def late(side):
    """The outcome for one client more."""
    with side.proxy("t.wire") as client:
        return outcome(client._pyroBind)


def late_but_lucky(side):
    """The answer to one client more, once there is a place for it."""
    with side.proxy("t.wire") as client:
        wait_for(client._pyroBind, 5, "a place", ignoring=Pyro5.errors.CommunicationError)
        return client.echo(2)


def test_connection_81_is_refused_until_one_leaves():
    """With the settings as they come: 80 connections are served."""
    with both_sides(SERVICES) as sides:
        took = {}

        def script(side):
            with contextlib.ExitStack() as stack:
                clients = bound(stack, side, 80)
                refusals, took[side.name] = [], []
                for _ in range(5):
                    begin = time.monotonic()
                    refusals.append(late(side))
                    took[side.name].append(time.monotonic() - begin)
                going_on = [client.echo(1) for client in clients]
                clients[40]._pyroRelease()
                return [refusals, going_on, late_but_lucky(side)]

        came = sides.assert_same(script)
        assert "rejected: no free workers, increase server threadpool size" in came[1]
        # The middle one of five, and shorter than any wait for a place.
        assert sorted(took["Ferrolab"])[2] < within(1), took


def test_the_pool_is_as_large_as_the_daemons_settings_say():
    with both_sides(SERVICES, THREADPOOL_SIZE=2, THREADPOOL_SIZE_MIN=1) as sides:

        def script(side):
            with contextlib.ExitStack() as stack:
                _, second = bound(stack, side, 2)
                refused = late(side)
                second._pyroRelease()
                return [refused, late_but_lucky(side)]

        sides.assert_same(script)


def connect(stack, uri, source):
    """The kind of the answer to a handshake from this address of the loopback network."""
    peer = stack.enter_context(
        socket.create_connection(address(uri), NEVER, source_address=(source, 0))
    )
    peer.sendall(connect_message("marshal"))
    answer = receive(peer)
    return peer, answer[6], answer[40:]


def test_one_address_leaves_connections_to_others_where_it_is_limited(lab):
    """Ours only. `status` says who has the connections of a daemon that refuses others."""
    uri, _ = serve_wire(lab, "{threadpool_size: 4, connections_per_address: 3}")

    def findings():
        report = json.loads(lab.run("status", "--json", check=False).stdout)
        return [found for found in report["findings"] if found["subject"] == "daemon bench"]

    with contextlib.ExitStack() as stack:
        kinds = [connect(stack, uri, "127.0.0.7")[1] for _ in range(3)]
        assert kinds == [protocol.MSG_CONNECTOK] * 3
        _, kind, told = connect(stack, uri, "127.0.0.7")
        assert kind == protocol.MSG_CONNECTFAIL
        assert b"too many connections from your address: daemon 'bench' serves 3 of each" in told
        assert not findings(), "there is a place for others"
        _, kind, _ = connect(stack, uri, "127.0.0.9")
        assert kind == protocol.MSG_CONNECTOK
        _, kind, told = connect(stack, uri, "127.0.0.11")
        assert kind == protocol.MSG_CONNECTFAIL and b"no free workers" in told
        [found] = wait_for(findings, 10, "`status` tells of it")
        assert "4 connections, as many as it may" in found["problem"]
        assert "3 from 127.0.0.7, 1 from 127.0.0.9" in found["problem"]
        assert "`connections_per_address`" in found["advice"]
    wait_for(lambda: not findings(), 10, "`status` knows that they are gone")


@pytest.fixture(scope="module")
def multiplex():
    with both_sides(SERVICES, SERVERTYPE="multiplex", THREADPOOL_SIZE=2) as sides:
        yield sides


def test_a_multiplexing_daemon_has_no_places(multiplex):
    def script(side):
        with contextlib.ExitStack() as stack:
            return [client.echo(1) for client in bound(stack, side, 200)]

    multiplex.assert_same(script)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells what was read")
def test_a_multiplexing_daemon_serves_in_order_of_arrival_over_all_services(multiplex, tmp_path):
    """Calls of Python services and of the daemon itself wait for each other."""

    def script(side):
        def arrived(client, before):
            # Pyro5's lies in its socket until it is its turn, in the order of its arrival; ours
            # reads it at once, on one of several threads, and has it wait after those before it.
            if side is multiplex.ours:
                wait_until_read(client)
                calls = lambda: json.loads(multiplex._lab.run("calls", "--json").stdout)
                waiting = lambda: sum(call["waits_for"] == "its turn" for call in calls())
                wait_for(lambda: waiting() == before + 1, NEVER, "it waits for its turn")

        with contextlib.ExitStack() as stack:
            first, *others = bound(stack, side, 6)
            (counter,) = bound(stack, side, 1, "t.counter")
            first.clear()
            gate = tmp_path / side.name
            send(first, "hold", "first", str(gate))
            wait_until_read(first)
            for number, client in enumerate(others):
                send(client, "note", number)
                arrived(client, number)
            send(counter, "overlap", 1, 0.0)
            waiting = [counter, *others]
            answered, _, _ = select.select([one._pyroConnection.sock for one in waiting], [], [], 0)
            gate.touch()
            for client in [*waiting, first]:
                answer(client)
            return [answered, first.notes()]

    multiplex.assert_same(script)
