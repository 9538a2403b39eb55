"""Services that are simulated: `simulate:` in a service, `up --simulate`, `simulated: true`."""

import json

import pytest
from harness import free_port

CONFIGURATION = """\
nameservers: {local: {host: localhost, ns_port: $ns_port}}
daemons: {bench: {host: localhost, classname: LockableDaemon}}
services:
  lab.laser:
    module: laser_that_is_away
    classname: Laser
    arguments: {port: /dev/ttyUSB7}
    expose: all
    instancemode: single
    simulate: {module: fake_laser, classname: FakeLaser}
    daemon: bench
    nameservers: [local]
  lab.supply:
    module: supply_that_is_away
    classname: Supply
    expose: all
    instancemode: single
    simulate: {native: simulated.power_supply}
    daemon: bench
  lab.meter: {native: simulated.multimeter, daemon: bench}
autolaunch: {nameservers: [local], daemons: [bench]}
"""
FAKE = """\
class FakeLaser:
    def __init__(self, port):
        self.port = "simulated " + port
"""


@pytest.fixture
def desk(lab):
    """A lab whose instruments are elsewhere."""
    lab.write(FAKE, "fake_laser.py")
    lab.config(f'python: {{executable: "$python", path: ["{lab.files}"]}}\n' + CONFIGURATION, ns_port=free_port())
    return lab


def simulated(lab):
    return {row["name"] for row in lab.ps()["services"] if row.get("simulated")}


def test_up_simulates_what_has_a_stand_in(desk):
    said = desk.run("up", "--simulate").text
    assert "lab.laser, lab.supply are simulated: no instrument is driven." in said
    assert simulated(desk) == {"lab.laser", "lab.supply"}
    assert desk.run("call", "lab.laser", "port").stdout == "'simulated /dev/ttyUSB7'\n"
    assert "Simulated power supply" in desk.run("call", "lab.supply", "identify").stdout
    for words in ("ps", "status"):
        assert "lab.laser, lab.supply are simulated" in desk.run(words).text
    # A reload stays with the choice that `up` was started with.
    file = desk.home / "config.yaml"
    file.write_text(file.read_text().replace("ttyUSB7", "ttyUSB8"))
    desk.run("reload")
    assert desk.run("call", "lab.laser", "port").stdout == "'simulated /dev/ttyUSB8'\n"
    desk.run("down")
    said = desk.run("up", check=False).text
    assert "laser_that_is_away" in said and "simulated" not in said
    refused = desk.run("up", "--simulate", check=False)
    assert refused.returncode == 1 and "with its instruments" in refused.text


def test_one_service_is_simulated_at_every_up(desk):
    file = desk.home / "config.yaml"
    file.write_text(file.read_text().replace("    simulate: {module", "    simulated: true\n    simulate: {module"))
    said = desk.run("up", check=False).text
    assert "supply_that_is_away" in said and "lab.laser is simulated" in said
    assert simulated(desk) == {"lab.laser"}


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("simulate: {module: fake_laser, classname: FakeLaser}", "simulated: true", "there is no `simulate:` section"),
        ("{native: simulated.power_supply}", "{native: simulated.power_suply}", "did you mean `simulated.power_supply`?"),
        ("classname: FakeLaser}", "clasname: FakeLaser}", "did you mean `classname`?"),
        ("classname: FakeLaser}", "native: simulated.loopback}", "a built-in service has no `module` and `classname`"),
    ],
)
def test_a_stand_in_is_checked_before_somebody_needs_it(desk, old, new, said):
    file = desk.home / "config.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    checked = desk.run("config", "check", str(file), check=False)
    line = 1 + file.read_text()[: file.read_text().index(new)].count("\n")
    assert checked.returncode == 1 and said in checked.text and f":{line}:" in checked.text, checked.text
    report = json.loads(desk.run("config", "check", "--json", str(file), check=False).stdout)
    assert report["problems"]
