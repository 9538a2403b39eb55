"""Every example of docs/python-drivers.md works as it stands there."""

import re

import pytest
from harness import NEVER
from harness.lab import TESTS, interpreter

PAGE = (TESTS.parent / "docs" / "python-drivers.md").read_text(encoding="utf-8")
# The first line of a file's block is a comment with its name.
FILES = {
    match[2]: match[0].split("\n", 1)[1].rsplit("```", 1)[0]
    for match in re.finditer(r"```(python|yaml)\n# (\S+)\n.*?```", PAGE, re.DOTALL)
}


@pytest.fixture
def lab_with_files(lab):
    for name, text in FILES.items():
        (lab.files / name).write_text(text, encoding="utf-8")
    return lab


def test_the_page_has_these_files():
    assert sorted(FILES) == [
        "client.py", "lab.yaml", "motor.py", "motors.yaml", "parts.py", "pythons.yaml",
        "supplies.py", "supplies.yaml", "thermometer.py",
    ]  # fmt: skip


def test_the_first_driver(lab_with_files):
    lab = lab_with_files
    for command in re.search(r"```\n(ferrolab .*?)```", PAGE, re.DOTALL)[1].splitlines():
        words = command.split()[1:]
        lab.up() if words == ["up"] else lab.run(*words)
    client = lab.start("client.py", lab.uri("lab.thermometer"), program=interpreter())
    text, _ = client.communicate(timeout=NEVER)
    assert text.splitlines() == ["21.5", "22.0 0.5", "[22.0, 22.0, 22.0]"]


def test_which_python(lab_with_files):
    lab = lab_with_files
    lab.run("config", "update", "pythons.yaml")
    lab.up()
    for service in ("lab.thermometer", "lab.camera"):
        with lab.proxy(service) as thermometer:
            assert thermometer.celsius() == 21.5


def test_classes_without_decorators(lab_with_files):
    lab = lab_with_files
    lab.run("config", "update", "motors.yaml")
    lab.up()
    with lab.proxy("motor.x") as x, lab.proxy("motor.y") as y:
        assert (x.move_to(3), x.position) == (3, 3)
        assert (y.move_to(4), y.speed) == (4, 2)
        with pytest.raises(AttributeError):
            y.position  # noqa: B018


def test_parts_of_an_instrument(lab_with_files):
    lab = lab_with_files
    lab.run("config", "update", "supplies.yaml")
    lab.up()
    client = lab.start("parts.py", lab.uri("lab.psu"), program=interpreter())
    text, _ = client.communicate(timeout=NEVER)
    assert text.splitlines() == ["3.3 0.0", "lab.psu.fans.0"]
    with lab.proxy("lab.spare") as spare, lab.proxy("lab.maths") as maths:
        assert spare.ch_1._pyroUri.object == "lab.spare.ch_1"
        assert maths.decibels(3) == 30


DETAILED = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {host: localhost}}
services:
  plain: {module: faulty, classname: Faulty, daemon: bench}
  detailed: {module: faulty, classname: Faulty, daemon: bench, python: {env: {PYRO_DETAILED_TRACEBACK: "true"}}}
autolaunch: {daemons: [bench]}
"""


def test_detailed_tracebacks_are_a_setting_of_the_drivers_environment(lab):
    lab.config(DETAILED)
    lab.up()
    texts = {}
    for service in ("plain", "detailed"):
        with lab.proxy(service) as faulty, pytest.raises(RuntimeError) as caught:
            faulty.chained()
        texts[service] = "".join(caught.value._pyroTraceback)
    assert "Extended stacktrace" in texts["detailed"]
    assert "Extended stacktrace" not in texts["plain"]
