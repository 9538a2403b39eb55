"""Locks: who gets one, in which order, and what becomes of it when its owner is gone."""

import contextlib
import json
import os
import subprocess
import time

import Pyro5.api
import Pyro5.errors
import pytest
from harness import EXTENDED, NEVER, every_servertype, wait_for, within
from harness.holder import CLIENT, Holder
from harness.lab import interpreter
from harness.locks import (
    EVERY_MODE,
    clients,
    later,
    locking_lab,
    long_call,
    own,
    record_of,
    refused,
    wait_until_waiting,
    waiting,
)

CROWD = 100_000 if EXTENDED else int(os.environ.get("FERROLAB_TEST_ACQUISITIONS", "3200"))


@pytest.fixture(scope="module")
def running():
    with locking_lab() as lab:
        yield lab


# Waiting


@pytest.mark.parametrize("service", ["lab.stage", "lab.turns"])
def test_waiters_are_served_in_order_and_leave_when_they_go(running, service):
    uri = running.uri(service)
    with running.proxy(service) as ada, contextlib.ExitStack() as stack:
        ada.lock("ada")
        names = [f"w{number}" for number in range(6)]
        holders = {}
        for number, name in enumerate(names):
            holders[name] = stack.enter_context(Holder(uri, name, wait=NEVER))
            wait_until_waiting(ada, names[: number + 1])
        # While they wait, the daemon goes on serving, in a multiplex one too.
        assert isinstance(ada.move(1), int)
        holders["w2"].kill()
        wait_until_waiting(ada, [name for name in names if name != "w2"])
        ada.unlock()
        epochs = []
        for name in ["w0", "w1", "w3", "w4", "w5"]:
            assert holders[name].answer() == ["returned", True]
            info = ada.lock_info()
            assert info["user"] == name
            epochs.append(info["epoch"])
            holders[name].tell("unlock")
        assert epochs == sorted(set(epochs))


def test_waiting_in_vain(running):
    with clients(running, "lab.stage") as (ada, eve):
        ada.lock("ada")
        begin = time.monotonic()
        assert eve.lock("eve", wait=0.3) is False
        assert 0.25 < time.monotonic() - begin < within(5)
        assert eve.lock("eve", wait=0) is False
        assert waiting(eve) == []


