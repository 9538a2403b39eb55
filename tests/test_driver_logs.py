"""A driver's output and log records are in the lab's log, under its service's name."""

import json

import pytest
from harness import wait_for

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {host: localhost, servertype: thread}
  queue: {host: localhost, servertype: multiplex}
services:
  lab.first: {module: hazard, classname: Hazard, daemon: bench}
  lab.second: {module: hazard, classname: Hazard, daemon: bench}
  lab.alone: {module: hazard, classname: Hazard, daemon: bench, isolate: true}
  lab.queued: {module: hazard, classname: Hazard, daemon: queue}
  lab.off: {module: hazard, classname: FailsToStart, daemon: bench, isolate: true}
autolaunch: {daemons: [bench, queue]}
"""


@pytest.fixture(scope="module")
def running(module_lab):
    module_lab.config(CONFIGURATION)
    module_lab.up()
    return module_lab


def records(lab):
    """The log, oldest first."""
    lines = []
    for file in sorted((lab.home / "logs").glob("*.log*")):
        # The last line may not be whole yet.
        lines += file.read_bytes().rpartition(b"\n")[0].splitlines()
    return [json.loads(line) for line in lines]


def said(lab, service, text):
    """The record of a service with this text, once it is there."""

    def look():
        found = [record for record in records(lab) if text in record["message"]]
        return [record for record in found if record.get("service") == service]

    found = wait_for(look, 10, f"the log has {text!r} of {service}")
    assert len(found) == 1, found
    return found[0]


EXPECTED = {
    "on stdout": "INFO",
    "on stderr": "WARN",
    "info": "INFO",
    "warning": "WARN",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "ERROR",
    "a line without an end": "INFO",
}


@pytest.mark.parametrize("service", ["lab.first", "lab.second", "lab.alone", "lab.queued"])
def test_output_has_the_services_name_and_its_level(running, service):
    word = f"word of {service}"
    with running.proxy(service) as hazard:
        hazard.talk(word)
    for what, level in EXPECTED.items():
        record = said(running, service, f"{what}: {word}")
        assert record["level"] == level, record
    record = said(running, service, f"exception: {word}")
    assert record["source"] == "hazard", record
    whole = json.dumps(record)
    for part in ("Traceback", "hazard.py", "in talk", "KeyError"):
        assert part in whole, record
    assert said(running, service, f"critical: {word}")["source"] == "hazard.inner"


def test_what_c_code_prints_is_there_too(running):
    with running.proxy("lab.alone") as alone, running.proxy("lab.first") as first:
        alone.talk("alone in C")
        first.talk("first in C")
    said(running, "lab.alone", "past python: alone in C")

    def shared():
        return [record for record in records(running) if "past python: first in C" in record["message"]]

    record = wait_for(shared, 10, "a shared worker's C code is heard")[0]
    # Nobody can know which of its services that was; the worker is named instead.
    assert record.get("worker") == "bench", record


def test_a_thread_of_the_driver_is_heard(running):
    with running.proxy("lab.alone") as alone:
        alone.talk_later("from a thread")
    said(running, "lab.alone", "later: from a thread")


def test_binary_is_logged_as_text(running):
    with running.proxy("lab.alone") as alone:
        alone.print_binary()
    wait_for(
        lambda: [r for r in records(running) if "no text" in r["message"]], 10, "the line is there"
    )


def test_a_constructors_error_is_logged_with_its_traceback(running):
    with running.proxy("lab.off") as off, pytest.raises(OSError):
        off.read()
    record = said(running, "lab.off", "an instance of 'lab.off' could not be made")
    assert record["level"] == "ERROR"
    assert "the instrument is off" in json.dumps(record)
