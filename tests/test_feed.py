"""The feed of a daemon's events, as stock Pyro5 clients read it, and that nobody waits for them."""

import threading

import pytest
from harness import NEVER, wait_for
from harness.outcome import proxy
from Pyro5.errors import CommunicationError, PyroError

FEED = "ferrolab.Feed"
CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {classname: LockableDaemon, servertype: $servertype, threadpool_size: 2, slow_call: 300ms}}
services:
  lab.patient:
    {module: patient, classname: Patient, daemon: bench, instancemode: single, expose: [identify, position, move],
     arguments: ["$folder"], read_while_locked: [position]}
autolaunch: {daemons: [bench]}
"""
SERVERTYPES = ["thread", "multiplex"]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "instrument"
    path.mkdir()
    yield path
    (path / "moved").touch()


def start(lab, folder, servertype):
    lab.config(CONFIGURATION, folder=folder, servertype=servertype)
    lab.up()


def feed(lab):
    """A proxy of the feed of the daemon."""
    return proxy(f"PYRO:{FEED}@" + lab.uri("lab.patient").partition("@")[2])


class Reader:
    """A reader of the feed, from now on."""

    def __init__(self, proxy):
        self.proxy = proxy
        latest = proxy.latest()
        self.epoch, self.next = latest["epoch"], latest["next"]
        self.events, self.lost = [], 0

    def read(self, wait=1):
        batch = self.proxy.events(self.next - 1, wait)
        assert batch["epoch"] == self.epoch
        numbers = [event["n"] for event in batch["events"]]
        assert numbers == sorted(numbers) and all(number >= self.next for number in numbers)
        self.next, self.lost = batch["next"], self.lost + batch["lost"]
        self.events += batch["events"]
        return self.events

    def wait_for(self, kind, **facts):
        """The first event of this kind with these facts."""

        def found():
            events = [event for event in self.read() if event["kind"] == kind]
            return next((event for event in events if facts.items() <= event.items()), None)

        return wait_for(found, NEVER, f"{kind} {facts}")


@pytest.mark.parametrize("servertype", SERVERTYPES)
def test_locks_calls_and_states_are_told_in_order(lab, folder, servertype):
    start(lab, folder, servertype)
    with feed(lab) as reading:
        reader = Reader(reading)
        with lab.proxy("lab.patient") as owner:
            owner.identify()
            assert owner.lock("ada")
            locked = reader.wait_for("lock", service="lab.patient", owner="ada", waiting=0)
            assert locked["state"] == "locked" and locked["epoch"] > 0 and locked["t"] > 1e9
            (folder / "broken").touch()
            with pytest.raises(OSError, match="the handle is stale"):
                owner.identify()
            # The first call is reported too if it was slow.
            stale = {"member": "identify", "error": "OSError: the handle is stale"}
            raised = reader.wait_for("call", state="ended", service="lab.patient", **stale)
            assert raised["user"] == "ada"
            moving = threading.Thread(target=move, args=(lab,))
            owner.unlock()
            moving.start()
            slow = reader.wait_for("call", state="slow", service="lab.patient", member="move")
            assert slow["seconds"] >= 0.3 and slow["error"] is None
            # A reader has neither a turn nor a place among the connections.
            assert reader.proxy.events(0, 0)["next"] == reader.next
            (folder / "moved").touch()
            moving.join()
            reader.wait_for("call", state="ended", service="lab.patient", member="move", error=None)
        assert reader.wait_for("lock", service="lab.patient", owner=None)["state"] == "free"
        assert reader.lost == 0


def move(lab):
    with lab.proxy("lab.patient") as mover:
        mover.move()


def read_for_long(reader):
    reader.proxy._pyroClaimOwnership()
    with reader.proxy:
        reader.read(30)


@pytest.mark.parametrize("servertype", SERVERTYPES)
def test_readers_are_no_clients(lab, folder, servertype):
    start(lab, folder, servertype)
    uri = lab.uri("lab.patient")
    readers = [threading.Thread(target=read_for_long, args=(Reader(feed(lab)),)) for _ in range(4)]
    for reader in readers:
        reader.start()
    # Of two places in the pool of a `thread` daemon, both are free.
    with proxy(uri) as one, proxy("PYRO:Pyro.Daemon" + uri[uri.index("@") :]) as daemon:
        assert one.identify()
        assert FEED not in daemon.registered() and FEED not in daemon.info()
        with feed(lab) as reading:
            reading.latest()
            # Such a connection is for nothing else.
            with pytest.raises(CommunicationError, match=f"made to read '{FEED}'"):
                reading._pyroInvoke("identify", (), {}, objectId="lab.patient")
    assert FEED not in lab.run("calls").stdout
    assert lab.run("status").returncode == 0
    # Nor do they keep anything from being stopped.
    lab.run("down")
    for reader in readers:
        reader.join()


def test_what_a_reader_asks_for_is_checked(lab, folder):
    start(lab, folder, "thread")
    with feed(lab) as reading:
        for arguments in [(), ("x",), (-1,), (0, -1), (0, "x"), (0, float("nan")), (0, 1, 2)]:
            with pytest.raises((ValueError, TypeError)):
                reading.events(*arguments)
        with pytest.raises(AttributeError):
            reading._pyroInvoke("publish", (), {})
        assert reading.events(10**9, 30)["events"] == []


def test_another_process_has_another_epoch(lab, folder):
    start(lab, folder, "thread")
    with feed(lab) as reading:
        first = Reader(reading)
        lab.run("restart", "daemon", "bench")

        def again():
            with feed(lab) as reading:
                return reading.events(first.next - 1, 0)

        assert wait_for(again, NEVER, "the feed is back", PyroError)["epoch"] != first.epoch