@pytest.mark.timeout(3600)
def test_a_crowd_never_drives_at_once(running):
    """64 stock clients; with `--extended` they take the lock 100,000 times."""
    processes, threads = 4, 16
    each = -(-CROWD // (processes * threads))
    crowd = [
        subprocess.Popen(
            [interpreter(), str(CLIENT), running.uri("lab.crowd"), "crowd", str(threads), "600", str(each)],
            stdout=subprocess.PIPE, encoding="utf-8",
        )
        for _ in range(processes)
    ]
    for process in crowd:
        assert json.loads(process.communicate()[0]) == []
    total = processes * threads * each
    with running.proxy("lab.crowd") as stage:
        assert stage.overlaps() == []
        moves = stage.moves()
    assert len(moves) == total

    def grants():
        lines = json.loads(running.run("locks", "--history", "--json", "lab.crowd").stdout)
        granted = [line for line in lines if line["event"] == "granted"]
        return granted if len(granted) >= total else None

    granted = wait_for(grants, 60, "every grant is in the lock log")
    epochs = [line["epoch"] for line in granted]
    assert all(one < next for one, next in zip(epochs, epochs[1:])), "epochs strictly rise"
    assert [line["user"] for line in granted] == moves, "whom it was granted to has driven"
    # Served in order: with all of them always asking, nobody is passed over by a whole round.
    last = {}
    gaps = []
    rounds = len(granted) - 2 * processes * threads
    for number, line in enumerate(granted):
        if line["user"] in last and number < rounds:
            gaps.append(number - last[line["user"]])
        last[line["user"]] = number
    assert max(gaps, default=0) <= 2 * processes * threads


# The end of an owner


@pytest.mark.parametrize("service", ["lab.stage", "lab.turns"])
def test_a_long_call_of_a_dead_owner_ends_before_the_next_grant(running, service, tmp_path):
    uri, gate = running.uri(service), tmp_path / "gate"
    record = running.record if service == "lab.stage" else running.record.with_name("record.turns")
    with (
        Holder.having(uri, "ada") as ada,
        Holder(uri, "eve", wait=NEVER) as eve,
        running.proxy(service) as look,
    ):
        wait_until_waiting(look, ["eve"])
        begun = record.read_text().count("long call begins")
        ada.tell("wait_for", str(gate))
        wait_for(lambda: record.read_text().count("long call begins") > begun, 10, "it runs")
        ada.kill()
        wait_for(lambda: look.islocked() is False, 12, "the dead owner's lock is gone")
        assert waiting(look) == ["eve"], "and nobody has it while the call runs"
        info = look.lock_info()
        assert (info["state"], info["after"]) == ("ending", "ada")
        if service == "lab.stage":  # in the other daemon, every call waits for the long one
            busy = "Pyro object is busy: a call of 'ada', who has lost its lock, is still running; try again when it has ended"
            refused(lambda: look.move(1), busy)
        ended = record.read_text().count("long call ends")
        gate.touch()
        assert eve.answer() == ["returned", True]
        assert record.read_text().count("long call ends") == ended + 1


@pytest.mark.parametrize("service, other", [("lab.stage", "lab.session"), ("lab.turns", "lab.turns.other")])
def test_what_is_left_of_a_dead_client_gets_no_lock_and_drives_no_more(running, service, other, tmp_path):
    uri, gate = running.uri(service), tmp_path / "gate"
    record = running.record if service == "lab.stage" else running.record.with_name("record.turns")
    with Holder.having(uri, "dead") as dead, running.proxy(service) as eve, running.proxy(other) as look:
        dead.tell("unlock")
        dead.answer()
        # By this its end is seen: its connection has the lock of another service as well.
        dead.tell("at", other, "lock", "dead")
        assert dead.answer() == ["returned", True]
        position = eve.move(0)
        text = record.read_text()
        dead.tell("batch", ["wait_for", str(gate)], ["lock", "dead", NEVER], ["move", 5])
        wait_for(lambda: record.read_text() == text + "long call begins\n", 10, "it runs")
        dead.kill()
        wait_for(lambda: look.islocked() is False, 12, "its end is seen")
        gate.touch()
        wait_for(lambda: record.read_text().endswith("long call ends\n"), 10, "its call ends")
        assert eve.lock("eve", wait=NEVER) is True
        assert eve.move(0) == position, "the rest of its batch has not run"

        def granted():
            lines = json.loads(running.run("locks", "--history", "--json", service).stdout)
            return [line["user"] for line in lines if line["event"] == "granted"]

        wait_for(lambda: granted()[-2:] == ["dead", "eve"], NEVER, "that was its first one")


@pytest.mark.parametrize("service", ["lab.stage", "lab.turns"])
def test_what_a_client_sends_off_before_it_closes_is_carried_out(running, service, tmp_path):
    gate = tmp_path / "gate"
    record = running.record if service == "lab.stage" else running.record.with_name("record.turns")
    with clients(running, service) as (bob, eve):
        before = eve.move(0)
        text = record.read_text()
        call = later(lambda: own(bob).wait_for(str(gate)))
        wait_for(lambda: record.read_text() == text + "long call begins\n", 10, "it runs")
        eve.kick()
        batch = Pyro5.api.BatchProxy(eve)
        batch.move(1)
        batch.move(1)
        batch(oneway=True)
        eve.kick()
        eve._pyroRelease()
        gate.touch()
        call()
        wait_for(lambda: own(bob).move(0) == before + 2002, 10, "all of it is done")


QUEUED = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon, servertype: $servertype, oneway_threaded: false}
services:
  lab.queued: {module: stage, classname: Stage, daemon: bench, instancemode: session, arguments: {record: "$record"}}
