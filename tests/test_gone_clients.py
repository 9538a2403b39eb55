"""Clients that give up during a call, and try again: they keep nobody else from being served."""

import threading
from pathlib import Path

import Pyro5.errors
import pytest
from harness import EXTENDED, NEVER, every_servertype, new_lab, wait_for

LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {threadpool_size: 3}
services:
  lab.stuck: {module: stage, classname: Stage, daemon: bench, instancemode: single, arguments: {record: "$record"}}
  lab.other: {module: stage, classname: Stage, daemon: bench, instancemode: single, isolate: true}
autolaunch: {daemons: [bench]}
"""


@pytest.fixture(scope="module")
def running():
    with new_lab() as lab:
        lab.record = lab.files / "record"
        lab.config(LAB, record=str(lab.record))
        lab.up()
        yield lab


def test_a_driver_that_hangs_and_clients_that_try_again_lock_nobody_out(running, tmp_path):
    gate = tmp_path / "gate"

    def try_it():
        """The outcome of one attempt of an impatient client: None if it has given up."""
        with running.proxy("lab.stuck") as stuck:
            stuck._pyroTimeout = 0.5
            try:
                return stuck.wait_for(str(gate))
            except Pyro5.errors.TimeoutError:
                return None
            except Pyro5.errors.PyroError as error:
                return f"{type(error).__name__}: {error}"

    # Until the service takes no more of them: a place for each, and no one else's.
    refusal = wait_for(lambda: (told := try_it()) and "takes no further calls" in told and told, 60, "it is refused")
    assert refusal.startswith("DaemonError: 'lab.stuck' takes no further calls: "), refusal
    assert "of clients that are gone have not ended" in refusal
    ignoring = Pyro5.errors.CommunicationError
    with running.proxy("lab.other") as other:
        assert wait_for(other.move, 30, "its neighbour serves", ignoring) == 1
    count = lambda event: running.record.read_text().count(f"long call {event}")
    wait_for(lambda: count("begins") >= 3, 30, "each call that was let in reaches the driver")
    gate.touch()
    wait_for(lambda: count("ends") == count("begins"), 30, "what they had begun is carried out to its end")
    # A call that was refused on its way has not reached the driver; now it does again.
    assert wait_for(lambda: try_it() == "waited", 30, "it serves again")


LINGERING = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon, servertype: $servertype, iter_stream_linger: 0.5}
services:
  lab.wire: {module: wire, classname: Wire, daemon: bench, instancemode: $mode}
autolaunch: {daemons: [bench]}
"""
# Channels that wait for the next clients, each a thread of the worker and a file at both ends.
ON_STANDBY = 16


@pytest.mark.parametrize("mode", ["single", "session"])
@every_servertype
def test_streams_that_nobody_read_to_their_ends_leave_nothing(lab, servertype, mode):
    """Neither threads nor files: not even those of clients of which nobody knows any more."""
    lab.config(LINGERING, servertype=servertype, mode=mode)
    lab.up()

    def count(what):
        return sum(len(list(Path(f"/proc/{process.pid}/{what}").iterdir())) for process in lab.processes())

    def open_streams(clients):
        kept = []
        for _ in range(clients):
            with lab.proxy("lab.wire") as wire:
                kept.append(wire.numbers(3))
                next(kept[-1])

    open_streams(4)
    before = {what: count(what) for what in ("task", "fd")}
    open_streams(6000 if EXTENDED else 300)
    for what, number in before.items():
        wait_for(lambda: count(what) <= number + 2 * ON_STANDBY, 60, f"no more of {what} than before")
    with lab.proxy("lab.wire") as wire:
        assert list(wire.numbers(3)) == [0, 1, 2]


MANY = 40
# Streams that end at a time: a limit of the daemon.
AT_A_TIME = 16


def test_the_streams_of_a_gone_client_let_the_next_one_lock(lab):
    """Those that end already are waited for, the others end after it."""
    settings = "read_while_locked: [let_end, notes], instancemode"
    lab.config(LINGERING.replace("instancemode", settings), servertype="thread", mode="single")
    lab.up()
    with lab.proxy("lab.wire") as gone:
        streams = [gone.held(3) for _ in range(MANY)]
        for stream in streams:
            next(stream)
    with lab.proxy("lab.wire") as wire, lab.proxy("lab.wire") as other:
        wait_for(lambda: wire.notes().count("closing") == AT_A_TIME, 60, "streams that end")
        granted = []

        def lock():
            with lab.proxy("lab.wire") as ada:
                granted.append(ada.lock("ada", wait=NEVER))
                granted.append(ada.notes())

        asking = threading.Thread(target=lock)
        asking.start()
        wait_for(lambda: other.lock_info()["waiting"], 60, "a client that waits for the lock")
        wire.let_end(AT_A_TIME)
        asking.join()
        assert granted[0] is True
        assert [granted[1].count(what) for what in ("closing", "closed")] == [AT_A_TIME] * 2
        wire.let_end(MANY)
        wait_for(lambda: wire.notes().count("closed") == MANY, 60, "the end of all")
