"""Locks from the shell, safe states, and what is left over a restart."""

import json

import Pyro5.errors
import pytest
from harness import NEVER, wait_for
from harness.holder import Holder
from harness.lab import interpreter
from harness.locks import later, locking_lab, own
from harness.relay import Relay


@pytest.fixture(scope="module")
def running():
    with locking_lab() as lab:
        yield lab


# Shown to people


def test_locks_and_ps_show_who_has_what(running):
    entry = running.entry("services", "lab.session")
    assert entry["locked_by"] is None and entry["locked_since"] is None
    uri = running.uri("lab.session")
    with Holder.having(uri, "ada \x1b[2J"), Holder(uri, "eve", wait=NEVER):

        def shown():
            entry = running.entry("services", "lab.session")
            return entry if entry["lock"]["waiting"] else None

        entry = wait_for(shown, 10, "ps shows the lock and who waits")
        # No control character of a client's reaches a terminal, also by way of a script.
        assert entry["locked_by"] == "ada \ufffd[2J" and entry["locked_since"].endswith("Z")
        rows = json.loads(running.run("locks", "--json").stdout)
        row = {row["service"]: row for row in rows}["lab.session"]
        assert row["owner"]["address"].startswith("127.0.0.1:") and row["owner"]["epoch"] > 0
        assert row["waiting"][0]["user"] == "eve"
        for words in (["ps"], ["locks"], ["locks", "--history"]):
            said = lambda words=words: text if "ada" in (text := running.run(*words).stdout) else None
            assert "\x1b" not in wait_for(said, NEVER, f"{words} names her")
        assert "eve" in running.run("locks", "lab.session").stdout
        idle = lambda: json.loads(running.run("locks", "lab.session", "--json").stdout)[0]["owner"]["idle"]
        first = idle()
        assert first >= 0
        wait_for(lambda: idle() > first, 10, "it rises while ada does nothing")
        assert "IDLE" in running.run("locks").stdout


def test_a_command_runs_while_the_lock_is_held(running):
    script = (
        "import os, sys, Pyro5.api\n"
        "with Pyro5.api.Proxy(os.environ['FERROLAB_LOCK_URI']) as stage:\n"
        "    info = stage.lock_info()\n"
        "    print(info['user'], info['locked'])\n"
        "    stage.lock('script', token=os.environ['FERROLAB_LOCK_TOKEN'])\n"
        "    stage.move(1)\n"
        "    print(stage.lock_info()['user'])\n"
        "sys.exit(7)\n"
    )
    words = ["lock", "lab.stage", "--user", "ada", "--", interpreter(), "-c", script]
    done = running.run(*words, check=False)
    assert done.returncode == 7, done.text
    assert done.stdout.split() == ["ada", "True", "script"]
    with running.proxy("lab.stage") as look:
        assert look.islocked() is False
        look.lock("bob")
        refusal = running.run("lock", "lab.stage", "--", "true", check=False)
        assert refusal.returncode == 1 and "locked (by 'bob')" in refusal.text
        refusal = running.run("lock", "lab.stage", "--wait", "0.2", "--", "true", check=False)
        assert refusal.returncode == 1 and "still locked by bob" in refusal.text
        look.unlock()
    killed = running.run("lock", "lab.stage", "--", "sh", "-c", "kill -9 $$", check=False)
    assert killed.returncode == 128 + 9
    for words in (["lock", "lab.stage"], ["unlock", "lab.stage", "--reason", "x"], ["unlock", "--break", "lab.stage"]):
        assert running.run(*words, check=False).returncode == 2
    for reason in ("", "  "):
        refusal = running.run("unlock", "--break", "lab.stage", "--reason", reason, check=False)
        assert refusal.returncode == 2 and "say why" in refusal.text
    missing = running.run("lock", "lab.stage", "--", "no-such-program", check=False)
    assert missing.returncode == 1 and "no such program" in missing.text


