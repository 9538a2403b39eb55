"""Killed processes come back, and none outlives its parent."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import Pyro5.api
import Pyro5.errors
import pytest
from harness import NEVER, free_port, proxy, wait_for
from harness.lab import SLOW_DRIVER
from harness.processes import alive, describe, kill

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: localhost, ns_port: $ns_port}
daemons:
  bench: {host: localhost, nameservers: [local]}
  other: {host: localhost}
services:
  lab.mirror: {module: mirror, classname: Mirror, daemon: bench, nameservers: [local]}
  lab.single: {module: counter, classname: Counter, daemon: bench, instancemode: single, nameservers: [local]}
  lab.other: {module: counter, classname: Counter, daemon: other, instancemode: single, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench, other]}
"""
# Until a client may be served again: a restart at once, a Python worker, some slack.
RECOVERY = 20


def locate(lab):
    return Pyro5.api.locate_ns("localhost", lab.ns_port)


def uris(lab):
    return {entry["name"]: entry["uri"] for entry in lab.ps()["services"]}


def answers(uri):
    with proxy(uri, timeout=10) as mirror:
        return mirror.same("alive") == "alive"


def wait_until_served(uri):
    return wait_for(lambda: answers(uri), RECOVERY, f"{uri} is served", Pyro5.errors.PyroError)


def test_a_killed_daemon_comes_back_under_its_uri_and_name(running):
    before = uris(running)
    daemon = running.entry("daemons", "bench")
    with running.proxy("lab.other") as neighbour, running.proxy("lab.mirror") as mirror:
        identity = neighbour.who()
        assert mirror.same(1) == 1
        kill(daemon["pid"])

        def restarted():
            entry = running.entry("daemons", "bench")
            return entry["status"] == "running" and entry["pid"] != daemon["pid"] and entry

        entry = wait_for(restarted, RECOVERY, "the daemon runs again")
        assert entry["restarts"] == 1
        assert entry["uri"] == daemon["uri"]
        # A client finds out by one error, and goes on with the proxy that it has.
        with pytest.raises(Pyro5.errors.CommunicationError):
            mirror.same(2)
        wait_until_served(before["lab.mirror"])
        mirror._pyroReconnect(tries=3)
        assert mirror.same(3) == 3
        assert neighbour.who() == identity
    assert uris(running) == before
    running.wait_for_names(running.ns_port, ["lab.mirror"])
    with locate(running) as nameserver:
        assert str(nameserver.lookup("lab.mirror")) == before["lab.mirror"]
    assert running.entry("daemons", "other")["restarts"] == 0


def test_a_daemons_workers_die_with_it(running):
    daemon = running.entry("daemons", "bench")["pid"]
    workers = [process.pid for process in running.processes() if process.parent == daemon]
    assert workers, "a Python driver lives in a process of its own"
    kill(daemon)
    wait_for(lambda: not any(map(alive, workers)), 2, "no worker outlives its daemon by 2 s")


def test_a_killed_worker_takes_nothing_else_along(running):
    """The daemon keeps its socket and its name, and makes a new worker."""
    daemon = running.entry("daemons", "bench")
    uri = running.uri("lab.mirror")
    wait_until_served(uri)
    for process in running.processes():
        if process.parent == daemon["pid"]:
            kill(process.pid)
    wait_until_served(uri)
    assert running.entry("daemons", "bench")["pid"] == daemon["pid"]
    assert running.uri("lab.mirror") == uri


def test_a_killed_nameserver_learns_the_names_again(running):
    before = running.entry("nameservers", "local")
    with running.proxy("lab.mirror") as mirror:
        mirror._pyroBind()
        kill(before["pid"])

        def restarted():
            entry = running.entry("nameservers", "local")
            return entry["status"] == "running" and entry["pid"] != before["pid"]

        wait_for(restarted, RECOVERY, "the nameserver runs again")
        assert mirror.same(1) == 1, "a connected client does not notice"

    running.wait_for_names(running.ns_port, ["bench", "lab.mirror", "lab.single", "lab.other"])


def test_nothing_outlives_a_killed_supervisor_and_up_works_again(running):
    before = uris(running)
    kill(running.supervisor())
    running.assert_nothing_left(timeout=2, what="no orphan 2 s after the supervisor's death")
    running.up()
    wait_until_served(before["lab.mirror"])
    assert uris(running) == before
    running.wait_for_names(running.ns_port, ["lab.mirror"])
    with locate(running) as nameserver:
        assert str(nameserver.lookup("lab.mirror")) == before["lab.mirror"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_supervisor_is_a_down(running, stop):
    os.kill(running.supervisor(), stop)
    running.assert_nothing_left(timeout=15, what=f"{stop.name} stops the lab")


def test_a_driver_hears_of_the_end(lab):
    """`down` lets a driver close its instrument before its process ends."""
    record = lab.files / "closed.txt"
    text = (
        'python: {executable: "$python", path: ["$drivers"]}\n'
        "daemons:\n  bench: {}\n"
        "services:\n"
        "  lab.recording: {module: recording, classname: Recording, daemon: bench,"
        f' instancemode: single, parameters: {{file: "{record}"}}}}\n'
        "autolaunch: {daemons: [bench]}\n"
    )
    lab.config(text)
    lab.up()
    with lab.proxy("lab.recording") as recording:
        recording.autoconnect()
        assert not record.exists()
        lab.down()
    assert record.read_text() == "closed"


def test_ten_at_once_are_one_lab(lab):
    lab.config(CONFIGURATION, ns_port=free_port())
    with ThreadPoolExecutor(10) as pool:
        results = list(pool.map(lambda _: lab.up(check=False), range(10)))
    for result in results:
        assert result.returncode == 0 or SLOW_DRIVER in result.text, result.text
    lab.wait_until_loaded()
    status = lab.ps()
    supervisors = {
        describe(entry["pid"]).parent for entry in status["daemons"] + status["nameservers"]
    }
    assert len(supervisors) == 1, status

    def strangers():
        """The processes of this lab that do not descend from its one supervisor."""
        family, processes = set(supervisors), lab.processes()
        for _ in processes:
            family |= {process.pid for process in processes if process.parent in family}
        return [str(process) for process in processes if process.pid not in family]

    # A loser of the race may need a moment to end, but must not wait for its turn.
    wait_for(lambda: not strangers(), 2, "whoever came too late has ended")
    children = [process for process in lab.processes() if process.parent in supervisors]
    assert len(children) == 3, children
    lab.down()
    lab.assert_nothing_left(timeout=1, what="one `down` is enough")


def test_a_lab_that_was_started_from_a_terminal_outlives_it(lab):
    """`up` puts the lab in the background: a hangup of the terminal's group reaches nobody."""
    lab.config(CONFIGURATION, ns_port=free_port())
    up = lab.start("up")
    said, _ = up.communicate(timeout=NEVER)
    assert up.returncode == 0 or SLOW_DRIVER in said, said
    lab.wait_until_loaded()
    try:
        os.killpg(up.pid, signal.SIGHUP)
    except ProcessLookupError:
        pass  # nobody is left in the group, as it should be
    with lab.proxy("lab.mirror") as mirror:
        assert mirror.same(1) == 1
