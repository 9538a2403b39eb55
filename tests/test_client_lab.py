"""Labs as our Python client finds them, and its calls while daemons come and go."""

import os
import signal
import subprocess
import sys

import ferrolab
import pytest
from harness import EXTENDED, NEVER, free_port, stock_nameserver, wait_for
from harness.lab import TESTS, new_lab
from harness.locks import later

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers: {local: {host: localhost, ns_port: $ns_port}}
daemons:
  bench: {nameservers: [local]}
  wire: {nameservers: [local]}
  idle: {}
services:
  lab.supply: {native: simulated.power_supply, daemon: bench, nameservers: [local]}
  lab.wire: {module: wire, classname: Wire, daemon: wire, instancemode: single, nameservers: [local]}
  lab.away: {native: simulated.power_supply, daemon: idle}
autolaunch: {nameservers: [local], daemons: [bench, wire]}
"""
SETTINGS = {"timeout": NEVER, "connect_timeout": NEVER}


@pytest.fixture(scope="module")
def running():
    with new_lab() as lab:
        lab.ns_port = free_port()
        lab.config(CONFIGURATION, ns_port=lab.ns_port)
        lab.up()
        lab.wait_for_names(lab.ns_port, ["lab.supply", "lab.wire"])
        yield lab


@pytest.mark.parametrize("where", ["home", "FERROLAB_HOME", "FERROLAB_LAB", "host:port", "URI"])
def test_connect(running, monkeypatch, where):
    monkeypatch.delenv("FERROLAB_LAB", raising=False)
    address = f"localhost:{running.ns_port}"
    if where.startswith("FERROLAB"):
        monkeypatch.setenv(where, str(running.home) if where == "FERROLAB_HOME" else address)
    given = {"home": running.home, "host:port": address, "URI": f"PYRO:Pyro.NameServer@{address}"}.get(where)
    with ferrolab.connect(given, **SETTINGS) as lab:
        assert {"lab.supply", "lab.wire"} <= set(lab) == set(lab._ipython_key_completions_())
        assert "lab.supply" in lab and "lab.nothing" not in lab
        supply = lab["lab.supply"]
        assert supply is lab["lab.supply"]
        supply.voltage = 2
        assert supply.voltage == 2 and {"voltage", "reset"} <= set(dir(supply))
        assert lab[lab.services()["lab.supply"]].voltage == 2
        for name in ("lab.nothing", "PYRONAME:lab.nothing@" + address):
            with pytest.raises(ferrolab.PyroError, match="lab.nothing"):
                lab[name].voltage
        assert lab[f"PYRONAME:lab.supply@{address}"].voltage == 2


def test_why_a_service_is_not_there(running):
    with ferrolab.connect(running.home, **SETTINGS) as lab:
        with pytest.raises(ferrolab.NamingError, match="its daemon idle is stopped"):
            lab["lab.away"].voltage
    with pytest.raises(ferrolab.CommunicationError, match="no lab runs on this machine"):
        list(ferrolab.connect(running.files / "nowhere"))
    for wrong in ("host:port", "PYRO:x", "PYRONAME:lab.supply"):
        with pytest.raises(ValueError):
            ferrolab.connect(wrong)


def test_documentation_comes_with_a_method(running):
    with ferrolab.connect(running.home, **SETTINGS) as lab:
        assert lab["lab.supply"].identify.__doc__.strip()
        assert lab["lab.wire"].echo.__doc__ is None


def test_a_script_of_pyro5_changes_one_import(running):
    with stock_nameserver() as stock:
        for port in (running.ns_port, int(stock.uris["nameserver"].rpartition(":")[2])):
            with ferrolab.locate_ns("localhost", port, connect_timeout=NEVER) as nameserver:
                nameserver.register("lab.registered", "PYRO:x@localhost:1")
                assert str(nameserver.lookup("lab.registered")) == "PYRO:x@localhost:1"
                assert "lab.registered" in nameserver.list()
                nameserver.remove("lab.registered")
                with pytest.raises(ferrolab.NamingError):
                    nameserver.lookup("lab.registered")
    with pytest.raises(ferrolab.NamingError, match="no nameserver answers"):
        ferrolab.locate_ns("localhost", free_port(), connect_timeout=NEVER)


def test_a_service_is_found_where_it_is_after_a_restart(running):
    with ferrolab.connect(running.home, **SETTINGS) as lab:
        supply = lab["lab.supply"]
        supply.voltage = 1
        running.restart("daemon", "bench", "--force")
        supply._remote.pool._by_thread[next(iter(supply._remote.pool._by_thread))].used_at -= 10
        assert supply.voltage == 0


@pytest.mark.timeout(3600)
def test_a_daemon_that_is_killed_in_the_middle_of_calls(running, tmp_path):
    """Each call is reported as unknown, and none is made twice."""
    rounds = 500 if EXTENDED else 20
    with ferrolab.connect(running.home, **SETTINGS) as lab:
        wire = lab["lab.wire"]
        for number in range(rounds):
            wait_for(lambda: wire.notes() == [], 60, "it serves", (ferrolab.PyroError,))
            call = later(lambda number=number: wire.hold(number, str(tmp_path / f"gate{number}")))
            wait_for(lambda: wire.notes(), 30, "the call runs")
            assert wire.notes() == [("begin", number)]
            os.kill(running.entry("daemons", "wire")["pid"], signal.SIGKILL)
            with pytest.raises(ferrolab.ConnectionClosedError) as caught:
                call()
            assert caught.value.outcome == "unknown"
            # By hand, so that the supervisor does not wait longer after each death.
            running.restart("daemon", "wire")


@pytest.mark.timeout(3600)
def test_64_threads_on_one_object(running):
    each = 16_000 if EXTENDED else 100
    with ferrolab.connect(running.home, **SETTINGS) as lab:
        wire = lab["lab.wire"]

        def calls(number):
            for index in range(each):
                assert wire.echo(number, index)[0] == [number, index]

        for end in [later(lambda number=number: calls(number)) for number in range(64)]:
            end()


def test_the_import_needs_the_standard_library_only():
    program = f"""
import sys
sys.path[:] = [{str(TESTS.parent / "python")!r}] + [path for path in sys.path if "site-packages" not in path]
import ferrolab
light = len(sys.modules)
assert "ferrolab.client.proxy" not in sys.modules
ferrolab.connect, ferrolab.Proxy, ferrolab.locked, ferrolab.AioLab
assert not {{"numpy", "Pyro5", "serpent", "msgpack"}} & set(sys.modules)
for name in ferrolab.__all__:
    getattr(ferrolab, name)
assert set(ferrolab.__all__) <= set(dir(ferrolab))
"""
    subprocess.run([sys.executable, "-S", "-c", program], check=True, timeout=NEVER)
