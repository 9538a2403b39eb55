"""Locks among many clients: silent owners, clients that do not wait, and reads of strangers."""

import json
import threading
import time

import Pyro5.api
import pytest
from harness import NEVER, wait_for
from harness.lab import new_lab
from harness.locks import clients, later, own

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon}
  turns: {classname: LockableDaemon, servertype: multiplex}
services:
  lab.held: {module: stage, classname: Laser, daemon: bench, instancemode: single, lock_idle: 5s, on_disconnect: [off],
    read_while_locked: [wait_for], arguments: {record: "$record.bench"}}
  lab.turns: {module: stage, classname: Laser, daemon: turns, instancemode: single, lock_idle: 5s, on_disconnect: [off],
    arguments: {record: "$record.turns"}}
  lab.single: {module: stage, classname: Stage, daemon: bench, instancemode: single, read_while_locked: [temperature, count],
    arguments: {record: "$record.single"}}
  lab.session: {module: stage, classname: Stage, daemon: bench, read_while_locked: [temperature, count],
    arguments: {record: "$record.session"}}
  lab.percall: {module: stage, classname: Stage, daemon: bench, instancemode: percall,
    read_while_locked: [temperature, count], arguments: {record: "$record.percall"}}
  lab.crowd: {module: stage, classname: Stage, daemon: bench, instancemode: single}
autolaunch: {daemons: [bench, turns]}
"""


@pytest.fixture(scope="module")
def running():
    with new_lab() as lab:
        lab.record = lab.files / "record"
        for name in ("bench", "turns", "single", "session", "percall"):
            lab.record.with_suffix("." + name).touch()
        lab.config(CONFIGURATION, record=str(lab.record))
        lab.up()
        yield lab


@pytest.mark.parametrize("name", ["lab.held", "lab.turns"])
def test_an_owner_that_does_nothing_loses_the_lock(running, name):
    record = running.record.with_suffix(".turns" if name == "lab.turns" else ".bench")
    with clients(running, name, 3) as (ada, eve, look):
        ada.lock("ada")
        info = look.lock_info()
        assert info["idle_limit"] == 5 and 0 <= info["expires_in"] <= 5
        assert ada.beam() is True
        offs = record.read_text().count("off")
        assert later(lambda: own(eve).lock("eve", wait=NEVER))() is True
        own(eve)
        assert record.read_text().count("off") == offs + 1
        text = "your lock of this Pyro object has ended: you made no call for 5 s"
        with pytest.raises(ConnectionRefusedError, match=text):
            ada.beam()
        wait_for(lambda: look.islocked() is False, 15, "eve does nothing either")
        assert ada.lock("ada") is True and ada.beam() is True
        ada.unlock()

    def expired():
        lines = json.loads(running.run("locks", "--history", name, "--json").stdout)
        return [line for line in lines if line["event"] == "expired"]

    first = wait_for(expired, NEVER, "the log has it")[0]
    assert first["user"] == "ada" and first["reason"] == "its owner made no call for 5s (lock_idle)"


@pytest.mark.parametrize("way", ["drives", "reads"])
def test_a_lock_is_never_lost_during_a_call(running, tmp_path, way):
    gate = tmp_path / "gate"
    name = "lab.held" if way == "reads" else "lab.turns"
    record = running.record.with_suffix(".bench" if way == "reads" else ".turns")
    with clients(running, name, 2) as (ada, look):
        begun = record.read_text().count("long call begins")
        ada.lock("ada")
        call = later(lambda: own(ada).wait_for(str(gate)))
        wait_for(lambda: record.read_text().count("long call begins") > begun, 10, "it runs")
        since = time.monotonic()
        wait_for(lambda: time.monotonic() - since > 11, 15, "more than twice the time goes by")
        info = look.lock_info()
        assert (info["user"], info["expires_in"]) == ("ada", None)
        shown = json.loads(running.run("locks", name, "--json").stdout)[0]["owner"]
        assert shown["idle_limit"] == 5
        assert " of 5 s" in running.run("locks", name).stdout
        gate.touch()
        assert call() == "waited"
        wait_for(lambda: look.islocked() is False, 15, "then it does nothing")
        own(ada)


def locks_once(uri):
    """As scripts for PyroLab do: a connection for each attempt."""
    with Pyro5.api.Proxy(uri) as stage:
        return stage.lock("asks")


def test_a_client_that_does_not_wait_has_its_turn_beside_those_that_do(running):
    uri = running.uri("lab.crowd")
    over = threading.Event()
    turns = [0, 0, 0]

    def wait_again_and_again(place):
        with Pyro5.api.Proxy(uri) as stage:
            while not over.is_set():
                assert stage.lock(f"waits {place}", wait=NEVER)
                stage.drive(place)
                turns[place] += 1
                stage.unlock()

    workers = [later(lambda place=place: wait_again_and_again(place)) for place in range(len(turns))]
    try:
        wait_for(lambda: min(turns) > 3, 10, "they take turns")
        for _ in range(5):
            wait_for(lambda: locks_once(uri), 10, "it has its turn", ignoring=ConnectionRefusedError, interval=0.05)
        before = min(turns)
        wait_for(lambda: min(turns) > before, 10, "they go on")
    finally:
        over.set()
        for worker in workers:
            worker()
    with Pyro5.api.Proxy(uri) as stage:
        assert stage.overlaps() == []


NO_INSTANCE = "Pyro object is locked .by 'ada'., and no instance is made for others meanwhile"


def reads(proxy):
    """The ways to read beside another's lock."""
    batch = Pyro5.api.BatchProxy(proxy)
    batch.temperature()
    yield proxy.temperature
    yield lambda: next(batch())
    yield lambda: list(proxy.count(1))
    yield lambda: proxy._pyroInvoke("__getattr__", ("number",), {})


@pytest.mark.parametrize("mode", ["single", "session", "percall"])
def test_a_read_beside_a_lock_makes_no_instance(running, mode):
    name = "lab." + mode
    record = running.record.with_suffix("." + mode)
    made = lambda: record.read_text().count("made")
    with clients(running, name, 3) as (ada, eve, bob):
        if mode == "session":
            assert bob.temperature() == 21.5
        before = made()
        assert before == (1 if mode == "session" else 0)
        ada.lock("ada")
        for read in reads(eve):
            with pytest.raises(ConnectionRefusedError, match="Pyro object is locked .by 'ada'"):
                read()
        with pytest.raises(ConnectionRefusedError, match=NO_INSTANCE):
            eve.temperature()
        assert made() == before
        assert ada.move() == 1
        mine = made()
        assert mine == before + 1
        if mode == "single":
            assert eve.temperature() == 21.5 and list(eve.count(2)) == [0, 1]
        else:
            with pytest.raises(ConnectionRefusedError, match=NO_INSTANCE):
                eve.temperature()
        if mode == "session":
            assert bob.temperature() == 21.5
        assert made() == mine
        ada.unlock()
        assert eve.temperature() == 21.5


def test_a_service_whose_calls_each_make_an_instance_is_warned_of(running):
    said = running.run("config", "check", str(running.files / "lab.yaml")).text
    assert said.count("others read nothing while it is locked") == 1 and "lab.percall" in said
