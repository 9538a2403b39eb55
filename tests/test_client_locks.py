"""Locks and sessions of our Python client: granted, resumed, lost; safe states at the end."""

import json
import os
import random
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import ferrolab
import pytest
from harness import EXTENDED, NEVER, pyrolab_daemon, wait_for
from harness.clients import interrupted_by_alarm
from harness.lab import TESTS, interpreter, new_lab
from harness.locks import later

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon, threadpool_size: 200}
  other: {classname: LockableDaemon, threadpool_size: 200}
services:
  lab.laser: {module: stage, classname: Laser, daemon: bench, instancemode: single, arguments: {record: "$record"}, on_disconnect: [off]}
  lab.shutter: {module: stage, classname: Laser, daemon: other, instancemode: single, arguments: {record: "$record.2"}, on_disconnect: [off]}
  lab.a: {module: stage, classname: Stage, daemon: bench, instancemode: single}
  lab.b: {module: stage, classname: Stage, daemon: bench, instancemode: single}
  lab.c: {module: stage, classname: Stage, daemon: other, instancemode: single}
  lab.d: {module: stage, classname: Stage, daemon: other, instancemode: single}
  lab.e: {module: stage, classname: Stage, daemon: bench, instancemode: single}
  lab.f: {module: stage, classname: Stage, daemon: other, instancemode: single}
autolaunch: {daemons: [bench, other]}
"""


@pytest.fixture(scope="module")
def running():
    with new_lab() as lab:
        lab.record = lab.files / "record"
        lab.record.touch()
        lab.record.with_name("record.2").touch()
        lab.config(CONFIGURATION, record=str(lab.record))
        lab.up()
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


def cut(lock):
    """Ends a lock's connection, as a network does that changes."""
    lock._connection.sock.shutdown(socket.SHUT_RDWR)
    lock._connection.used_at -= 10


def state(proxy):
    return proxy.lock_info()["state"]


def lines(record, first):
    return record.read_text().splitlines()[first:]


def test_a_lock_for_a_block(lab, stranger):
    laser, other = lab["lab.laser"], stranger["lab.laser"]
    with laser.locked(user="ada") as lock:
        assert laser.move(1) and lock.epoch == other.lock_info()["epoch"]
        with pytest.raises(ConnectionRefusedError, match="locked .by 'ada'"):
            other.move(1)
        with pytest.raises(ferrolab.LockError, match="locked .by 'ada'"), ferrolab.locked(other):
            pass
        # Other threads share its connection; a block within the block has the lock already.
        assert [result() for result in [later(lambda: lock.proxy.move(1)) for _ in range(8)]]
        with laser.locked() as inner:
            assert inner is lock
    assert state(other) == "free"
    assert other.move(1)


def test_waiting_for_a_lock(lab, stranger):
    laser, other = lab["lab.laser"], stranger["lab.laser"]
    with laser.locked():
        with pytest.raises(ferrolab.LockError, match="not free within 0.2 s"), other.locked(wait=0.2):
            pass

        def wait():
            with stranger["lab.laser"].locked(wait=NEVER) as lock:
                return lock.epoch

        waiting = later(wait)
        wait_for(lambda: other.lock_info()["waiting"], 20, "it waits")
    assert waiting() > 0


def test_a_service_without_a_lock_and_a_member_of_the_name():
    with pyrolab_daemon("stage", "Stage") as (uri, daemon), ferrolab.Proxy(daemon, timeout=NEVER) as made:
        with pytest.raises(ferrolab.LockError, match="LockableDaemon"), ferrolab.locked(made):
            pass


@pytest.mark.parametrize("finds", ["the next call", "the keeper"])
def test_a_lost_connection_is_resumed(lab, stranger, finds):
    laser, other = lab["lab.laser"], stranger["lab.laser"]
    with laser.locked(user="ada", ttl=NEVER) as lock:
        epoch = lock.epoch
        cut(lock)
        if finds == "the keeper":
            wait_for(lambda: lock.epoch != epoch, 30, "it is resumed while no calls are made")
        else:
            assert laser.move(1)
        assert lock.epoch == epoch + 1
        with pytest.raises(ConnectionRefusedError, match="locked .by 'ada'"):
            other.move(1)
    assert state(other) == "free"


def test_a_broken_lock_is_lost(running, lab, stranger):
    laser, other = lab["lab.laser"], stranger["lab.laser"]
    with pytest.raises(ferrolab.LockLost, match="broken"), laser.locked() as lock:
        running.run("unlock", "--break", "lab.laser", "--reason", "tested")
        with pytest.raises(ferrolab.LockLost, match="broken"):
            laser.move(1)
        with pytest.raises(ferrolab.LockLost):
            laser.move(1)
        lock.check()
    assert other.move(1) and laser.move(1)


def test_a_lock_that_others_got_in_the_meantime_is_lost(lab, stranger):
    laser, other = lab["lab.laser"], stranger["lab.laser"]
    with pytest.raises(ferrolab.LockLost, match="while its connection was lost"), laser.locked() as lock:
        cut(lock)
        other.unlock(token=lock.token)
        with other.locked(wait=NEVER):
            laser.move(1)
    assert state(other) == "free"


def test_a_loss_that_no_call_has_noticed_is_raised_at_the_end(running, lab):
    with pytest.raises(ferrolab.LockLost), lab["lab.laser"].locked():
        running.run("unlock", "--break", "lab.laser", "--reason", "tested")