def test_a_command_that_is_cut_leaves_no_lock_behind(running, tmp_path):
    """It has taken the lock over, with a token that lives for a minute, and dies during a call."""
    gate = tmp_path / "gate"
    script = (
        "import os, signal, sys, threading, time, Pyro5.api\n"
        "def call():\n"
        "    with Pyro5.api.Proxy(os.environ['FERROLAB_LOCK_URI']) as stage:\n"
        "        stage.lock('script', token=os.environ['FERROLAB_LOCK_TOKEN'])\n"
        "        stage.wait_for(sys.argv[1])\n"
        "threading.Thread(target=call).start()\n"
        "record = open(sys.argv[2])\n"
        "record.seek(int(sys.argv[3]))\n"
        "while 'long call begins' not in record.read():\n"
        "    time.sleep(0.01)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    size = running.record.stat().st_size
    command = [interpreter(), "-c", script, str(gate), str(running.record), str(size)]
    done = running.run("lock", "lab.stage", "--", *command, check=False)
    assert done.returncode == 128 + 9, done.text
    with running.proxy("lab.stage") as look:
        # The call cannot be ended, and nobody drives beside it; but it is nobody's lock.
        assert look.lock_info()["state"] == "ending"
        waiting = later(lambda: own(look).lock("bob", wait=NEVER))
        gate.touch()
        assert waiting() is True
        own(look).unlock()

    def given_up():
        history = json.loads(running.run("locks", "--history", "lab.stage", "--json").stdout)
        reasons = [line["reason"] for line in history if line["user"] == "script" and line["event"] == "released"]
        return reasons and reasons[-1].startswith("given up with its token by ")

    wait_for(given_up, NEVER, "the log has it")


def test_a_lock_that_was_lost_under_a_short_command_is_told_of(running, tmp_path):
    gate = tmp_path / "gate"
    waiting = f"echo here; until [ -e {gate} ]; do sleep 0.05; done"
    command = running.start("lock", "lab.stage", "--", "sh", "-c", waiting)
    assert command.stdout.readline() == "here\n"
    running.run("unlock", "--break", "lab.stage", "--reason", "lunch")
    gate.touch()
    assert command.wait(timeout=NEVER) == 1


def test_a_lock_that_its_command_has_taken_over_is_not_lost(running, tmp_path):
    """The token counts, whichever name the command gives."""
    gate = tmp_path / "gate"
    script = (
        "import os, sys, Pyro5.api\n"
        "with Pyro5.api.Proxy(os.environ['FERROLAB_LOCK_URI']) as stage:\n"
        "    stage.lock('script', token=os.environ['FERROLAB_LOCK_TOKEN'])\n"
        "    print('here', flush=True)\n"
        "    stage.wait_for(sys.argv[1])\n"
        "    print(stage.lock_info()['user'])\n"
    )
    with Relay(running.uri("lab.stage")) as relay:
        words = ["lock", relay.uri, "--user", "ada", "--", interpreter(), "-c", script, str(gate)]
        command = running.start(*words)
        assert command.stdout.readline() == "here\n"
        seen = relay.answers[0]
        wait_for(lambda: relay.answers[0] > seen, 30, "it looks whether it still has the lock")
        gate.touch()
        assert command.wait(timeout=NEVER) == 0
        assert command.stdout.read() == "script\n"


def test_a_stranger_of_the_same_name_does_not_keep_a_lock(running, tmp_path):
    gate = tmp_path / "gate"
    waiting = f"echo here; until [ -e {gate} ]; do sleep 0.05; done"
    command = running.start("lock", "lab.stage", "--user", "ada", "--", "sh", "-c", waiting)
    assert command.stdout.readline() == "here\n"
    running.run("unlock", "--break", "lab.stage", "--reason", "lunch")
    with running.proxy("lab.stage") as other:
        other.lock("ada")
        assert "is lost while the command runs" in command.stdout.readline()
        gate.touch()
        assert command.wait(timeout=NEVER) == 1
        assert other.lock_info()["user"] == "ada"


def test_a_lock_dies_with_the_command_line_that_held_it(running):
    command = running.start("lock", "lab.stage", "--", "sh", "-c", "echo here; exec sleep 3600")
    assert command.stdout.readline() == "here\n"
    with running.proxy("lab.stage") as look:
        assert look.islocked() is True
        command.kill()
        wait_for(lambda: look.islocked() is False, 5, "the lock is free")


# Safe states


def test_a_native_instrument_comes_to_rest_and_a_failure_is_shown(running):
    with running.proxy("lab.supply") as ada, running.proxy("lab.supply") as eve:
        ada.lock("ada")
        ada.on()
        ada._pyroRelease()
        assert wait_for(lambda: eve.lock("eve"), 12, "the next has it", ConnectionRefusedError)
        assert eve.output is False
    with running.proxy("lab.echo") as ada:
        ada.lock("ada")

    def error():
        return running.entry("services", "lab.echo")["error"]

    shown = wait_for(error, 10, "ps shows what failed")
    assert "on_disconnect: echo() raised TypeError" in shown
    assert running.entry("services", "lab.echo")["status"] == "running"


RESTING = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon, servertype: $servertype}
services:
  lab.laser:
    module: stage
    classname: Laser
    daemon: bench
    instancemode: $mode
    arguments: {record: "$record"}
    on_disconnect: [fail, off]
  lab.sibling:   # of the same Python process
    module: stage
    classname: Laser
    daemon: bench
    instancemode: $mode
    arguments: {record: "$record.sibling"}