autolaunch: {daemons: [bench]}
"""


@every_servertype
def test_what_has_waited_for_its_turn_is_not_carried_out_for_who_has_lost_the_lock(lab, tmp_path, servertype):
    """Oneway calls that take turns: those that are not threaded."""
    gate, record = tmp_path / "gate", lab.files / "record"
    record.touch()
    lab.config(QUEUED, record=str(record), servertype=servertype)
    lab.up()
    begun = lambda: record.read_text().count("long call begins")
    with clients(lab, "lab.queued") as (ada, eve):
        ada.lock("ada")
        for _ in range(200):
            ada.stroll(str(gate))
        wait_for(lambda: begun() == 1, 20, "the first runs")
        lab.run("unlock", "--break", "lab.queued", "--reason", "x")
        gate.touch()
        assert eve.lock("eve", wait=NEVER) is True
        # The oneway calls before it have been refused by then.
        with pytest.raises(ConnectionRefusedError):
            ada.move(1)
        assert begun() == 1


@pytest.mark.parametrize("service", EVERY_MODE)
def test_a_generator_of_who_has_lost_the_lock_ends_before_the_next_grant(running, service):
    record = record_of(running, service)
    with clients(running, service) as (ada, eve):
        ada.lock("ada")
        items = ada.sweep()
        assert next(items) == 0
        before = record.read_text().count("sweep ends")
        ada._pyroRelease()
        assert eve.lock("eve", wait=NEVER) is True
        assert record.read_text().count("sweep ends") == before + 1
        del items


@pytest.mark.parametrize("service", EVERY_MODE)
def test_a_stranger_ends_no_generator_while_another_has_the_lock(running, service, tmp_path):
    gate = tmp_path / "gate"
    gate.touch()
    record = record_of(running, service)
    with clients(running, service) as (ada, bob):
        items = bob.sweep()
        assert next(items) == 0
        ada.lock("ada")
        before = len(record.read_text().splitlines())
        items.close()
        ada.wait_for(str(gate))
        ada.unlock()
        events = lambda: [line for line in record.read_text().splitlines()[before:] if line != "made"]
        wait_for(lambda: len(events()) == 3, 10, "the generator has ended")
        assert events() == ["long call begins", "long call ends", "sweep ends"]


def test_who_waits_for_a_call_that_hangs_is_shown_and_can_be_broken(running, tmp_path):
    gate = tmp_path / "gate"
    with clients(running, "lab.stage", 3) as (bob, ada, look):
        call = long_call(running, bob, gate)
        lock = later(lambda: own(ada).lock("ada", wait=600))
        wait_until_waiting(look, ["ada"])
        info = look.lock_info()
        assert (info["locked"], info["state"], info["next"]) == (False, "granting", "ada")
        refused(lambda: look.move(1))
        shown = lambda: "being granted to ada" in running.run("locks", "lab.stage").stdout
        wait_for(shown, 10, "the table says so")
        running.run("unlock", "--break", "lab.stage", "--reason", "bob hangs", "--user", "eve")
        with pytest.raises(ConnectionRefusedError, match="broken by eve .* .bob hangs."):
            lock()
        assert isinstance(look.move(1), int), "everybody else goes on"
        gate.touch()
        assert call() == "waited"
        own(bob), own(ada)


def test_a_lock_can_be_broken_however_busy_its_daemon_is(running, tmp_path):
    gate = tmp_path / "gate"
    # Every place is taken by somebody who waits for it.
    uri = running.uri("lab.small")
    queue = lambda: [waiter["user"] for waiter in running.entry("services", "lab.small")["lock"]["waiting"]]
    with contextlib.ExitStack() as stack:
        stack.enter_context(Holder.having(uri, "ada"))
        first = stack.enter_context(Holder(uri, "w1", wait=99))
        wait_for(lambda: queue() == ["w1"], 10, "one waits")
        stack.enter_context(Holder(uri, "w2", wait=99))
        wait_for(lambda: queue() == ["w1", "w2"], 10, "both wait")
        for name in ["lab.small", "Pyro.Daemon", "small"]:
            with Pyro5.api.Proxy(f"PYRO:{name}@{Pyro5.api.URI(uri).location}") as proxy:
                with pytest.raises(Pyro5.errors.CommunicationError, match="no free workers"):
                    proxy.ping()
        running.run("unlock", "--break", "lab.small", "--reason", "x")
        assert first.answer() == ["returned", True]
        with Pyro5.api.Proxy(f"PYRO:small@{Pyro5.api.URI(uri).location}") as daemon:
            assert daemon.release(uri, "as PyroLab's users do it") is True
    # Its owner's call has the one turn there is.
    with clients(running, "lab.turns") as (ada, look):
        ada.lock("ada")
        call = later(lambda: own(ada).wait_for(str(gate)))
        wait_for(lambda: look.lock_info()["idle"] == 0, 10, "it runs")
        running.run("unlock", "--break", "lab.turns", "--reason", "x")
        assert look.lock_info()["state"] == "ending"
        gate.touch()
        call()
        with pytest.raises(ConnectionRefusedError, match="was broken by"):
            own(ada).move(1)


def test_a_takeover_waits_for_the_call_that_runs_and_takes_nothing_before(running, tmp_path):
    gate = tmp_path / "gate"
    token = {"token": "swordfish", "ttl": 0}
    with clients(running, "lab.stage", 3) as (ada, again, look):
        ada.lock("ada", **token)
        call = long_call(running, ada, gate)
        resumed = later(lambda: own(again).lock("again", wait=NEVER, **token))
        wait_until_waiting(look, ["again"])
        assert look.lock_info()["user"] == "ada"
        gate.touch()
        assert resumed() is True and call() == "waited"
        with pytest.raises(ConnectionRefusedError, match="taken over with its token by again"):
            own(ada).move(1)
        own(again)

    def ends():
        lines = json.loads(running.run("locks", "--history", "--json", "lab.stage").stdout)
        return [line["reason"] for line in lines if line["event"] == "released" and line["user"] == "ada"]

    wait_for(lambda: ends()[-1:] == ["taken over with its token by again"], NEVER, "the log has it")


def test_a_plain_lock_waits_for_calls_that_run(running, tmp_path):
    gate = tmp_path / "gate"
    with clients(running, "lab.stage", 3) as (ada, eve, look):
        call = long_call(running, ada, gate)
        lock = later(lambda: own(eve).lock("eve"))
        wait_until_waiting(look, ["eve"])
        assert lock.is_running()
        gate.touch()
        assert lock() is True and call() == "waited"
        own(ada), own(eve)


def test_a_token_outlives_its_connection(running):
    uri = running.uri("lab.stage")
    token = {"token": "swordfish"}
    with Holder.having(uri, "ada", ttl=600, **token) as ada, running.proxy("lab.stage") as look:
        with Holder(uri, "eve", wait=NEVER) as eve:
            wait_until_waiting(look, ["eve"])
            epoch = look.lock_info()["epoch"]
            ada.kill()
            info = wait_for(lambda: look.lock_info()["away"] and look.lock_info(), 12, "she is away")
            assert info["user"] == "ada" and 0 < info["expires_in"] <= 600
            refused(lambda: look.lock("bob", token="herring"))
            refused(lambda: look.move(1))
            with Holder.having(uri, "ada", ttl=1, **token) as again:
                assert waiting(look) == ["eve"]
                assert look.lock_info()["epoch"] > epoch
                again.tell("move", 1)
                assert again.answer()[0] == "returned"
            assert eve.answer() == ["returned", True], "behind the ttl the next has it"
            with Holder(uri, "ada", **token) as late:
                assert late.answer()[2] == ["Pyro object is locked (by 'eve')"]
    log = (running.home / "logs").rglob("*")
    assert not any("swordfish" in file.read_text(errors="replace") for file in log if file.is_file())


def test_a_token_takes_over_from_a_connection_that_hangs(running):
    with clients(running, "lab.stage") as (ada, again):
        assert ada.lock("ada", token="swordfish") is True
        assert again.lock("ada", token="swordfish") is True
        with pytest.raises(ConnectionRefusedError, match="taken over with its token by ada"):
            ada.move(1)
        assert isinstance(again.move(1), int)
        again.unlock()


def test_a_broken_lock_is_told_to_its_owner(running):
    with clients(running, "lab.stage") as (ada, eve):
        ada.lock("ada")
        done = running.run("unlock", "--break", "lab.stage", "--reason", "lunch", "--user", "eve")
        assert "broken: lab.stage" in done.stdout
        told = r"your lock .* was broken by eve at 127\.0\.0\.1:\d+ \(lunch\)"
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError, match=told):
                ada.move(1)
        assert isinstance(eve.move(1), int)
        assert ada.lock("ada") is True
        assert isinstance(ada.move(1), int)
    again = running.run("unlock", "--break", running.uri("lab.stage"), "--reason", "x", check=False)
    assert again.returncode == 1 and "is not locked" in again.text

    def last_break():
        lines = json.loads(running.run("locks", "--history", "--json", "lab.stage").stdout)
        breaks = [line for line in lines if line["event"] == "broken"]
        return breaks[-1] if breaks and breaks[-1]["reason"] == "lunch" else None

    broken = wait_for(last_break, NEVER, "the log has it")
    assert broken["by"].startswith("eve at ")
    assert broken["user"] == "ada" and broken["duration"] >= 0 and broken["epoch"] > 0
