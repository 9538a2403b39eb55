"""A lab with lockable services in every mode, and helpers, for the tests of locks."""

import contextlib
import threading

import pytest

from .lab import new_lab
from .wait import NEVER, wait_for

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon, threadpool_size: 200}
  turns: {classname: LockableDaemon, servertype: multiplex}
  small: {classname: LockableDaemon, threadpool_size: 3}
services:
  lab.stage:
    module: stage
    classname: Stage
    daemon: bench
    instancemode: single
    arguments: {record: "$record"}
    read_while_locked: [position, temperature, moves]
  lab.session: {module: stage, classname: Stage, daemon: bench, instancemode: session, arguments: {record: "$record.session"}}
  lab.percall: {module: stage, classname: Stage, daemon: bench, instancemode: percall, arguments: {record: "$record.percall"}}
  lab.crowd: {module: stage, classname: Stage, daemon: bench, instancemode: single}
  lab.supply: {native: simulated.power_supply, daemon: bench, on_disconnect: [off]}
  lab.echo: {native: simulated.loopback, daemon: bench, on_disconnect: [echo]}
  lab.turns: {module: stage, classname: Stage, daemon: turns, instancemode: single, arguments: {record: "$record.turns"}}
  lab.turns.session: {module: stage, classname: Stage, daemon: turns, instancemode: session, arguments: {record: "$record.turns.session"}}
  lab.turns.percall: {module: stage, classname: Stage, daemon: turns, instancemode: percall, arguments: {record: "$record.turns.percall"}}
  lab.turns.supply: {native: simulated.power_supply, daemon: turns}
  lab.small: {module: stage, classname: Stage, daemon: small, instancemode: single, lock_max_wait: 100, lock_max_ttl: 0}
  lab.turns.other: {module: stage, classname: Stage, daemon: turns, instancemode: single}
autolaunch: {daemons: [bench, turns, small]}
"""
EVERY_MODE = ["lab.stage", "lab.session", "lab.percall", "lab.turns", "lab.turns.session", "lab.turns.percall"]
# A service's record, by what its name has behind `record`.
RECORDS = ["", ".session", ".percall", ".turns", ".turns.session", ".turns.percall"]
REFUSED = "Pyro object is locked (by 'ada')"


@contextlib.contextmanager
def locking_lab():
    """A running lab; `record` is the file in which its stage notes what happens to it."""
    with new_lab() as lab:
        lab.record = lab.files / "record"
        for suffix in RECORDS:
            lab.record.with_name("record" + suffix).touch()
        lab.config(CONFIGURATION, record=str(lab.record))
        lab.up()
        yield lab


def record_of(lab, service):
    """The record of one of EVERY_MODE."""
    suffix = service.removeprefix("lab").removeprefix(".stage")
    return lab.record.with_name("record" + suffix)


@contextlib.contextmanager
def clients(lab, service, number=2):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(lab.proxy(service)) for _ in range(number)]


def refused(function, text=REFUSED):
    with pytest.raises(ConnectionRefusedError) as caught:
        function()
    assert caught.value.args == (text,)


def later(function):
    """Runs a call in a thread; `result()` is what it returned or raised."""
    outcome = []

    def run():
        try:
            outcome.append((True, function()))
        except Exception as error:
            outcome.append((False, error))

    thread = threading.Thread(target=run)
    thread.start()

    def result():
        thread.join(NEVER)
        assert not thread.is_alive(), "the call has not ended"
        done, value = outcome[0]
        if not done:
            raise value
        return value

    result.is_running = thread.is_alive
    return result


def long_call(lab, proxy, gate):
    """A call of `lab.stage` that runs until the file `gate` exists, as from `later`."""
    begun = lambda: lab.record.read_text().count("long call begins")
    before = begun()
    call = later(lambda: own(proxy).wait_for(str(gate)))
    wait_for(lambda: begun() > before, 10, "it runs")
    return call


def waiting(proxy):
    return [waiter["user"] for waiter in proxy.lock_info()["waiting"]]


def wait_until_waiting(proxy, names):
    wait_for(lambda: waiting(proxy) == names, 10, f"{names} wait for the lock")


def own(proxy):
    """Makes a proxy the calling thread's."""
    proxy._pyroClaimOwnership()
    return proxy
