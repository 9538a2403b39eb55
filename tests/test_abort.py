"""Aborts: `abort` methods are called beside a running call, and the next owner waits for both."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import threading
import time

import ferrolab
import Pyro5.errors
import pytest
from harness import NEVER, new_lab, wait_for, within
from harness.holder import Holder
from harness.processes import alive
from harness.wait import EXTENDED

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  thread: {classname: LockableDaemon}
  multiplex: {classname: LockableDaemon, servertype: multiplex}
  plain: {}
  turns: {servertype: multiplex}
  small: {threadpool_size: 1}
services:
  lab.thread: {$mover, daemon: thread, arguments: {record: "$record.lab.thread"}, read_while_locked: [watch], abort: [stop], on_disconnect: ["off"]}
  lab.multiplex: {$mover, daemon: multiplex, arguments: {record: "$record.lab.multiplex"}, abort: [stop], on_disconnect: ["off"]}
  lab.plain: {$mover, daemon: plain, arguments: {record: "$record.lab.plain"}, abort: [stop]}
  lab.turns: {$mover, daemon: turns, arguments: {record: "$record.lab.turns"}, abort: [stop]}
  lab.small: {$mover, daemon: small, arguments: {record: "$record.lab.small"}, abort: [stop]}
  lab.bounded: {$mover, daemon: thread, call_timeout: 10, arguments: {record: "$record.lab.bounded"}, abort: [stop]}
  lab.restarted: {$mover, daemon: thread, call_timeout: 10, on_timeout: restart, isolate: true, arguments: {record: "$record.lab.restarted"}, abort: [ping]}
  lab.faulty: {$mover, daemon: thread, arguments: {record: "$record.lab.faulty"}, abort: [fail, stop, hang], on_disconnect: ["off"]}
  lab.session: {module: mover, classname: Mover, instancemode: session, daemon: plain, arguments: {record: "$record.lab.session"}, abort: [stop]}
  lab.supply: {native: simulated.power_supply, daemon: thread, abort: ["off"]}
  lab.without: {$mover, daemon: thread, arguments: {record: "$record.lab.without"}}
  lab.misspelt: {$mover, daemon: thread, arguments: {record: "$record.lab.misspelt"}, abort: [stpo]}
autolaunch: {daemons: [thread, multiplex, plain, turns, small]}
"""
# Kills of an owner during its move.
ROUNDS = 200 if EXTENDED else 4


@pytest.fixture(scope="module")
def module():
    with new_lab() as lab:
        lab.record = lab.files / "record"
        for service in re.findall(r"(?m)^  (lab\.\w+): ", CONFIGURATION):
            lab.record.with_name("record." + service).touch()
        mover = "module: mover, classname: Mover, instancemode: single"
        lab.config(CONFIGURATION, mover=mover, record=str(lab.record))
        lab.up()
        yield lab


@pytest.fixture
def running(module):
    for file in module.files.glob("record.*"):
        file.write_text("")
    return module


def notes(lab, service):
    """The notes of the service, with the times."""
    lines = lab.record.with_name("record." + service).read_text().splitlines()
    return [(what, float(at)) for what, at in map(str.split, lines)]


def words(lab, service):
    return [what for what, _ in notes(lab, service)]


def begun(lab, service, what="begin", count=1):
    wait_for(lambda: words(lab, service).count(what) == count, NEVER, f"'{what}' of {service}")


@contextlib.contextmanager
def moving(lab, service, member="move"):
    """A client that moves on a thread; what came of it is in the list."""
    outcome = []

    def move():
        with lab.proxy(service) as mover:
            try:
                outcome.append(getattr(mover, member)())
            except Exception as error:
                outcome.append(error)

    # Of a test that fails, it moves until its lab is taken down.
    thread = threading.Thread(target=move, daemon=True)
    thread.start()
    begun(lab, service)
    yield outcome
    thread.join(NEVER)
    assert not thread.is_alive()


