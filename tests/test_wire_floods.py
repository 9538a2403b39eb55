"""Floods of calls and of refused peers: they fill neither the daemon nor its log."""

import socket

import Pyro5.errors
import pytest
from harness import NEVER, every_servertype, proxy, wait_for
from harness.bare import receive
from harness.wire_lab import CONFIGURATION, address, serve_wire
from Pyro5 import protocol


@every_servertype
def test_a_oneway_flood_is_refused_and_told(lab, servertype):
    """Ours only: Pyro5 starts a thread for each, until it cannot."""
    uri, _ = serve_wire(lab, f"{{servertype: {servertype}}}")
    with proxy(uri) as made, proxy(uri) as other:
        made.clear()
        try:
            for number in range(1100):
                made.note_later(number)
            with pytest.raises(Pyro5.errors.DaemonError, match="too many oneway calls: 100 on"):
                made.echo(1)
            # No later call overtakes those that were taken.
            assert made.notes() == [("begun", number) for number in range(1000)]
        finally:
            other.go_on()
        wait_for(lambda: finished(other) == 1000, 30, "the oneway calls have ended")


def finished(proxy):
    return sum(1 for what, *_ in proxy.notes() if what == "done")


def test_a_crowd_of_refused_peers_does_not_fill_the_log(lab):
    """A few of them are logged in full, and then the number of the others."""
    uri, _ = serve_wire(lab)
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
    lab.config(CONFIGURATION.partition("  t.wire:")[0] + f"  t.flooded: {service}\n", daemon="{}")
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
