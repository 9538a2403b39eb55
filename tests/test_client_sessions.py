"""Sessions of our Python client: all instruments or none, in order, to their end."""

import json
import random
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import ferrolab
import pytest
from harness import EXTENDED, NEVER, wait_for
from harness.lab import TESTS, interpreter
from harness.lockable import lines, lockable_lab, state


@pytest.fixture(scope="module")
def running():
    with lockable_lab() as lab:
        yield lab


@pytest.fixture
def lab(running):
    with ferrolab.connect(running.home, timeout=NEVER, connect_timeout=NEVER) as made:
        yield made


@pytest.fixture
def stranger(running):
    """Another client's proxies."""
    with ferrolab.connect(running.home, timeout=NEVER, connect_timeout=NEVER) as made:
        yield made


def test_sessions_that_are_killed_at_any_step(running, stranger):
    names = ["lab.a", "lab.b", "lab.c", "lab.d"]
    program = """
import sys, ferrolab
lab = ferrolab.connect(sys.argv[1])
print("begun", flush=True)
while True:
    with lab.session(*sys.argv[2:], ttl=1, wait=60) as session:
        for name in session:
            session[name].drive("somebody")
"""
    env = running.environment() | {"PYTHONPATH": str(TESTS.parent / "python")}
    chance = random.Random(7)
    for _ in range(100 if EXTENDED else 4):
        with subprocess.Popen(
            [interpreter(), "-c", program, str(running.home), *names], env=env, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout.readline() == "begun\n"
            # At some moment of its session, whichever that is.
            threading.Event().wait(chance.random() / 5)
            child.send_signal(signal.SIGKILL)
        for name in names:
            wait_for(lambda name=name: state(stranger[name]) == "free", 30, f"{name} is free")
    assert [stranger[name].overlaps() for name in names] == [[]] * 4


def test_a_killed_session_holds_nothing_after_its_ttl(running, stranger):
    program = """
import sys, ferrolab
lab = ferrolab.connect(sys.argv[1])
with lab.session("lab.shutter", "lab.laser", ttl=1):
    print("locked", flush=True)
    sys.stdin.read()
"""
    env = running.environment() | {"PYTHONPATH": str(TESTS.parent / "python")}
    with subprocess.Popen(
        [interpreter(), "-c", program, str(running.home)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "locked\n"
        child.send_signal(signal.SIGKILL)
    for name in ("lab.shutter", "lab.laser"):
        wait_for(lambda name=name: state(stranger[name]) == "free", 30, "it is free")


def test_a_session_has_all_and_ends_them_in_order(running, lab, stranger):
    records = [running.record.with_name("record.2"), running.record]
    first = [len(lines(record, 0)) for record in records]
    with lab.session("lab.shutter", "lab.laser", wait=NEVER, name="cooldown 7", user="ada") as session:
        assert session.epochs["lab.laser"] == stranger["lab.laser"].lock_info()["epoch"]
        assert stranger["lab.shutter"].lock_info()["user"] == "ada: cooldown 7"
        session["lab.laser"].move(1)
        lab["lab.shutter"].move(1)
    assert {state(stranger[name]) for name in session} == {"free"}
    assert [lines(record, before).count("off") for record, before in zip(records, first)] == [1, 1]

    def released():
        """When each service was; each daemon writes its log a little later."""
        history = json.loads(running.run("locks", "--history", "--json").stdout)
        ends = {line["service"]: line["time"] for line in history if line["event"] == "released"}
        return ends if {"lab.shutter", "lab.laser"} <= ends.keys() else None

    ends = wait_for(released, NEVER, "both releases are in the log")
    assert ends["lab.shutter"] < ends["lab.laser"], "in the order of the session"


def test_a_session_that_gets_not_all_has_none(lab, stranger):
    with stranger["lab.c"].locked(user="eve"):
        for wait in (None, 0.2):
            with pytest.raises(ferrolab.LockError), lab.session("lab.a", "lab.b", "lab.c", "lab.d", wait=wait):
                pass
            assert [state(stranger[name]) for name in ("lab.a", "lab.b", "lab.d")] == ["free"] * 3
    with pytest.raises(ferrolab.NamingError), lab.session("lab.a", "lab.missing"):
        pass
    assert state(stranger["lab.a"]) == "free"


@pytest.mark.timeout(7200)
def test_sessions_of_a_crowd(running):
    """Each takes 3 of 6 instruments in its own order: no deadlock, no partial one, no overlap."""
    clients, rounds = (64, 157) if EXTENDED else (8, 6)
    names = ["lab.a", "lab.b", "lab.c", "lab.d", "lab.e", "lab.f"]
    driving, overlaps = {name: 0 for name in names}, []
    with ferrolab.connect(running.home, timeout=NEVER) as own:
        before = sum(len(own[name].moves()) for name in names)
    turn = threading.Lock()

    def drive(number):
        with ferrolab.connect(running.home, timeout=NEVER, connect_timeout=NEVER) as own:
            for index in range(rounds):
                chosen = random.Random(number * 1000 + index).sample(names, 3)
                with own.session(*chosen, wait=7200, user=str(number)) as session:
                    with turn:
                        for name in chosen:
                            driving[name] += 1
                        overlaps.extend(name for name in chosen if driving[name] > 1)
                    for name in chosen:
                        session[name].drive(str(number))
                    with turn:
                        for name in chosen:
                            driving[name] -= 1

    with ThreadPoolExecutor(clients) as crowd:
        assert list(crowd.map(drive, range(clients))) == [None] * clients
    assert overlaps == []
    with ferrolab.connect(running.home, timeout=NEVER) as own:
        assert sum(len(own[name].moves()) for name in names) == before + clients * rounds * 3
        assert [own[name].overlaps() for name in names] == [[]] * 6
        assert {state(own[name]) for name in names} == {"free"}