@pytest.mark.parametrize("service", ["lab.thread", "lab.multiplex"])
def test_a_killed_owners_move_is_aborted_and_the_next_owner_waits(running, service):
    uri = running.uri(service)
    for number in range(ROUNDS):
        running.record.with_name("record." + service).write_text("")
        with Holder.having(uri, "ada") as ada, Holder(uri, "eve", wait=NEVER) as eve:
            ada.tell("move")
            begun(running, service)
            killed = time.monotonic()
            ada.process.send_signal(signal.SIGKILL)
            assert eve.answer() == ["returned", True]
            noted = notes(running, service)
            assert [what for what, _ in noted][-1] == "off", f"round {number}: {noted}"
            assert sorted(what for what, _ in noted) == ["begin", "end", "off", "stop", "stopped"]
            assert dict(noted)["stop"] - killed < within(1), f"round {number}"
        # Eve goes without a call that could be aborted.
        begun(running, service, "off", 2)
        assert words(running, service).count("stop") == 1


def break_lock(lab, service):
    lab.run("unlock", "--break", service, "--reason", "the beam is on")


def abort(lab, service):
    said = lab.run("abort", service, "--reason", "it hits the lens", "--user", "bob")
    assert said.stdout == f"aborted: {service} (stop() called)\n"


@pytest.mark.parametrize("service", ["lab.thread", "lab.multiplex"])
@pytest.mark.parametrize(("how", "said"), [(break_lock, "the beam is on"), (abort, "it hits the lens")])
def test_a_move_is_aborted_when_its_owners_lock_is_broken(running, service, how, said):
    with Holder.having(running.uri(service), "ada") as ada, running.proxy(service) as eve:
        ada.tell("move")
        begun(running, service)
        how(running, service)
        assert eve.lock("eve", wait=NEVER) is True
        assert sorted(words(running, service)) == ["begin", "end", "off", "stop", "stopped"]
        assert ada.answer() == ["returned", "stopped"]
        ada.tell("move")
        raised, name, arguments = ada.answer()
        assert (raised, name) == ("raised", "builtins.ConnectionRefusedError")
        assert said in arguments[0]
        assert eve.unlock() is True


@pytest.mark.parametrize("service", ["lab.thread", "lab.multiplex", "lab.plain", "lab.turns", "lab.session", "lab.small"])
def test_an_emergency_stop_needs_no_lock(running, service):
    with moving(running, service) as outcome:
        abort(running, service)
    assert outcome == ["stopped"]
    assert sorted(words(running, service)) == ["begin", "end", "stop", "stopped"]
    wait_for_log(running, service)


def wait_for_log(lab, service):
    lines = lambda: lab.run("logs", "show", "--service", service).stdout
    wait_for(lambda: "it hits the lens" in lines(), NEVER, "the log has the reason")


def abort_by_client(uri):
    return ferrolab.abort(ferrolab.Proxy(uri), "it hits the lens", user="bob")


def abort_by_asyncio(uri):
    async def abort():
        async with ferrolab.AioProxy(uri) as proxy:
            return await ferrolab.abort(proxy, "it hits the lens", user="bob")

    return asyncio.run(abort())


@pytest.mark.parametrize("client", [abort_by_client, abort_by_asyncio])
def test_the_python_client_aborts(running, client):
    uri = running.uri("lab.thread")
    with moving(running, "lab.thread") as outcome:
        assert client(uri) == ["stop"]
    assert outcome == ["stopped"]
    wait_for_log(running, "lab.thread")
    with pytest.raises(ValueError, match="service 'lab.without' has no `abort` methods"):
        client(running.uri("lab.without"))


@pytest.mark.parametrize("member", ["move", "steps"])
@pytest.mark.parametrize("service", ["lab.plain", "lab.turns", "lab.thread", "lab.multiplex"])
def test_without_a_lock_the_move_of_a_client_that_goes_is_aborted(running, service, member):
    mover, connections = running.proxy(service), []

    def drive():
        mover._pyroClaimOwnership()
        mover._pyroBind()
        connections.append(mover._pyroConnection)
        with contextlib.suppress(Pyro5.errors.CommunicationError):
            mover.move() if member == "move" else list(mover.steps())

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    begun(running, service)
    connections[0].sock.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: sorted(words(running, service)) == ["begin", "end", "stop", "stopped"], NEVER, "its abort")
    thread.join(NEVER)


