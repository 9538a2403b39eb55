"""`ferrolab session run`: a command that has the locks of several services, to its end."""

import json
import os
import random
import signal
import threading

import ferrolab
import pytest
from harness import EXTENDED, NEVER, wait_for
from harness.lab import TESTS, interpreter
from harness.lockable import lines, lockable_lab, state

NAMES = ("lab.shutter", "lab.laser")
# Takes the session's locks over with our client, drives, and goes on as its argument says.
SCRIPT = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[1])
import ferrolab
lab = ferrolab.connect()
with lab.session("lab.laser", "lab.shutter", name="inside") as session:
    for name in session:
        session[name].move(1)
    print(json.dumps([lab["lab.laser"].lock_info()["user"], session.epochs]), flush=True)
    if sys.argv[2] == "wait":
        signal.pause()
print([lab[name].lock_info()["state"] for name in session], flush=True)
if sys.argv[2] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(7)
"""


@pytest.fixture(scope="module")
def running():
    with lockable_lab() as lab:
        yield lab


@pytest.fixture
def stranger(running):
    with ferrolab.connect(running.home, timeout=NEVER, connect_timeout=NEVER) as made:
        yield made


def releases(running, epochs):
    """When each lock ended, by service; None while one has not."""
    history = json.loads(running.run("locks", "--history", "--json").stdout)
    ends = {
        line["service"]: line["time"]
        for line in history
        if line["event"] == "released" and line["epoch"] == epochs.get(line["service"])
    }
    return ends if ends.keys() == epochs.keys() else None


@pytest.mark.parametrize(
    ("then", "sent", "code"),
    [
        ("exit", None, 7),
        ("kill", None, 128 + signal.SIGKILL),
        ("wait", signal.SIGTERM, 128 + signal.SIGTERM),
        ("wait", signal.SIGUSR1, 128 + signal.SIGUSR1),
        ("wait", signal.SIGINT, None),
        ("wait", signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_a_session_ends_in_order_however_it_ends(running, stranger, then, sent, code):
    records = [running.record.with_name("record.2"), running.record]
    before = [len(lines(record, 0)) for record in records]
    script = [interpreter(), "-c", SCRIPT, str(TESTS.parent / "python"), then]
    words = ["session", "run", "--wait", NEVER, "--user", "ada", "--name", "cooldown 7"]
    command = running.start(*words, *NAMES, "--", *script)
    user, epochs = json.loads(command.stdout.readline())
    assert user.endswith(": inside")
    if sent is not None:
        command.send_signal(sent)
    ended = command.wait(timeout=NEVER)
    # Python's own code for a KeyboardInterrupt that nobody catches.
    assert ended == (128 + signal.SIGINT if code is None else code)
    if sent is None:
        assert command.stdout.read() == "['locked', 'locked']\n", "a block inside leaves the locks"
    for name in NAMES:
        wait_for(lambda name=name: state(stranger[name]) == "free", 30, f"{name} is free")
    assert [lines(record, first).count("off") for record, first in zip(records, before)] == [1, 1]
    ends = wait_for(lambda: releases(running, epochs), NEVER, "both releases are in the log")
    assert ends["lab.shutter"] < ends["lab.laser"], "in the order in which they were named"


def test_all_or_none(running, stranger):
    free = ["session", "run", "--wait", "0.2", "lab.a", "lab.b", "lab.c", "--", "echo", "runs"]
    with stranger["lab.b"].locked(user="eve"):
        refused = running.run(*free, check=False)
        assert refused.returncode == 1 and "still locked by eve" in refused.text
        at_once = running.run("session", "run", "lab.a", "lab.b", "--", "echo", "runs", check=False)
        assert at_once.returncode == 1 and "locked (by 'eve')" in at_once.text
        assert "runs" not in refused.text + at_once.text
        assert [state(stranger[name]) for name in ("lab.a", "lab.c")] == ["free"] * 2
    assert running.run("session", "run", "--wait", NEVER, *free[4:]).stdout == "runs\n"
    missing = running.run("session", "run", "lab.a", "lab.missing", "--", "true", check=False)
    assert missing.returncode == 1 and "lab.missing" in missing.text
    twice = running.run("session", "run", "lab.a", "lab.a", "--", "true", check=False)
    assert twice.returncode == 1 and "twice" in twice.text
    no_program = running.run("session", "run", "lab.a", "--", "no-such-program", check=False)
    assert no_program.returncode == 1 and "no such program" in no_program.text
    assert running.run("session", "run", "--", "true", check=False).returncode == 2
    assert {state(stranger[name]) for name in ("lab.a", "lab.b", "lab.c")} == {"free"}


def test_a_lost_lock_is_told_of(running, stranger, tmp_path):
    gate = tmp_path / "gate"
    waiting = f"echo here; until [ -e {gate} ]; do sleep 0.05; done"
    command = running.start("session", "run", "lab.a", "lab.b", "--", "sh", "-c", waiting)
    assert command.stdout.readline() == "here\n"
    running.run("unlock", "--break", "lab.b", "--reason", "lunch")
    assert "'lab.b' is lost while the command runs" in command.stdout.readline()
    gate.touch()
    assert command.wait(timeout=NEVER) == 1
    assert state(stranger["lab.a"]) == "free"


def test_any_client_takes_a_lock_over(running):
    """Its token is in the environment, as JSON."""
    script = (
        "import json, os, Pyro5.api\n"
        "for uri, token in sorted(json.loads(os.environ['FERROLAB_SESSION']).items()):\n"
        "    with Pyro5.api.Proxy(uri) as stage:\n"
        "        stage.lock('script', token=token)\n"
        "        print(stage.move(0) is not None, stage.unlock())\n"
    )
    done = running.run("session", "run", "lab.a", "lab.b", "--", interpreter(), "-c", script)
    assert done.stdout == "True True\n" * 2


@pytest.mark.timeout(7200)
def test_killed_at_any_step_it_leaves_nothing_held(running, stranger):
    """The command line is killed, at whatever it does then."""
    names = ["lab.a", "lab.b", "lab.c", "lab.d"]
    chance = random.Random(11)
    for _ in range(300 if EXTENDED else 6):
        command = running.start("session", "run", *names, "--", "true")
        threading.Event().wait(chance.random() / 4)
        if command.poll() is None:
            os.kill(command.pid, signal.SIGKILL)
        command.wait(timeout=NEVER)
        for name in names:
            wait_for(lambda name=name: state(stranger[name]) == "free", 30, f"{name} is free")
