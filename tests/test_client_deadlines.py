"""Deadlines of our client's calls: the daemon begins none that is over, and says so."""

import asyncio
import signal
import time

import ferrolab
import numpy
import pytest
from harness import NEVER, wait_for
from harness.clients import every_server, every_server_running
from harness.lab import new_lab
from harness.liar import Liar
from harness.locks import later


CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {servertype: multiplex}
services:
  t.wire: {module: wire, classname: Wire, daemon: bench, instancemode: single}
  t.limited: {module: wire, classname: Wire, daemon: bench, instancemode: single, call_timeout: 5m}
autolaunch: {daemons: [bench]}
"""


@pytest.fixture(scope="module")
def lab():
    with new_lab() as made:
        made.config(CONFIGURATION)
        made.up()
        yield made


@pytest.fixture(params=["t.wire", "t.limited"])
def uri(lab, request):
    return lab.uri(request.param)


def connect(uri, **settings):
    return ferrolab.Proxy(uri, **{"connect_timeout": NEVER, **settings})


async def note_in_time(uri, seconds):
    async with ferrolab.AioProxy(uri, connect_timeout=NEVER) as proxy:
        return await proxy.note.with_timeout(seconds)("late")


@pytest.mark.parametrize("call", [
    lambda uri: connect(uri).note.with_timeout(1)("late"),
    lambda uri: connect(uri, timeout=1).note("late"),
    lambda uri: asyncio.run(note_in_time(uri, 1)),
])  # fmt: skip
def test_a_call_that_waits_for_its_turn_is_not_begun_after_its_deadline(lab, uri, call, tmp_path):
    def is_told():
        """On a busy machine the daemon's answer may come after the client has given up."""
        with pytest.raises(ferrolab.TimeoutError) as caught:
            call(uri)
        return caught.value.outcome == "not started" and "has not begun" in str(caught.value)

    with connect(uri) as busy, connect(uri) as look:
        look.clear()
        gate = tmp_path / "gate"
        held = later(lambda: busy.hold("first", str(gate)))
        # A multiplex daemon has no turn for a look at its notes.
        wait_for(lambda: "hold" in lab.run("calls").stdout, NEVER, "the first call has its turn")
        wait_for(is_told, NEVER, "it is told that the call has not begun")
        gate.touch()
        held()
        assert look.notes() == [("begin", "first"), ("end", "first")]
        assert look.note.with_timeout(NEVER)("in time") == 3


def test_a_call_that_runs_at_its_deadline_is_unknown(uri, tmp_path):
    with connect(uri) as made:
        # Connects, and makes the instance: the next call begins at once.
        made.clear()
        gate = tmp_path / "gate"
        with pytest.raises(ferrolab.TimeoutError) as caught:
            made.hold.with_timeout(20)("long", str(gate))
        assert caught.value.outcome == "unknown"
        gate.touch()
        wait_for(lambda: made.notes() == [("begin", "long"), ("end", "long")], NEVER, "it has run")


@pytest.fixture(scope="module")
def servers():
    with every_server_running() as running:
        yield running


@pytest.fixture
def server(servers, request):
    return servers[request.param]


@every_server
def test_a_deadline_changes_no_call(server):
    """Arrays too; the driver does not see it, and a daemon of Pyro5 gets none."""
    with server.connect() as made:
        assert made.echo.with_timeout(NEVER)(1, two=2) == [[1], {"two": 2}]
        assert made.context.with_timeout(NEVER)()["annotations"] == {}
        if server.ours:
            array = numpy.arange(100_000, dtype="f8")
            assert numpy.array_equal(made.echo.with_timeout(NEVER)(array)[0][0], array)


def test_signals_do_not_lengthen_a_timeout():
    """The kernel's own limit on a receive begins anew with each."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        with Liar(lambda sock, seq, payload: None) as server, connect(server.uri) as made:
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
            for size in (1, 1 << 25):
                began = time.monotonic()
                with pytest.raises(ferrolab.TimeoutError):
                    made.echo.with_timeout(0.5)(bytes(size))
                assert time.monotonic() - began >= 0.5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
