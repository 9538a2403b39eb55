"""Drivers that kill or block their process: neighbours serve, and the worker comes back."""

import os
import signal
import statistics
import threading
import time
from pathlib import Path

import pytest
from harness import EXTENDED, NEVER, proxy, wait_for, within
from harness.processes import age, alive, describe, kill
from Pyro5.errors import DaemonError, PyroError

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"], env: {HAZARD_FILE: "$file"}}
daemons:
  bench: {host: localhost, servertype: $servertype}
services:
  lab.hazard: {module: hazard, classname: Hazard, daemon: bench}
  lab.beside: {module: counter, classname: Counter, instancemode: single, daemon: bench}
  lab.watched: {module: hazard, classname: Hazard, daemon: bench, isolate: true, watchdog: 10}
  lab.other: {module: counter, classname: Counter, instancemode: single, daemon: bench, isolate: true}
  lab.off: {module: hazard, classname: FailsToStart, daemon: bench, isolate: true}
  lab.later: {module: hazard, classname: StartsLater, daemon: bench, isolate: true}
  lab.exits: {module: hazard, classname: ExitsAtStart, daemon: bench, isolate: true}
  lab.import: {module: broken_import, classname: Anything, daemon: bench, isolate: true}
  lab.syntax: {module: broken_syntax, classname: Anything, daemon: bench, isolate: true}
