"""How many connections are served, and in which order their calls are.

Every case runs the same script of a stock client against Pyro5's own daemon and against ours.
"""

import contextlib
import select
import time
from pathlib import Path

import Pyro5.errors
import pytest
from harness import Service, both_sides, outcome, wait_for, within
from harness.bare import answer, send
from harness.sockets import wait_until_read

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
        def arrived(client):
            # Pyro5's lies in its socket until it is its turn, in the order of its arrival; ours
            # reads it at once, on one of several threads.
            if side is multiplex.ours:
                wait_until_read(client)

        with contextlib.ExitStack() as stack:
            first, *others = bound(stack, side, 6)
            (counter,) = bound(stack, side, 1, "t.counter")
            first.clear()
            gate = tmp_path / side.name
            send(first, "hold", "first", str(gate))
            wait_until_read(first)
            for number, client in enumerate(others):
                send(client, "note", number)
                arrived(client)
            send(counter, "overlap", 1, 0.0)
            waiting = [counter, *others]
            answered, _, _ = select.select([one._pyroConnection.sock for one in waiting], [], [], 0)
            gate.touch()
            for client in [*waiting, first]:
                answer(client)
            return [answered, first.notes()]

    multiplex.assert_same(script)
