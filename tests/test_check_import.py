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


def test_names_that_are_no_members_are_told_before_anything_runs(desk):
    service = "{module: stages, classname: Stage, expose: [all, mve], except: [moev], daemon: bench, " \
        "instancemode: single, " \
        "read_while_locked: [mover], members: {ove: {maximum: 3}, speed: {maximum: 4}, axis: {maximum: 5}, " \
        "jog: {arguments: {by: {maximum: 6}, bye: {maximum: 7}}}}, private: [axe]}"
    desk.write(DRIVERS.replace("    def move", "    axes = 2\n    def jog(self, by):\n        self.axis = by\n"
                               "    def move"), "stages.py")
    services = f"  lab.stage: {service}\n"
    assert "but not all of it: see what is said of 1 driver(s)" in check(desk, services).stdout
    (driver,) = json.loads(check(desk, services, "--json").stdout)["drivers"]
    assert driver["error"] is None
    assert driver["remarks"].split("; ") == [
        "expose: the class Stage has no 'mve'", "did you mean 'move'?",
        "except: the class Stage has no 'moev'", "did you mean 'move'?",
        "read_while_locked: the class Stage has no 'mover'", "did you mean 'move'?",
        "members: the class Stage has no 'ove'", "did you mean 'move'?",
        "members: the class Stage has no 'axe'", "did you mean 'axes'?",
        "members: 'jog' has no argument 'bye'", "did you mean 'by'?"]


def test_stand_ins_are_imported_too(desk):
    services = """\
  lab.stage: {module: stages, classname: Stage, expose: all, daemon: bench, simulate: {classname: FakeStage}}
  lab.other: {module: stages, classname: Stage, expose: all, daemon: bench, simulate: {classname: make_stage}}
  lab.native: {module: stages, classname: Stage, daemon: bench, simulate: {native: simulated.multimeter}}
"""
    said = check(desk, services)
    assert said.returncode == 1, said.text
    for line in ("lab.stage: imported (with ", "lab.other, simulated: imported (with "):
        assert line in said.stdout, said.text
    assert "lab.stage, simulated: failed AttributeError: module 'stages' has no class 'FakeStage'" in said.stdout
    assert said.stdout.count("python ") == 1, "the interpreter is named once"
