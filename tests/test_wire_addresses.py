"""Where a daemon listens, and what it tells its clients of that.

Every case runs the same script of a stock client against Pyro5's own daemon and against ours.
"""

import contextlib
import itertools
import socket
import tempfile
from pathlib import Path

import pytest
from harness import Service, both_sides, every_servertype, free_port, proxy
from harness.lab import SHORT_TMP

SERVICES = {"t.wire": Service("wire", "Wire", "single")}


def use(side, uri=None):
    """All that has an address in it: the URI, a child's, and what `Pyro.Daemon` says."""
    uri = uri or side.uris["t.wire"]
    with proxy(uri) as made, proxy("PYRO:Pyro.Daemon@" + uri.partition("@")[2]) as daemon:
        made.adopt("anna")
        child = made.child_of("anna")["the child"][0]
        try:
            return [
                side.uris["t.wire"],
                made.echo(1),
                list(made.numbers(2)),
                str(child._pyroUri),
                sorted({"Pyro.Daemon", "child.anna", "t.wire"} & set(daemon.registered())),
                made.context()["address"],
            ]
        finally:
            child._pyroRelease()
            made.disown("anna")


@every_servertype
def test_a_unix_socket(servertype):
    number = itertools.count()
    with tempfile.TemporaryDirectory(prefix="fl-", dir=SHORT_TMP) as folder:

        def address():
            return {"unixsocket": str(Path(folder) / f"{next(number)}.sock")}

        with both_sides(SERVICES, address, SERVERTYPE=servertype) as sides:
            came = sides.assert_same(use)
            assert "PYRO:child.anna@./u:" in came[1]
            path = sides.ours.listens["unixsocket"]
            assert sides.ours.uris["t.wire"] == f"PYRO:t.wire@./u:{path}"


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@every_servertype
def test_ipv6(servertype):
    with both_sides(SERVICES, lambda: {"host": "::1"}, SERVERTYPE=servertype) as sides:
        sides.assert_same(use)
        assert sides.ours.uris["t.wire"].startswith("PYRO:t.wire@[::1]:")


@every_servertype
@pytest.mark.parametrize("port", [5555, 0])
def test_a_nat_address_is_what_clients_are_told(servertype, port):
    """A NAT port of 0 is the daemon's own."""

    def address():
        nat = {"nathost": "lab.example.edu", "natport": port}
        return {"host": "localhost", "port": free_port(), **nat}

    with both_sides(SERVICES, address, SERVERTYPE=servertype) as sides:

        def script(side):
            own = side.listens["port"]
            seen = []
            with proxy(f"PYRO:t.wire@localhost:{own}") as made:
                seen += [side.uris["t.wire"], made.echo(1), str(made.adopt("anna")._pyroUri)]
            with proxy(f"PYRO:Pyro.Daemon@localhost:{own}") as daemon:
                seen.append(f"NAT lab.example.edu:{port or own}" in daemon.info())
            return [str(part).replace(str(own), "OWN") for part in seen]

        came = sides.assert_same(script)
        told = "PYRO:child.anna@lab.example.edu:" + (str(port) if port else "OWN")
        assert told in came[1]
