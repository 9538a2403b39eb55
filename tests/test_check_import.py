"""`config check --import`: its own Python imports and describes each driver, and makes none."""

import json

import pytest

HEAD = """\
python: {executable: "$python", path: ["FOLDER"]}
daemons: {bench: {host: localhost}}
services:
"""
DRIVERS = """\
import pathlib
HERE = pathlib.Path(__file__).parent

class Stage:
    def __init__(self):
        (HERE / "made").touch()
    def move(self):
        pass

def make_stage():
    return Stage()
"""
BROKEN = "import module_that_nobody_has\n"


@pytest.fixture
def desk(lab):
    lab.write(DRIVERS, "stages.py")
    lab.write(BROKEN, "broken.py")
    lab.write("import time\nclass Slow:\n    pass\n", "slow.py")
    return lab


def check(lab, services, *options):
    file = lab.write(HEAD.replace("FOLDER", str(lab.files)) + services, "checked.yaml")
    return lab.run("config", "check", file, "--import", *options, check=False)


def test_drivers_are_imported_and_none_is_made(desk):
    services = """\
  lab.stage: {module: stages, classname: Stage, expose: all, instancemode: single, daemon: bench}
  lab.made: {module: stages, classname: make_stage, expose: all, daemon: bench}
  lab.module: {module: stages, expose: all, daemon: bench}
  lab.meter: {native: simulated.multimeter, daemon: bench}
"""
    said = check(desk, services)
    assert said.returncode == 0, said.text
    for name in ("lab.stage", "lab.made", "lab.module"):
        assert f"{name}: imported (with " in said.stdout
    assert "is fine: 0 nameserver(s), 1 daemon(s), 4 service(s)." in said.stdout
    assert not (desk.files / "made").exists(), "no instrument was made"
    assert desk.run("ps", check=False).returncode == 1, "and the lab is not up"


def test_each_fault_is_told(desk):
    services = """\
  lab.broken: {module: broken, classname: X, daemon: bench}
  lab.typo: {module: stages, classname: Stge, expose: all, daemon: bench}
  lab.other: {module: stages, classname: Stage, expose: all, daemon: bench, on_disconnect: [mov]}
  lab.python: {module: stages, classname: Stage, expose: all, daemon: bench, python: {executable: /bin/false}}
"""
    said = check(desk, services, "--json")
    assert said.returncode == 1
    drivers = {driver["service"]: driver for driver in json.loads(said.stdout)["drivers"]}
    assert "module_that_nobody_has" in drivers["lab.broken"]["error"] and "broken.py" in drivers["lab.broken"]["error"]
    assert "has no class 'Stge'" in drivers["lab.typo"]["error"]
    assert drivers["lab.other"]["error"] is None and "'mov'" in drivers["lab.other"]["remarks"]
    assert "/bin/false" in drivers["lab.python"]["error"]
    text = check(desk, services).text
    assert "3 driver(s) cannot be imported." in text and "lab.broken: failed" in text
