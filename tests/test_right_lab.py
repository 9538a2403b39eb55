"""`ferrolab call` finds the service of the right lab; two labs with one copied file do not mix."""

import Pyro5.errors
import pytest
from harness import free_port, new_lab, proxy, wait_for

CONFIGURATION = """\
nameservers: {local: {host: localhost, ns_port: $ns_port}}
daemons: {cams: {host: localhost}, idle: {host: localhost}}
services:
  lab.laser: {native: simulated.$kind, daemon: cams, nameservers: [local]}
  lab.idle: {native: simulated.$kind, daemon: idle}
autolaunch: {nameservers: [local], daemons: [cams]}
"""
METER, SUPPLY = "Simulated multimeter", "Simulated power supply"


@pytest.fixture
def first(lab):
    lab.ns_port = free_port()
    lab.config(CONFIGURATION, ns_port=lab.ns_port, kind="multimeter")
    lab.up()
    return lab


def test_a_call_asks_the_running_lab_first(first):
    first.run("stop", "nameserver", "local")
    assert METER in first.run("call", "lab.laser", "identify").stdout


@pytest.mark.parametrize(
    ("service", "told"), [("lab.laser", "daemon cams was stopped by hand"), ("lab.idle", "daemon idle does not run")]
)
def test_a_call_to_a_stopped_daemon_says_so(first, service, told):
    first.run("stop", "daemon", "cams")
    refused = first.run("call", service, "identify", check=False)
    assert refused.returncode == 1 and told in refused.stderr
    assert f"ferrolab start daemon {told.split()[1]}" in refused.stderr


def test_two_labs_with_one_file_do_not_mix(first):
    """The second lab's nameserver finds its port taken: by the first one's."""
    ours = first.uri("lab.laser")
    nameserver = f"PYRO:Pyro.NameServer@localhost:{first.ns_port}"
    with new_lab() as second, proxy(nameserver) as names:
        second.config(CONFIGURATION, ns_port=first.ns_port, kind="power_supply")
        refused = second.run("call", "lab.laser", "identify", check=False)
        assert refused.returncode == 1 and "is not asked" in refused.stderr
        second.run("up", "--timeout", 5, check=False)

        def told():
            return "belongs to another lab" in second.run("status", check=False).stdout

        wait_for(told, 30, "the second lab's status says whose nameserver that is", Pyro5.errors.PyroError)
        # Nor does it take a name that the first lab does not use now.
        first.run("stop", "daemon", "cams")
        second.run("restart", "daemon", "cams", check=False)
        wait_for(told, 30, "the second lab's status says whose nameserver that is")
        wait_for(lambda: set(names.list()) == {"Pyro.NameServer"}, 30, "the first lab's name is gone")
        first.run("start", "daemon", "cams")
        ours = first.uri("lab.laser")
        first.wait_for_names(first.ns_port, {"lab.laser"})
        for _ in range(50):
            assert str(names.lookup("lab.laser")) == ours
            assert METER in first.run("call", "lab.laser", "identify").stdout
        assert SUPPLY in second.run("call", "lab.laser", "identify").stdout, "its own"
        refused = second.run("call", "lab.lasr", "identify", check=False)
        assert "did you mean `lab.laser`?" in refused.stderr
