"""Kills at any moment, full disks, many at once: the lab looks after itself.

The ordinary run does a few of each; `cargo xtask test --extended` does as many as are promised,
and prints what it has measured.
"""

import contextlib
import os
import random
import signal
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import Pyro5.errors
import pytest
from harness import EXTENDED, NEVER, free_port, proxy, wait_for, within
from harness.lab import SLOW_DRIVER
from harness.processes import describe, kill, wait_for_some_changes

# Within a test that takes its time.
LONG = pytest.mark.timeout(1800)

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: localhost, ns_port: $ns_port, supervision: {give_up_after: 0, backoff: [0]}}
daemons:
  a: {host: localhost, nameservers: [local], supervision: {give_up_after: 0, backoff: [0]}}
  b: {host: localhost, nameservers: [local], supervision: {give_up_after: 0, backoff: [0]}}
services:
  lab.mirror: {module: mirror, classname: Mirror, daemon: a, nameservers: [local]}
  lab.meter: {native: simulated.multimeter, daemon: b, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [a, b]}
"""


def count(few, many):
    return many if EXTENDED else few


def report(what, figures):
    ordered = sorted(figures)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    print(
        f"\n{what}: n={len(figures)} median={statistics.median(figures):.3f} s p95={p95:.3f} s"
        f" max={ordered[-1]:.3f} s"
    )
    return p95


def answers(uri):
    with proxy(uri, timeout=10) as service:
        service._pyroBind()
        return True


def until_served(uri, timeout=15):
    """Seconds until a stock client is served again."""
    began = time.monotonic()
    wait_for(lambda: answers(uri), timeout, f"{uri} is served", Pyro5.errors.PyroError)
    return time.monotonic() - began


@LONG
def test_a_killed_daemon_is_back_within_a_second_under_its_uri(running):
    uris = {"a": running.uri("lab.mirror"), "b": running.uri("lab.meter")}
    times = []
    for _ in range(count(6, 200)):
        name = random.choice("ab")
        pid = running.wait_for_status("daemons", name, "running")["pid"]
        kill(pid)
        times.append(until_served(uris[name]))
    assert {"a": running.uri("lab.mirror"), "b": running.uri("lab.meter")} == uris
    assert report("recovery of a killed daemon", times) <= within(1.0)


@LONG
def test_a_killed_supervisor_leaves_no_orphan_and_up_serves_within_3_s(running):
    uri, times = running.uri("lab.meter"), []
    for _ in range(count(3, 50)):
        kill(running.supervisor())
        running.assert_nothing_left(timeout=2, what="no orphan 2 s after the supervisor's death")
        began = time.monotonic()
        running.up()
        until_served(uri)
        times.append(time.monotonic() - began)
    assert running.uri("lab.meter") == uri
    assert report("`up` after the supervisor was killed", times) <= within(3.0)


@LONG
def test_everything_killed_in_mid_write_comes_up_again(lab):
    """State, configuration or log: the next `up` always works."""
    ns_port = free_port()
    file = lab.write(CONFIGURATION, ns_port=ns_port)
    lab.config(CONFIGURATION, ns_port=ns_port)
    times = []
    for turn in range(count(5, 100)):
        began = time.monotonic()
        lab.up()
        times.append(time.monotonic() - began)
        writers = [
            lab.start("stop", "daemon", "b"),
            lab.start("start", "daemon", "b"),
            lab.start("config", "update", file, "--reload"),
            lab.start("rename", "service", f"lab.meter{turn - 1 if turn else ''}", f"lab.meter{turn}"),
        ]
        wait_for_some_changes(lab.home, 40, writers)
        for process in lab.processes():
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for writer in writers:
            writer.wait(timeout=NEVER)
        lab.assert_nothing_left(timeout=3)
    lab.up()
    lab.run("start", "daemon", "b")
    assert lab.ps()["troubles"] == []
    report("`up` after everything was killed", times)


@LONG
def test_many_at_once_are_one_lab(lab):
    lab.config(CONFIGURATION, ns_port=free_port())
    many = count(20, 100)
    with ThreadPoolExecutor(many) as pool:
        results = list(pool.map(lambda _: lab.up(check=False), range(many)))
    # A busy machine may not load a driver in the time that each of them waits.
    failed = [result.text for result in results if result.returncode]
    assert [text for text in failed if SLOW_DRIVER not in text] == []
    status = lab.ps()
    parents = {describe(row["pid"]).parent for row in status["daemons"] + status["nameservers"]}
    assert len(parents) == 1
    lab.down()
    lab.assert_nothing_left(timeout=2)


def test_a_daemon_that_always_crashes_harms_no_neighbour(running):
    text = CONFIGURATION.replace("  b: {", "  crash: {unixsocket: /nonexistent/x.sock}\n  b: {").replace(
        "[a, b]", "[a, b, crash]"
    )
    with running.proxy("lab.mirror") as mirror:
        assert mirror.same(1) == 1
        running.config(text, ns_port=int(running.entry("nameservers", "local")["uri"].rsplit(":", 1)[1]))
        assert running.run("reload", check=False).returncode == 1
        status = running.run("status", check=False)
        assert status.returncode == 1
        assert "daemon crash" in status.text and "/nonexistent/x.sock" in status.text
        for number in range(50):
            assert mirror.same(number) == number


@pytest.fixture
def small_disk(lab):
    """State and logs on a disk that is soon full."""
    folder = lab.home / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "ferrolab-test", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    for name in ("state", "logs"):
        (folder / name).mkdir(mode=0o700)
        (lab.home / name).symlink_to(folder / name)
    yield folder
    lab.run("down", check=False)
    subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(ballast):
    """Writes to a file until its disk is full."""
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)


def test_a_full_disk_stops_nobody_and_is_told_of(lab, small_disk):
    lab.config(CONFIGURATION, ns_port=free_port())
    lab.up()
    ballast = small_disk / "ballast"
    with lab.proxy("lab.mirror") as mirror:
        assert mirror.same(1) == 1
        fill(ballast)
        lab.run("stop", "daemon", "b")
        lab.run("start", "daemon", "b")
        lab.run("restart", "daemon", "b")

        def told():
            text = lab.run("status", check=False).text
            return "cannot be written" in text and "will be forgotten" in text and text

        text = wait_for(told, 20, "status tells of the log and the state")
        assert "make room" in text
        assert mirror.same(2) == 2
        uri = lab.uri("lab.meter")
        kill(lab.entry("daemons", "b")["pid"])
        until_served(uri)
        ballast.unlink()
        lab.run("restart", "daemon", "b")
        lab.run("stop", "daemon", "b")
        lab.run("start", "daemon", "b")
        wait_for(lambda: lab.ps()["troubles"] == [], 10, "the troubles are over")
        assert mirror.same(3) == 3
    assert "were lost" in lab.run("logs", "show").text


def test_what_is_decided_while_the_disk_is_full_is_written_down_later(lab, small_disk):
    lab.config("daemons: {a: {}, b: {}}\nautolaunch: {daemons: [a, b]}\n")
    lab.up()
    ballast = small_disk / "ballast"
    fill(ballast)
    lab.run("stop", "daemon", "a")
    assert any("will be forgotten" in trouble for trouble in lab.ps()["troubles"])
    ballast.unlink()
    wait_for(lambda: lab.ps()["troubles"] == [], 30, "the troubles are over, by themselves")
    lab.down()
    lab.up()
    assert lab.entry("daemons", "a")["status"] == "stopped"
    assert lab.entry("daemons", "b")["status"] == "running"


def test_up_on_a_full_disk_works(lab, small_disk):
    lab.config(CONFIGURATION, ns_port=free_port())
    fill(small_disk / "ballast")
    lab.up()
    with lab.proxy("lab.mirror") as mirror:
        assert mirror.same(1) == 1
