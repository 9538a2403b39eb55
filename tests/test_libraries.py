"""The examples of docs/libraries.md: instruments of other people's libraries, as they are."""

import io
import os
import re
from contextlib import redirect_stdout

import Pyro5.api
import pytest
from harness import free_port
from harness.lab import TESTS

LIBRARIES = os.environ.get("FERROLAB_TEST_LIBRARIES")
PYMEASURE = os.environ.get("FERROLAB_TEST_PYMEASURE")
# The entries that the small environment has what they need for.
SMALL = ["pymeasure", "pyserial", "pyvisa"]

PAGE = (TESTS.parent / "docs" / "libraries.md").read_text(encoding="utf-8")
# The first line of a block is a comment with its name.
BLOCKS = {
    match[2]: match[3]
    for match in re.finditer(r"```(python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
}
ENTRIES = {
    "pymeasure": "Siglent,SPD1305X,1,1 2.5\n[0, 30]\n",
    "qcodes": "m0d3l 100.0\n100.0 K\nkelvin\n",
    "ophyd": "3.0 3.0\n1\n",
    "microscope": "3 6\n512 512\n7\n",
    "pyserial": "5 b'*IDN?'\n",
    "easy-scpi": "Siglent,SPD1305X,1,1 2.000\n",
    "pyvisa": "Siglent,SPD1305X,1,1 2000\n",
    "pypylon": "32 64\n",
    "opencv": "True 48 64\n",
    "pandas": "{'volts': [1.0, 2.0], 'amps': [0.5, 0.25]}\n",
}
# An instrument for pyvisa-sim.
SUPPLY = r"""
spec: "1.0"
devices:
  psu:
    eom:
      TCPIP INSTR: {q: "\n", r: "\n"}
    error: ERROR
    dialogues: [{q: "*IDN?", r: "Siglent,SPD1305X,1,1"}]
    properties:
      voltage:
        default: 0.000
        getter: {q: "CH1:VOLT?", r: "{:.3f}"}
        setter: {q: "CH1:VOLT {}"}
        specs: {min: 0, max: 30, type: float}
resources:
  TCPIP0::psu::inst0::INSTR: {device: psu}
"""
FILM = """
import cv2, numpy
film = cv2.VideoWriter("film.avi", cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
for _ in range(5):
    film.write(numpy.zeros((48, 64, 3), numpy.uint8))
film.release()
"""


def test_the_page_has_these_entries():
    assert {name[:-5] for name in BLOCKS if name.endswith(".yaml")} == {"head", *ENTRIES}
    assert {name[:-3] for name in BLOCKS if name.endswith(".py")} == {
        *ENTRIES, "visa", "pylon", "frames", "stages",
    }  # fmt: skip


@pytest.mark.parametrize("entry", ["pymeasure", "qcodes", "ophyd"])
def test_an_instrument_with_channels_takes_four_lines(entry):
    assert len(BLOCKS[f"{entry}.yaml"].splitlines()) <= 4


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_works_as_it_stands(lab, monkeypatch, entry):
    python = PYMEASURE if entry in SMALL and PYMEASURE else LIBRARIES
    if not python:
        pytest.skip("only with `cargo xtask test --extended`")
    ns_port = free_port()
    head = BLOCKS["head.yaml"]
    for plain, ours in [
        ("executable: python3", f"executable: {python}"),
        ("local: {host: localhost}", f"local: {{host: localhost, ns_port: {ns_port}}}"),
    ]:
        assert plain in head
        head = head.replace(plain, ours)
    for name in ("visa.py", "pylon.py", "frames.py", "stages.py"):
        lab.write(BLOCKS[name].replace("$", "$$"), name)
    lab.write(SUPPLY, "psu.yaml")
    if entry == "opencv":
        film = lab.start("-c", FILM, program=python)
        assert film.wait() == 0
    lab.config(f"{head}services:\n{BLOCKS[f'{entry}.yaml']}".replace("$", "$$"))
    lab.up()
    monkeypatch.setattr(Pyro5.config, "NS_HOST", "localhost")
    monkeypatch.setattr(Pyro5.config, "NS_PORT", ns_port)
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(BLOCKS[f"{entry}.py"], {"Pyro5": Pyro5})
    assert printed.getvalue() == ENTRIES[entry]
