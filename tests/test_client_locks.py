"""Locks of our Python client: granted, resumed, lost; safe states at the end."""

import os
import signal
import socket
import subprocess
import threading

import ferrolab
import pytest
from harness import NEVER, pyrolab_daemon, wait_for
from harness.clients import interrupted_by_alarm
from harness.lab import TESTS, interpreter
from harness.lockable import lines, lockable_lab, state
from harness.locks import later


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


def cut(lock):
    """Ends a lock's connection, as a network does that changes."""
    lock._connection.sock.shutdown(socket.SHUT_RDWR)
    lock._connection.used_at -= 10


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


def test_a_block_in_a_block_ends_no_lock(lab, stranger):
    laser, other = lab["lab.laser"], stranger["lab.laser"]
    with laser.locked() as lock:
        with pytest.raises(ferrolab.LockError, match="outer block"), lab.session("lab.laser"):
            pass
        with ferrolab.locked(lock.proxy) as inner:
            assert inner is lock
        assert lock.proxy.lock("ada")
        assert other.lock_info()["epoch"] == lock.epoch
    assert state(other) == "free"


def test_a_lock_stays_with_its_thread(lab, stranger):
    """Python gives the number of a thread that has ended to another one."""
    laser, held = lab["lab.laser"], []

    def take():
        held.append(laser.locked(user="ada"))
        held[0].__enter__()
        return threading.get_ident()

    def use():
        return threading.get_ident(), outcome_of(laser.move, 1)

    number = later(take)()
    uses = (later(use)() for _ in range(1000))
    same = next((result for result in uses if result[0] == number), None)
    held[0].__exit__(None, None, None)
    if same is None:
        pytest.skip("no thread got the number of the one that had ended")
    assert isinstance(same[1], ConnectionRefusedError), same
    assert state(stranger["lab.laser"]) == "free"


def outcome_of(function, *args):
    try:
        return function(*args)
    except Exception as error:
        return error


def test_a_timeout_while_the_lock_s_connection_is_busy(lab):
    laser = lab["lab.laser"]
    with laser.locked() as lock:
        laser.move(1)
        later(lambda: lock._connection.busy.acquire() and setattr(lock._connection, "user", None))()
        with pytest.raises(ferrolab.TimeoutError) as caught:
            laser.move.with_timeout(0.2)(1)
        assert caught.value.outcome == "not started"
        lock._connection.busy.release()
        assert laser.move(1)


def test_an_interrupt_while_a_lock_is_taken_leaves_none(lab, stranger, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    laser = lab["lab.laser"]
    monkeypatch.setattr("ferrolab.client.lock.keep", interrupt)
    with pytest.raises(KeyboardInterrupt), laser.locked():
        pass
    assert state(stranger["lab.laser"]) == "free"
    assert laser.move(1)


def test_a_lock_ends_whose_connection_an_interrupted_call_has_left_busy(lab, stranger):
    with lab["lab.laser"].locked() as lock:
        lab["lab.laser"].move(1)
        lock._connection.busy.acquire()
    assert state(stranger["lab.laser"]) == "free"


def test_a_lock_at_the_end_of_python(lab, monkeypatch):
    """There no thread can be started that looks after it."""

    def refuse(_):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr("ferrolab.client.keeper._keepers", {})
    monkeypatch.setattr("threading.Thread.start", refuse)
    with lab["lab.laser"].locked():
        assert lab["lab.laser"].move(1)


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
    wait_for(lambda: other.move(1), NEVER, "its safe state has run", ConnectionRefusedError)
    assert laser.move(1)


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
