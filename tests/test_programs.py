"""Whole Pyro5 programs, classes and client scripts unmodified, behave the same in a lab.

Every program's client runs once against Pyro5's own daemon and nameserver and once against ours,
and must print the same lines.
"""

import json

import pytest
from harness import free_port, stock_program
from harness.programs import TESTS, Served, run_client

PROGRAMS = {
    "bank": {"bank.savings": Served("Savings"), "bank.checking": Served("Checking")},
    "batches": {"sequencer": Served("Sequencer")},
    "calculator": {"calculator": Served("Calculator")},
    "chat": {"chat.room": Served("Room")},
    "container": {"rack": Served("Rack")},
    "context": {"echo": Served("Echo")},
    "creator": {
        "creator.one": Served("One"),
        "creator.session": Served("EachSession"),
        "creator.call": Served("EachCall"),
        "creator.wrong": Served("Wrong"),
        "creator.arguments": Served("NeedsArguments"),
    },
    "errors": {"source": Served("Source")},
    "factory": {"amplifier": Served("Amplifier")},
    "files": {"files": Served("Store")},
    "lineage": {"derived": Served("Derived")},
    "logbook": {"logbook": Served("Logbook")},
    "measurements": {"meter": Served("Meter")},
    "observers": {"subject": Served("Subject")},
    "phonebook": {
        "book.laser": Served("Laser", "optical"),
        "book.camera": Served("Camera", "imaging"),
    },
    "relatives": {"family": Served("Family")},
    "resources": {"resources": Served("Service")},
    "shapes": {"drawing": Served("Drawing")},
    "shop": {"shop": Served("Shop")},
    "stocks": {"market": Served("Market"), "broker": Served("Broker")},
    "thermostat": {"thermostat": Served("Thermostat")},
    "threads": {"handles": Served("Handles")},
    "timezones": {"clock": Served("Clock")},
    "workers": {"dispatcher": Served("Dispatcher")},
}

LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$tests"]}
nameservers:
  local: {host: localhost, ns_port: $ns_port}
daemons:
  bench: {host: localhost, servertype: thread}
services: $services
autolaunch: {nameservers: [local], daemons: [bench]}
"""


def configuration():
    """The services of all programs, each program in its own Python process."""
    return {
        name: {
            "module": f"programs.{program}.server",
            "classname": served.classname,
            "description": served.description,
            "daemon": "bench",
            "nameservers": ["local"],
            # As under Pyro5: what the class says of itself counts.
            "instancemode": "class",
            # A different environment is a different worker.
            "python": {"env": {"PROGRAM": program}},
        }
        for program, services in PROGRAMS.items()
        for name, served in services.items()
    }


@pytest.fixture(scope="module")
def ns_port(module_lab):
    port = free_port()
    module_lab.config(LAB, tests=TESTS, ns_port=port, services=json.dumps(configuration()))
    module_lab.up()
    for name in configuration():
        module_lab.wait_for_status("services", name, "running", timeout=60)
    module_lab.wait_for_names(port, list(configuration()))
    return port


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_behaves_as_under_pyro5(module_lab, ns_port, program):
    with stock_program(program, PROGRAMS[program]) as stock_port:
        expected = run_client(program, stock_port)
    assert expected[-1] == "exit code 0", "\n".join(expected)
    assert len(expected) > 4, expected
    assert run_client(program, ns_port) == expected