autolaunch: {daemons: [bench]}
"""


def test_members_that_there_are_not_are_told_of_when_the_class_is_loaded(lab):
    """And not only when the safe state is needed. The service serves all the same."""
    text = RESTING.replace("[fail, off]", "[of, fail]\n    read_while_locked: [postion, angle_of_a_part, islocked, moves]")
    lab.config(text, record=str(lab.files / "record"), mode="single", servertype="thread")
    lab.up()
    entry = lab.entry("services", "lab.laser")
    assert entry["status"] == "running" and entry["error"] == (
        "on_disconnect: Laser has no method 'of'; did you mean 'off'?; "
        "read_while_locked: Laser exposes no 'postion'; did you mean 'position'?"
    )
    assert "has no method 'of'" in lab.run("status", check=False).text
    with lab.proxy("lab.laser") as laser:
        assert laser.move(1) == 1


@pytest.mark.parametrize(("mode", "servertype"), [("single", "thread"), ("session", "thread"), ("single", "multiplex"), ("session", "multiplex")])
def test_a_driver_comes_to_rest_before_the_next_grant(lab, mode, servertype):
    record = lab.files / "record"
    lab.config(RESTING, record=str(record), mode=mode, servertype=servertype)
    lab.up()
    uri = lab.uri("lab.laser")
    events = lambda: [line for line in record.read_text().splitlines() if line != "made"]
    with Holder.having(uri, "ada") as ada, Holder(uri, "eve", wait=NEVER) as eve:
        ada.tell("beam")
        ada.answer()
        ada.kill()
        assert eve.answer() == ["returned", True]
        assert events() == ["beam", "fail", "off"], "each once, in order, before the grant"
        eve.tell("beam")
        eve.answer()
        eve.tell("unlock")
        assert eve.answer() == ["returned", True]
        assert events() == ["beam", "fail", "off", "beam"], "who gives it up leaves it as it is"
    wait_for(lambda: "fail" in (lab.entry("services", "lab.laser")["error"] or ""), 10, "shown")


def test_a_strangers_end_brings_nothing_to_rest_while_another_has_the_lock(lab):
    record = lab.files / "record"
    lab.config(RESTING, record=str(record), mode="session", servertype="thread, threadpool_size: 3")
    lab.up()
    events = lambda: [line for line in record.read_text().splitlines() if line != "made"]
    with lab.proxy("lab.laser") as ada, lab.proxy("lab.laser") as bob, lab.proxy("lab.laser") as eve:
        bob.beam()
        eve.beam()
        ada.lock("ada")
        bob._pyroRelease()
        with lab.proxy("lab.laser") as next_one:
            wait_for(next_one._pyroBind, 10, "there is room", Pyro5.errors.CommunicationError)
        ada.beam()
        assert events() == ["beam"] * 3
        ada.unlock()
        eve._pyroRelease()
        wait_for(lambda: len(events()) == 5, 10, "who leaves a free one leaves it in a safe state")
        assert events() == ["beam"] * 3 + ["fail", "off"], "and whose end was overtaken, not at all"


def test_a_session_that_is_kept_for_its_token_comes_to_rest_when_that_expires(lab):
    record = lab.files / "record"
    lab.config(RESTING, record=str(record), mode="session", servertype="thread")
    lab.up()
    events = lambda: [line for line in record.read_text().splitlines() if line != "made"]
    with lab.proxy("lab.laser") as ada, lab.proxy("lab.laser") as eve:
        for ttl in (600, 0.2):
            ada.lock("ada", token="x", ttl=ttl)
            ada.beam()
            ada._pyroRelease()
            # The first time it comes back to it in time.
            wait_for(lambda: eve.lock_info()["state"] != "locked", 10, "it is known that she has gone")
        assert eve.lock("eve", wait=NEVER) is True
        assert events() == ["beam", "beam", "fail", "off"]


@pytest.mark.parametrize("mode", ["single", "session"])
def test_a_driver_that_crashed_under_its_owner_comes_to_rest_or_the_failure_is_shown(lab, mode):
    record = lab.files / "record"
    lab.config(RESTING.replace("fail, off", "off"), record=str(record), mode=mode, servertype="thread")
    lab.up()
    with lab.proxy("lab.laser") as ada, lab.proxy("lab.sibling") as sibling:
        ada.lock("ada")
        ada.beam()
        with pytest.raises(Exception, match="Python worker"):
            ada.crash()
        wait_for(lambda: sibling.beam(), 10, "the process is up again", Exception)
    with lab.proxy("lab.laser") as eve:
        assert eve.lock("eve", wait=NEVER) is True
        if mode == "single":
            assert record.read_text().split() == ["made", "beam", "made", "off"]
        else:
            error = wait_for(lambda: lab.entry("services", "lab.laser")["error"], 10, "shown")
            assert "off() raised" in error and "the safe state was not reached" in error


# Over restarts


def test_epochs_rise_over_restarts_and_the_log_stays(lab):
    lab.config(RESTING, record=str(lab.files / "record"), mode="single", servertype="thread")
    epochs = []
    for _ in range(3):
        lab.up()
        with lab.proxy("lab.laser") as ada:
            for _ in range(3):
                ada.lock("ada")
                epochs.append(ada.lock_info()["epoch"])
                ada.unlock()
        lab.down()
    assert epochs == sorted(set(epochs))
    lines = json.loads(lab.run("locks", "--history", "--json").stdout)
    assert [line["epoch"] for line in lines if line["event"] == "granted"] == epochs
    assert [line["event"] for line in lines].count("started") == 3


def test_a_daemon_without_locks_has_none(lab):
    lab.config(RESTING.replace("LockableDaemon", "Daemon"), record=str(lab.files / "record"), mode="single", servertype="thread")
    lab.up()
    with lab.proxy("lab.laser") as laser:
        laser._pyroBind()
        assert not {"lock", "unlock", "islocked"} & set(laser._pyroMethods)
        with pytest.raises(AttributeError):
            laser._pyroInvoke("lock", (), {})
    assert lab.entry("services", "lab.laser")["lock"] is None
    failed = lab.run("lock", "lab.laser", "--", "true", check=False)
    assert failed.returncode == 1 and "has no lock" in failed.text


@pytest.mark.parametrize("command", [["lock", "lab.stag", "--", "true"], ["unlock", "--break", "lab.stag", "--reason", "x"]])
def test_a_mistyped_service_is_told_of_without_a_nameserver(running, command):
    result = running.run(*command, check=False)
    assert result.returncode == 1, result.text
    assert "there is no service 'lab.stag' here" in result.text and "did you mean `lab.stage`?" in result.text, result.text


def test_a_service_that_there_is_not_is_told_of(running):
    for arguments in (["locks", "lab.nope"], ["locks", "--history", "lab.nope"], ["locks", "--history", "--json", "lab.nope"]):
        result = running.run(*arguments, check=False)
        assert result.returncode == 1 and "there is no service 'lab.nope'" in result.text, result.text