def test_only_the_instance_of_the_client_that_has_gone_is_stopped(running):
    service = "lab.session"
    with Holder(running.uri("lab.session"), "ada") as gone:
        assert gone.answer()[0] == "raised", "it has no lock"
        with moving(running, service) as outcome:
            gone.tell("move")
            begun(running, service, count=2)
            gone.kill()
            wait_for(lambda: "end" in words(running, service), NEVER, "its end")
            assert outcome == [] and words(running, service).count("stop") == 1
            abort(running, service)
        assert outcome == ["stopped"]


def test_what_a_client_has_sent_away_goes_on(running):
    service = "lab.plain"
    with running.proxy(service) as mover:
        mover.drift()
        begun(running, service)
    with running.proxy(service) as other:
        other.ping()
    assert words(running, service) == ["begin"]
    abort(running, service)
    begun(running, service, "end")


def test_a_reader_that_goes_stops_nobody(running):
    service, uri = "lab.thread", running.uri("lab.thread")
    with Holder.having(uri, "ada") as ada:
        ada.tell("move")
        begun(running, service)
        with Holder(uri, "eve") as eve:
            assert eve.answer()[0] == "raised", "ada has the lock"
            eve.tell("watch")
            begun(running, service, "watch")
        with running.proxy(service) as look:
            assert look.lock_info()["user"] == "ada"
        assert words(running, service) == ["begin", "watch"]
    begun(running, service, "off")


def test_a_token_keeps_the_move_as_it_keeps_the_lock(running):
    service, uri = "lab.thread", running.uri("lab.thread")
    with Holder.having(uri, "ada", token="secret", ttl=600) as ada:
        ada.tell("move")
        begun(running, service)
    with running.proxy(service) as look:
        wait_for(lambda: look.lock_info()["away"], NEVER, "she is away")
        assert words(running, service) == ["begin"]
        assert look.unlock(token="secret") is True
        begun(running, service, "off")


def test_a_move_that_takes_too_long_is_aborted(running):
    service = "lab.bounded"
    with moving(running, service) as outcome:
        pass
    (error,) = outcome
    assert type(error) is TimeoutError and "'move' of service 'lab.bounded' is aborted" in str(error)
    begun(running, service, "end")
    assert "stop" in words(running, service)


def test_a_restart_comes_when_the_abort_was_in_vain(running):
    service = "lab.restarted"
    with moving(running, service) as outcome:
        pass
    assert "restart of its process if that is in vain" in str(outcome[0])
    killed = "took longer than its `call_timeout`"
    wait_for(lambda: killed in running.run("logs", "show", "--service", service).stdout + running.run("logs", "show", "--entry", "thread").stdout, NEVER, "a restart")
    assert "end" not in words(running, service)


def test_a_stop_that_hangs_or_raises_is_shown_and_keeps_nobody_for_ever(running):
    service, uri = "lab.faulty", running.uri("lab.faulty")
    error = lambda: running.entry("services", service)["error"] or ""
    with Holder.having(uri, "ada") as ada, Holder(uri, "eve", wait=NEVER) as eve:
        ada.tell("move")
        begun(running, service)
        ada.kill()
        begun(running, service, "hang")
        assert words(running, service)[:3] == ["begin", "fail", "stop"]
        # It hangs on, and eve gets the lock.
        assert eve.answer() == ["returned", True]
        assert "off" in words(running, service) and "hung" not in words(running, service)
    shown = wait_for(lambda: "hang()" in error() and error(), NEVER, "it is shown")
    assert "abort: fail() raised RuntimeError: the controller does not listen" in shown
    assert "abort: hang() has not returned within 10 s" in shown
    assert "hang() has not returned" in running.run("status", check=False).text
    running.record.with_name(f"record.{service}.gate").touch()
    wait_for(lambda: "hang()" not in error(), NEVER, "it has ended after all")


