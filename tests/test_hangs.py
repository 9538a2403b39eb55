"""A Python process that does not move is noticed within 10 s, and shown with the call that runs."""

import contextlib
import json
import threading

import Pyro5.errors
import pytest
from harness import NEVER, wait_for
from harness.processes import kill, stopped

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {servertype: $servertype}
services:
  lab.hazard: {module: hazard, classname: Hazard, daemon: bench}
  lab.neighbour: {module: hazard, classname: Hazard, daemon: bench}
  lab.alone: {module: hazard, classname: Hazard, daemon: bench, isolate: true}
autolaunch: {daemons: [bench]}
"""
# Seconds within which a hang is shown.
PROMISED = 10


@pytest.fixture(params=["thread", "multiplex"])
def hanging_lab(lab, request):
    lab.config(CONFIGURATION, servertype=request.param)
    lab.up()
    return lab


@contextlib.contextmanager
def calling(lab, member, *arguments):
    """A client whose call takes long, and then ends in any way."""

    def call():
        with lab.proxy("lab.hazard") as hazard, contextlib.suppress(Pyro5.errors.PyroError):
            getattr(hazard, member)(*arguments)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        thread.join(NEVER)


def status(lab, service):
    return lab.entry("services", service)["status"]


def shown(lab, service):
    """The error of a service that hangs."""
    wait_for(lambda: status(lab, service) == "hangs", PROMISED, f"{service} hangs")
    return lab.entry("services", service)["error"]


def test_a_stopped_process_is_shown_until_it_goes_on(hanging_lab):
    lab = hanging_lab
    with lab.proxy("lab.hazard") as hazard:
        pid = hazard.pid()
    with stopped(pid):
        error = shown(lab, "lab.hazard")
        assert f"its Python process {pid} does not move since 20" in error
        assert error.endswith(": a signal has stopped it")
        assert status(lab, "lab.neighbour") == "hangs", "it is in the same process"
        assert status(lab, "lab.alone") == "running"
        said = lab.run("status", check=False)
        assert said.returncode == 1 and "it hangs: its Python process" in said.text and "kill -CONT" in said.text
    wait_for(lambda: status(lab, "lab.hazard") == "running", NEVER, "it goes on")
    wait_for(lambda: lab.run("status", check=False).returncode == 0, NEVER, "all is well")
    logged = lambda: lab.run("logs", "show", "--entry", "bench").stdout
    wait_for(lambda: "the Python worker moves again" in logged(), NEVER, "the log has it")
    assert "the Python worker does not move" in logged()
    with lab.proxy("lab.hazard") as hazard:
        assert hazard.pid() == pid, "nobody has restarted it"


def test_c_code_that_holds_the_interpreter_is_shown_with_its_call(hanging_lab):
    lab = hanging_lab
    with lab.proxy("lab.hazard") as hazard:
        pid = hazard.pid()
    with calling(lab, "hold_the_interpreter", 90):
        for service in ("lab.hazard", "lab.neighbour"):
            error = shown(lab, service)
            assert "C code holds its interpreter" in error
            assert "; in it runs hold_the_interpreter of lab.hazard by 127.0.0.1:" in error
        rows = json.loads(lab.run("ps", "--json").stdout)["services"]
        assert {row["name"]: row["daemon"] for row in rows if row["status"] == "hangs"} == {"lab.hazard": "bench", "lab.neighbour": "bench"}
        kill(pid)
    wait_for(lambda: status(lab, "lab.hazard") == "running", NEVER, "another process runs")
