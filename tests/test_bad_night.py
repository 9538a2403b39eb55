"""One bad night in a lab, and the words that tell each fault: `cargo xtask test -k bad_night`.

The test prints what `status`, `calls`, the log and the notifications say, for a person to read
(`pytest -s`), and fails where one of them is silent.
"""

import contextlib
import json
import os
import socket
import threading

import Pyro5.errors
import pytest
from harness import NEVER, free_port, wait_for
from harness.holder import Holder
from harness.processes import kill

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$folder", "$drivers"]}
notify: {command: ["$python", "$folder/told.py", "$folder/told"]}
daemons:
  bench: {classname: LockableDaemon, slow_call: 1}
  cams: {host: localhost, port: $port, supervision: {backoff: [0], give_up_after: 2}}
services:
  lab.waiter: {module: hazard, classname: Hazard, daemon: bench, isolate: true, call_timeout: 2}
  lab.frozen: {module: hazard, classname: Hazard, daemon: bench, isolate: true}
  lab.stage:
    {module: mover, classname: Mover, daemon: bench, instancemode: single, isolate: true,
     arguments: {record: "$folder/moves"}, abort: [stop], on_disconnect: ["off"]}
  lab.meter:
    {module: patient, classname: Patient, daemon: bench, instancemode: single, expose: [identify],
     isolate: true, arguments: ["$folder"], health: {method: identify, every: 200ms}}
  lab.lamp: {module: lamp, classname: Lamp, daemon: bench, expose: all, instancemode: single, isolate: true}
  lab.camera: {native: simulated.loopback, daemon: cams}
autolaunch: {daemons: [bench, cams]}
"""
# A program of the lab that notes what it hears.
TOLD = """\
import sys
with open(sys.argv[1], "a") as told:
    told.write(sys.stdin.read().strip() + "\\n")
"""
LAMP = "class Lamp:\n    def level(self):\n        return {}\n"


class Night:
    """The lab, and what it says."""

    def __init__(self, lab, port):
        self.lab, self.port = lab, port
        self.folder = lab.files

    def says(self, words, *command, promised):
        """Waits until a command's output has all these words, and prints their lines."""

        def said():
            text = self.lab.run(*command, check=False).text
            return text if all(word in text for word in words) else None

        text = wait_for(said, promised, f"`ferrolab {' '.join(command)}` says {words}")
        print(f"    $ ferrolab {' '.join(command)}")
        for line in text.splitlines():
            if any(word in line for word in words):
                print(f"      {line.strip()}")

    def tells(self, event, subject, promised):
        """Waits until the program of the lab has heard of an event."""

        def told():
            with contextlib.suppress(FileNotFoundError):
                for line in (self.folder / "told").read_text().splitlines():
                    one = json.loads(line)
                    if (one["event"], one["subject"]) == (event, subject):
                        return one
            return None

        print("    notified:", json.dumps(wait_for(told, promised, f"heard: {event} of {subject}")))

    def calling(self, service, member, *arguments):
        """A client whose call ends in any way; its thread, and what it raised."""
        raised = []

        def call():
            try:
                with self.lab.proxy(service) as proxy:
                    getattr(proxy, member)(*arguments)
            except (Pyro5.errors.PyroError, TimeoutError, OSError) as error:
                raised.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        return thread, raised


@pytest.fixture
def night(lab):
    port = free_port()
    (lab.files / "moves").touch()
    lab.write(TOLD, "told.py")
    lab.write(LAMP.format(1), "lamp.py")
    lab.config(CONFIGURATION, folder=lab.files, port=port)
    lab.up()
    return Night(lab, port)


def hang_in_python(night):
    print("a driver waits for ever, in Python")
    thread, raised = night.calling("lab.waiter", "signal", 0)
    night.says(["lab.waiter", "signal", "overdue"], "calls", promised=10)
    night.says(["signal", "lab.waiter"], "status", promised=10)
    thread.join(NEVER)
    assert "lab.waiter" in str(raised[0]) and isinstance(raised[0], TimeoutError), raised
    print(f"    its caller: {raised[0]!r}")


def hang_in_c(night):
    print("a driver's C code holds the interpreter")
    thread, _ = night.calling("lab.frozen", "hold_the_interpreter", 90)
    night.says(["lab.frozen", "hold_the_interpreter", "C code holds its interpreter"], "status", promised=10)
    thread.join(NEVER)
    night.says(["the Python worker moves again"], "logs", "show", promised=10)


def owner_killed_during_a_move(night):
    print("the owner of a move is killed")
    owner = Holder.having(night.lab.uri("lab.stage"), "ada")
    owner.tell("move")
    wait_for(lambda: "begin" in (night.folder / "moves").read_text(), NEVER, "it moves")
    kill(owner.process.pid)
    wait_for(lambda: "off" in (night.folder / "moves").read_text(), 2, "it was stopped, and switched off")
    words = [line.split()[0] for line in (night.folder / "moves").read_text().splitlines()]
    assert words.index("stop") < words.index("end") < words.index("off"), words
    print("    the stage:", ", ".join(words))
    night.says(["aborting what runs", "lab.stage"], "logs", "show", "--service", "lab.stage", promised=10)
    with night.lab.proxy("lab.stage") as stage:
        assert wait_for(lambda: stage.lock("eve"), 10, "the next owner", (ConnectionRefusedError,))


def driver_edited_while_it_runs(night):
    print("somebody edits a driver")
    assert night.lab.run("call", "lab.lamp", "level").stdout == "1\n"
    night.lab.write(LAMP.format(22), "lamp.py")
    night.says(["lab.lamp", "lamp.py"], "status", promised=10)
    night.lab.restart("lab.lamp")
    assert night.lab.run("call", "lab.lamp", "level").stdout == "22\n"


def port_stolen(night):
    print("another program takes a daemon's port")
    pid = night.lab.entry("daemons", "cams")["pid"]
    night.lab.run("stop", "daemon", "cams")
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), NEVER, "cams has ended")
    with socket.create_server(("127.0.0.1", night.port)):
        night.lab.run("start", "daemon", "cams", check=False)
        night.says(["daemon cams", "already in use by another program"], "status", promised=10)
    night.lab.run("restart", "daemon", "cams")
    night.says(["lab.camera"], "ps", promised=10)


def instrument_off_and_back(night):
    print("an instrument is off, and comes back")
    (night.folder / "deaf").touch()
    night.says(["lab.meter", "unwell"], "ps", promised=10)
    night.tells("service_unwell", "service lab.meter", promised=10)
    (night.folder / "deaf").unlink()
    wait_for(lambda: night.lab.entry("services", "lab.meter")["status"] == "running", 10, "it is well again")
    # One notification a minute of each subject.
    night.tells("recovered", "service lab.meter", promised=70)


def test_a_bad_night(night):
    for scene in (
        hang_in_python,
        hang_in_c,
        owner_killed_during_a_move,
        driver_edited_while_it_runs,
        port_stolen,
        instrument_off_and_back,
    ):
        scene(night)
    print("in the morning")
    night.says(["signal", "TimeoutError"], "calls", "--history", "--errors", promised=10)