def test_a_native_service_is_aborted(running):
    with running.proxy("lab.supply") as supply:
        supply.on()
        done = json.loads(running.run("abort", "lab.supply", "--json", "--user", "bob").stdout)
        assert done == {"aborted": "lab.supply", "by": "bob", "reason": "emergency stop", "called": ["off"], "troubles": []}
        assert supply.output is False


def test_an_abort_is_refused_where_there_is_nothing_to_call(running):
    without = running.run("abort", "lab.without", check=False)
    assert without.returncode == 1 and "'lab.without' has no `abort` methods" in without.text
    unknown = running.run("abort", "lab.treahd", check=False)
    assert unknown.returncode == 1
    untouched = running.run("abort", "lab.thread")
    assert untouched.returncode == 0


def test_a_method_that_there_is_not_is_told_of_when_the_class_is_loaded(running):
    entry = running.entry("services", "lab.misspelt")
    assert entry["error"] == "abort: Mover has no method 'stpo'; did you mean 'stop'?"


def words_at_the_end_of_its_daemon(lab, service, number):
    """The notes of a service about a move whose daemon gets this signal."""
    daemon = service.removeprefix("lab.")
    lab.record.with_name("record." + service).write_text("")
    pid = lab.wait_for_status("daemons", daemon, "running")["pid"]
    is_its = lambda one: one.parent == pid and one.command.endswith(f"ferrolab-worker {daemon}")
    worker = wait_for(lambda: next(filter(is_its, lab.processes()), None), NEVER, "its worker runs").pid
    with Holder.having(lab.uri(service), "ada") as ada:
        ada.tell("move")
        begun(lab, service)
        os.kill(pid, number)

        wait_for(lambda: "off" in words(lab, service) or not alive(worker), NEVER, "its safe state")
        return words(lab, service)


@pytest.mark.parametrize("service", ["lab.thread", "lab.multiplex"])
@pytest.mark.parametrize("ends", ["killed", "stopped"])
def test_the_end_of_its_daemon_aborts_a_move(lab, service, ends):
    lab.record = lab.files / "record"
    lab.record.with_name("record." + service).touch()
    lab.config(CONFIGURATION, mover="module: mover, classname: Mover, instancemode: single", record=str(lab.record))
    lab.up()
    number = signal.SIGKILL if ends == "killed" else signal.SIGTERM
    noted = words_at_the_end_of_its_daemon(lab, service, number)
    # Its worker has parts of a second, which a busy machine may not give it.
    for _ in range(0 if EXTENDED else ROUNDS):
        if "off" in noted:
            break
        lab.restart("daemon", service.removeprefix("lab."), "--force")
        noted = words_at_the_end_of_its_daemon(lab, service, number)
    assert noted[0] == "begin" and sorted(noted[1:4]) == ["end", "stop", "stopped"], noted
    assert noted[4:] == ["off"]


def test_without_methods_an_abort_says_so_while_a_call_has_the_turn(lab):
    lab.config(
        'python: {executable: "$python", path: ["$drivers"]}\n'
        "daemons: {bench: {servertype: multiplex}}\n"
        "services: {lab.hazard: {module: hazard, classname: Hazard, daemon: bench}}\n"
        "autolaunch: {daemons: [bench]}\n"
    )
    lab.up()

    def call():
        with lab.proxy("lab.hazard") as hazard, contextlib.suppress(Pyro5.errors.PyroError):
            hazard.signal(0)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        wait_for(lambda: "signal" in lab.run("calls").stdout, NEVER, "the call runs")
        said = lab.run("abort", "lab.hazard", check=False)
        assert said.returncode == 1 and "'lab.hazard' has no `abort` methods" in said.text
    finally:
        lab.run("down", "--force")
        thread.join(NEVER)