def test_a_driver_s_refusal_is_no_lost_lock(lab, monkeypatch):
    with lab["lab.laser"].locked() as lock:
        lock.refused(ConnectionRefusedError("the device refuses"), lock._connection)
        assert lock.lost is None


@pytest.mark.parametrize("safe", [True, False])
def test_an_exception_ends_a_lock_by_the_safe_state(running, lab, stranger, safe):
    first = len(lines(running.record, 0))
    with pytest.raises(ZeroDivisionError), lab["lab.laser"].locked(safe_on_error=safe):
        lab["lab.laser"].move(1)
        raise ZeroDivisionError
    assert state(stranger["lab.laser"]) == "free"
    assert ("off" in "".join(lines(running.record, first))) == safe


def test_a_dead_program_s_lock_is_resumed_by_its_token(running, lab, stranger):
    program = """
import sys, ferrolab
lab = ferrolab.connect(sys.argv[1])
with lab["lab.laser"].locked(user="ada", token="kept", ttl=300):
    print("locked", flush=True)
    sys.stdin.read()
"""
    env = running.environment() | {"PYTHONPATH": str(TESTS.parent / "python")}
    child = subprocess.Popen(
        [interpreter(), "-c", program, str(running.home)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "locked\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    other = stranger["lab.laser"]
    wait_for(lambda: state(other) == "away", 30, "the daemon keeps it")
    with lab["lab.laser"].locked(user="ada", token="kept"):
        assert lab["lab.laser"].move(1)
    assert state(other) == "free"


def test_a_forked_child_has_no_lock(lab):
    with lab["lab.laser"].locked():
        child = os.fork()
        if child == 0:
            code = 1
            try:
                lab["lab.laser"].move(1)
            except ConnectionRefusedError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert lab["lab.laser"].move(1)


def test_a_forked_child_that_leaves_the_block_ends_no_lock(lab, stranger):
    with lab["lab.laser"].locked():
        child = os.fork()
        if child == 0:
            os._exit(leave_blocks(lab))
        assert os.waitpid(child, 0)[1] == 0
        assert lab["lab.laser"].move(1) and state(stranger["lab.laser"]) == "locked"


def leave_blocks(lab):
    """Ends the locks of this thread, as the end of a forked program does."""
    for frame in (lab["lab.laser"],):
        for lock in list(frame._remote.pool.held.values()):
            lock.end(safe=True)
    return 0


def test_a_lock_by_its_plain_name(lab, stranger):
    """As with Pyro5's proxies: it belongs to the thread's connection, and its loss is an error."""
    laser, other = lab["lab.laser"], stranger["lab.laser"]
    assert laser.lock("ada") is True and laser.move(1)
    with pytest.raises(ConnectionRefusedError, match="by 'ada'"):
        other.move(1)
    laser._remote.pool.own().sock.shutdown(socket.SHUT_RDWR)
    laser._remote.pool.own().used_at -= 10
    with pytest.raises(ferrolab.ConnectionClosedError, match="had locked") as caught:
        laser.move(1)
    assert caught.value.outcome == "not started"
    wait_for(lambda: laser.move(1), 30, "its safe state has run", (ConnectionRefusedError,))
    assert laser.lock("ada") and laser.unlock()


def test_an_interrupted_wait_leaves_the_queue(lab, stranger):
    laser, other = lab["lab.laser"], stranger["lab.laser"]
    with laser.locked():
        with interrupted_by_alarm() as soon, pytest.raises(KeyboardInterrupt):
            soon()
            with other.locked(wait=NEVER):
                pass
        wait_for(lambda: not laser.lock_info()["waiting"], 20, "nobody waits")
    assert state(laser) == "free"


def test_a_program_that_ferrolab_lock_runs(running, stranger):
    script = running.write(
        """
import asyncio, sys, ferrolab
lab = ferrolab.connect(sys.argv[1])
for _ in range(2):
    with lab["lab.laser"].locked() as lock:
        assert lab["lab.laser"].move(1) and lock.inherited
    assert lab["lab.laser"].lock_info()["locked"]

async def main():
    async with lab.aio.locked("lab.laser") as laser:
        await laser.move(1)
    await lab.aio.close()

asyncio.run(main())
assert lab["lab.laser"].lock_info()["locked"]
with lab["lab.shutter"].locked() as lock:
    assert not lock.inherited
assert not lab["lab.shutter"].lock_info()["locked"]
print("done")
""",
        "measure.py",
    )
    path = str(TESTS.parent / "python")
    command = [interpreter(), str(script), str(running.home)]
    done = running.run("lock", "lab.laser", "--", "env", f"PYTHONPATH={path}", *command, timeout=NEVER)
    assert "done" in done.stdout
    assert state(stranger["lab.laser"]) == "free"


# Sessions


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
    ends = {}
    for line in json.loads(running.run("locks", "--history", "--json").stdout):
        if line["event"] == "released":
            ends[line["service"]] = line["time"]
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


def test_the_lock_of_pyrolab_s_daemon():
    with pyrolab_daemon("stage", "Stage") as (uri, _):
        with ferrolab.Proxy(uri, timeout=NEVER) as stage, ferrolab.Proxy(uri, timeout=NEVER) as other:
            with stage.locked(user="ada") as lock:
                assert stage.move(1)
                with pytest.raises(ferrolab.LockError, match="locked .by 'ada'"), other.locked(wait=0.3):
                    pass
                assert lock.epoch is None
            with other.locked(wait=NEVER):
                assert other.move(1)
            with pytest.raises(ferrolab.LockLost, match="has ended"), stage.locked(wait=NEVER) as lock:
                cut(lock)
                stage.move(1)