autolaunch: {daemons: [bench]}
"""
# From a worker's first death to the first answer of the next one.
BACK = 1.0


def start(lab, servertype):
    lab.instrument = lab.files / "instrument"
    lab.instrument.unlink(missing_ok=True)
    lab.config(CONFIGURATION, file=lab.instrument, servertype=servertype)
    # The services that are broken on purpose make it exit 1.
    lab.up(check=False)
    lab.wait_until_loaded()
    return lab


@pytest.fixture(scope="module", params=["thread", "multiplex"])
def running(module_lab, request):
    module_lab.run("down")
    return start(module_lab, request.param)


@pytest.fixture
def other(running):
    """A client of the neighbour calls all the while; no call of its may fail."""
    errors, calls, stop = [], [0], threading.Event()
    uri = running.uri("lab.other")

    def call():
        with proxy(uri) as counter:
            identity = counter.who()
            while not stop.is_set():
                try:
                    assert counter.who() == identity, "the neighbour was restarted"
                    calls[0] += 1
                except Exception as error:
                    errors.append(error)
                    return

    thread = threading.Thread(target=call)
    thread.start()
    yield calls
    before = calls[0]
    try:
        if not errors:
            wait_for(lambda: calls[0] > before or errors, 10, "the neighbour still answers")
    finally:
        stop.set()
        thread.join()
    assert not errors, errors


def back(uri, old):
    """Waits until a service is served by another process than `old`; how long that took."""
    start = time.monotonic()

    def another():
        with proxy(uri) as hazard:
            return hazard.pid() != old

    wait_for(another, 20, "the worker is back", PyroError)
    return time.monotonic() - start


DEATHS = {
    "os._exit": (lambda hazard: hazard.exit(7), "exited with code 7", "'exit'"),
    "os._exit(0)": (lambda hazard: hazard.exit(0), "exited with code 0", "'exit'"),
    "segfault": (lambda hazard: hazard.segfault(), "was killed by SIGSEGV", "'segfault'"),
    "abort": (lambda hazard: hazard.abort(), "was killed by SIGABRT", "'abort'"),
    "SIGKILL": (lambda hazard: hazard.signal(signal.SIGKILL), "was killed by SIGKILL", "'signal'"),
    "memory in C": (
        lambda hazard: hazard.exhaust_memory_in_c(200),
        "was killed by SIGSEGV",
        "'exhaust_memory_in_c'",
    ),
    "stack": (lambda hazard: hazard.recurse_in_c(), "was killed by SIGSEGV", "'recurse_in_c'"),
}


@pytest.mark.parametrize("name", DEATHS)
def test_a_death_is_told_and_mended_beside_a_neighbour(running, other, name):
    call, fate, member = DEATHS[name]
    uri = running.uri("lab.hazard")
    with running.proxy("lab.hazard") as hazard:
        pid = hazard.pid()
        # A death soon after the last one counts as one of a row, which is started later.
        with pytest.raises(DaemonError) as caught:
            call(hazard)
        text = str(caught.value)
        for part in ("lab.hazard", fate, member, "being restarted"):
            assert part in text, text
        back(uri, pid)
        assert hazard.pid() != pid, "the same connection goes on"
    assert not alive(pid)
    with running.proxy("lab.beside") as beside:
        wait_for(lambda: beside.who(), NEVER, "what shared the worker is back too", DaemonError)


def test_the_first_death_is_mended_within_a_second(lab):
    start(lab, "thread")
    with lab.proxy("lab.hazard") as hazard:
        pid = hazard.pid()
        with pytest.raises(DaemonError):
            hazard.exit(1)
    took = back(lab.uri("lab.hazard"), pid)
    print(f"\nback after the first death: {took:.3f} s")
    assert took <= within(BACK)


KILLS = 200 if EXTENDED else 6
# A run that was of use for so long is started again at once when it ends.
USEFUL = 1.1


@pytest.mark.timeout(1800)
def test_many_deaths_under_load_are_mended_within_a_second(running, other):
    """With `--extended` 200, as many as are promised."""
    uri, times, gone = running.uri("lab.hazard"), [], set()

    def load():
        while not stop.is_set():
            try:
                with proxy(uri) as hazard:
                    while not stop.is_set():
                        hazard.pid()
            except PyroError:
                pass  # in flight at a death, or between two lives

    stop = threading.Event()
    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(KILLS):
            with running.proxy("lab.hazard") as hazard:
                pid = hazard.pid()
                (child,) = hazard.spawn(1)
                gone.update([child, pid])
                wait_for(lambda child=child: age(child) > USEFUL, 5, "it was of use for a while")
                if number % 3 == 0:
                    kill(pid)
                else:
                    with pytest.raises(DaemonError):
                        hazard.segfault() if number % 3 == 1 else hazard.exit(1)
            times.append(back(uri, pid))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    print(f"\nback after {KILLS} deaths: median {statistics.median(times):.3f} s, max {max(times):.3f} s")
    assert max(times) <= within(BACK)
    wait_for(lambda: not any(map(alive, gone)), 5, "no process is left of them")


def test_sys_exit_ends_the_call_and_not_the_worker(running, other):
    with running.proxy("lab.hazard") as hazard:
        pid = hazard.pid()
        with pytest.raises(DaemonError, match="'leave' of service 'lab.hazard' raised SystemExit"):
            hazard.leave(3)
        assert hazard.pid() == pid


def test_a_driver_does_not_stop_its_daemon(running, other):
    with running.proxy("lab.hazard") as hazard:
        pid = hazard.pid()
        with pytest.raises(DaemonError, match="ferrolab stop daemon"):
            hazard.stop_the_daemon()
        with pytest.raises(AttributeError, match="register, unregister"):
            hazard.look_into_the_daemon()
        assert hazard.pid() == pid


def test_memory_that_python_runs_out_of_is_an_error_of_the_call(running, other):
    with running.proxy("lab.hazard") as hazard:
        pid = hazard.pid()
        with pytest.raises(MemoryError):
            hazard.exhaust_memory(200)
        assert hazard.give_memory_back()
        assert hazard.pid() == pid


def test_binary_on_stdout_and_closed_descriptors_reach_no_frame(running, other):
    with running.proxy("lab.hazard") as hazard:
        pid = hazard.pid()
        assert hazard.print_binary() == "printed"
        assert hazard.close_descriptors() == "closed"
        assert hazard.break_the_streams() == "broken"
        with running.proxy("lab.hazard") as new:
            assert new.pid() == pid, "the worker serves new connections as well"
        with pytest.raises(DaemonError):
            hazard.exit(1)
    back(running.uri("lab.hazard"), pid)


def test_children_go_with_the_worker(running, other):
    with running.proxy("lab.hazard") as hazard:
        pid = hazard.pid()
        children = hazard.spawn(4)
        assert all(alive(child) for child in children)
        with pytest.raises(DaemonError):
            hazard.signal(signal.SIGKILL)
    wait_for(lambda: not any(map(alive, children)), 5, "the worker's children are gone")
    back(running.uri("lab.hazard"), pid)


def test_a_held_interpreter_is_killed_by_its_watchdog(running, other):
    with running.proxy("lab.watched") as hazard:
        pid = hazard.pid()
        start = time.monotonic()
        with pytest.raises(DaemonError) as caught:
            hazard.hold_the_interpreter(600)
        assert time.monotonic() - start < within(20)
        text = str(caught.value)
        assert "lab.watched" in text and "'hold_the_interpreter'" in text, text
        assert "for 10s" in text, text
    back(running.uri("lab.watched"), pid)
    assert not alive(pid)


def test_a_watchdog_leaves_long_calls_alone(running):
    with running.proxy("lab.watched") as hazard:
        pid = hazard.pid()
        assert hazard.spin(15) == "done"
        assert hazard.pid() == pid


def test_down_ends_what_does_not_listen(lab):
    start(lab, "thread")
    with lab.proxy("lab.hazard") as hazard, lab.proxy("lab.watched") as watched:
        assert hazard.disable_signals() == "deaf"
        children = hazard.spawn(4)
        watched._pyroTimeout = 0.3
        with pytest.raises(PyroError):
            watched.hold_the_interpreter(600)
    lab.down()
    lab.assert_nothing_left(timeout=2)
    wait_for(lambda: not any(map(alive, children)), 10, "their children are gone")


def test_children_go_with_a_daemon_that_is_killed(lab):
    start(lab, "thread")
    with lab.proxy("lab.hazard") as hazard, lab.proxy("lab.watched") as watched:
        children = hazard.spawn(4) + [hazard.pid(), watched.pid()]
        watched._pyroTimeout = 0.3
        with pytest.raises(PyroError):
            watched.hold_the_interpreter(600)
        kill(lab.entry("daemons", "bench")["pid"])
    wait_for(lambda: not any(map(alive, children)), 5, "workers and their children are gone")


FAILURES = {
    "lab.off": (OSError, "the instrument is off", "hazard.py"),
    "lab.exits": (DaemonError, "SystemExit", "hazard.py"),
    "lab.import": (DaemonError, "lab.import", "broken_import.py"),
    "lab.syntax": (DaemonError, "SyntaxError", "broken_syntax.py"),
}


@pytest.mark.parametrize("service", FAILURES)
def test_what_cannot_start_is_told_to_its_callers_and_by_ps(running, other, service):
    error, said, file = FAILURES[service]
    with pytest.raises(Exception) as caught, running.proxy(service) as broken:
        broken._pyroInvoke("read", (), {})
    if service in ("lab.off", "lab.exits"):
        assert isinstance(caught.value, error), caught.value
        assert file in "".join(caught.value._pyroTraceback)
    assert said in str(caught.value), caught.value
    row = running.wait_for_status("services", service, "failed")
    assert row["error"], row
    if service in ("lab.import", "lab.syntax"):
        assert row["python"] in row["error"], "the interpreter's path helps to find the cause"


def test_a_constructor_that_has_failed_is_tried_with_every_call(running, other):
    with running.proxy("lab.later") as later:
        with pytest.raises(OSError):
            later.read()
        running.wait_for_status("services", "lab.later", "failed")
        running.instrument.touch()
        assert later.read() == 1
    running.wait_for_status("services", "lab.later", "running")


def test_every_service_shows_the_python_it_runs_in(running):
    for row in running.ps()["services"]:
        assert row["python"], row
        assert row["python"].startswith("/"), row


def test_a_worker_and_its_guard_are_children_of_their_daemon(running):
    daemon = running.entry("daemons", "bench")["pid"]

    def guards():
        processes = [process for process in running.processes() if "ferrolab-guard" in process.command]
        return [process for process in processes if os.getpgid(process.pid) == worker]

    with running.proxy("lab.other"), running.proxy("lab.hazard") as hazard:
        worker = hazard.pid()
        assert describe(worker).parent == daemon
        assert [guard.parent for guard in guards()] == [daemon]
        assert hazard.wait_for_children() == 1, "the guard is none of the driver's"
        with pytest.raises(DaemonError):
            hazard.exit(1)
    back(running.uri("lab.hazard"), worker)
    # The daemon has reaped what it started: nothing is left for PID 1 to do, which may not do it.
    wait_for(lambda: not zombies_of(daemon), 10, "no child of the daemon is a zombie")


def zombies_of(parent):
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, of = file.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state == "Z" and int(of) == parent:
            found.append(file.parent.name)
    return found
