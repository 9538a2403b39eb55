"""The history of live values: what is recorded, what survives, what is said where it cannot be."""

import csv
import io
import json
import os
import signal
import subprocess

import pytest
from harness import NEVER, wait_for
from harness.processes import kill
from Pyro5.errors import PyroError

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {}, other: {}}
services:
  lab.gauge:
    module: counted_gauge
    classname: Gauge
    expose: [level, state, pair, identify]
    arguments: ["$folder"]
    daemon: bench
    instancemode: single
    members: {level: {poll: 100ms, keep: 1d, unit: mm}, state: {poll: 100ms}, pair: {poll: 200ms}}
  lab.second:
    module: counted_gauge
    classname: Gauge
    expose: [level, identify]
    arguments: ["$folder"]
    daemon: other
    instancemode: single
    members: {level: {poll: 100ms}}
autolaunch: {daemons: [bench, other]}
history: {size: 64MiB$settings}
"""


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "instrument"
    path.mkdir()
    yield path
    (path / "hang").unlink(missing_ok=True)


@pytest.fixture
def start(lab, folder):
    def started(settings=""):
        lab.config(CONFIGURATION, folder=folder, settings=settings)
        lab.up()
        return lab

    return started


def rows(lab, name="lab.gauge.level", *options):
    """The recorded rows of a series; none while there is no such series."""
    found = lab.run("history", name, "--csv", *options, check=False)
    return list(csv.DictReader(io.StringIO(found.stdout))) if found.returncode == 0 else []


def latest_quality(lab):
    return (rows(lab) or [{"quality": None}])[-1]["quality"]


def levels(lab, name="lab.gauge.level"):
    """The recorded numbers of a gauge from its first one on; None for a gap."""
    numbers = [int(float(row["value"])) if row["value"] else None for row in rows(lab, name)]
    while numbers and numbers[0] is None:
        # The history was there before the driver.
        del numbers[0]
    return numbers


def wait_for_levels(lab, count, name="lab.gauge.level"):
    """The numbers, once there are so many more than now."""
    before = len(levels(lab, name))
    return wait_for(
        lambda: found if len(found := levels(lab, name)) >= before + count else None,
        NEVER,
        f"{count} more samples of {name}",
    )


def assert_none_lost(numbers):
    """Each reading of a gauge is recorded once, in order. A late one may follow a gap."""
    read = [number for number in numbers if number is not None]
    assert read == list(range(read[0], read[0] + len(read)))


def history_process(lab):
    return lab.entry("processes", "history")


def wait_for_problem(lab, text):
    def told():
        status = json.loads(lab.run("status", "--json", check=False).stdout)
        found = [finding for finding in status["findings"] if text in finding["problem"]]
        return found[0] if found else None

    return wait_for(told, NEVER, f"status says {text!r}")


def test_values_are_recorded_and_exported(start):
    lab = start()
    numbers = wait_for_levels(lab, 8)
    assert_none_lost(numbers)
    assert {row["quality"] for row in rows(lab) if row["value"]} == {"good"}
    listed = json.loads(lab.run("history", "--json").stdout)
    listed = {row["member"]: row for row in listed if row["service"] == "lab.gauge"}
    assert {"level", "state", "pair.0", "pair.1"} <= set(listed)
    assert listed["level"]["unit"] == "mm" and listed["level"]["daemon"] == "bench"
    assert "lab.gauge.level" in lab.run("history").stdout
    exported = json.loads(lab.run("history", "lab.gauge.level", "--json").stdout)
    read = [number for number in numbers if number is not None]
    assert [value for value in exported["value"] if value is not None][: len(read)] == read
    assert exported["unit"] == "mm"
    assert exported["t"] == sorted(exported["t"])
    parts = rows(lab, "lab.gauge.level", "--points", "2")
    assert len(parts) <= 3 and float(parts[0]["min"]) <= float(parts[0]["value"]) <= float(parts[0]["max"])
    assert {row["value"] for row in rows(lab, "lab.gauge.state")} - {""} == {"high"}
    assert {row["value"] for row in rows(lab, "lab.gauge.pair.1")} - {""} == {"true"}
    plot = lab.run("history", "lab.gauge.level", "--since", "1m").stdout
    assert "in mm" in plot and "min 1 " in plot and "\u2800" < max(plot) <= "\u28ff"
    file = lab.files / "level.parquet"
    lab.run("history", "lab.gauge.level", "--parquet", file)
    written = file.read_bytes()
    assert written[:4] == written[-4:] == b"PAR1" and b"lab.gauge" in written
    wrong = lab.run("history", "lab.gauge.levle", check=False)
    assert wrong.returncode == 1 and "lab.gauge.level" in wrong.stderr


def test_a_killed_history_loses_nothing(start):
    lab = start()
    for _ in range(3):
        before = wait_for_levels(lab, 5)
        process = history_process(lab)["pid"]
        kill(process)
        wait_for(lambda: history_process(lab)["pid"] not in (None, process), NEVER, "a new process")
        after = wait_for_levels(lab, 5)
        assert after[: len(before)] == before
        assert_none_lost(after)


def test_a_restarted_daemon_is_a_gap_for_its_series_only(start):
    lab = start()
    wait_for_levels(lab, 3)
    wait_for_levels(lab, 3, "lab.second.level")
    lab.restart("daemon", "bench", "--force")
    numbers = wait_for(
        lambda: found if 1 in (found := levels(lab))[3:] else None, NEVER, "the gauge counts anew"
    )
    again = numbers.index(1, 1)
    assert numbers[again - 1] is None, "a gap between the two processes"
    assert_none_lost(numbers[:again])
    assert_none_lost(numbers[again:])
    assert_none_lost(wait_for_levels(lab, 3, "lab.second.level"))


def test_the_history_survives_a_restart_of_the_lab(start):
    lab = start()
    before = wait_for_levels(lab, 5)
    lab.down()
    lab.assert_nothing_left()
    lab.up()
    after = wait_for_levels(lab, 5)
    assert after[: len(before)] == before
    assert None in after


def test_a_hanging_driver_is_a_gap(start, folder):
    lab = start()
    wait_for_levels(lab, 3)
    (folder / "hang").touch()
    wait_for(lambda: latest_quality(lab) == "no data", NEVER, "the gap begins")
    (folder / "hang").unlink()
    numbers = wait_for_levels(lab, 5)
    (folder / "broken").touch()
    wait_for(lambda: latest_quality(lab) == "error", NEVER, "the error is recorded")
    gap = numbers.index(None)
    assert_none_lost(numbers[:gap])
    values = [number for number in numbers[gap:] if number is not None]
    assert_none_lost(values)


def test_a_damaged_file_is_set_aside(start):
    lab = start()
    wait_for_levels(lab, 3)
    lab.run("stop", "process", "history")
    files = lab.home / "state" / "history"
    (files / "history.sqlite").write_bytes(b"no database at all" * 1000)
    lab.run("start", "process", "history")
    finding = wait_for_problem(lab, "was set aside as")
    assert finding["subject"] == "process history"
    assert [file for file in files.iterdir() if ".damaged-" in file.name]
    wait_for_levels(lab, 3)
    with lab.proxy("lab.gauge") as gauge:
        assert gauge.identify() == "a gauge"


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("a small disk is mounted as root only")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True, text=True
    )
    if mount.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mount.stderr}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_stops_recording_until_there_is_room(start, small_disk):
    lab = start(f", folder: {small_disk}/history")
    wait_for_levels(lab, 3)
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            pass
    finding = wait_for_problem(lab, "recording has stopped, because the disk")
    assert "make room" in finding["advice"]
    with lab.proxy("lab.gauge") as gauge:
        assert gauge.identify() == "a gauge"
    assert lab.entry("services", "lab.gauge")["status"] == "running"
    filler.unlink()
    # The daemon's ring has what was read meanwhile.
    assert_none_lost(wait_for_levels(lab, 5))
    wait_for(lambda: history_process(lab)["error"] is None, NEVER, "all is well again")


def test_without_it_nothing_is_recorded(lab, folder):
    text = CONFIGURATION.replace("history: {size: 64MiB$settings}\n", "")
    lab.config(text, folder=folder)
    lab.up()
    assert "processes" not in lab.ps()
    refused = lab.run("history", check=False)
    assert refused.returncode == 1 and "history: true" in refused.stderr
    refused = lab.run("start", "process", "history", check=False)
    assert refused.returncode == 1
    lab.config(text + "history: true\n", folder=folder)
    lab.run("reload")
    wait_for_levels(lab, 3)


def test_the_supervisor_takes_it_along(start):
    lab = start()
    wait_for_levels(lab, 1)
    os.kill(lab.supervisor(), signal.SIGKILL)
    lab.assert_nothing_left(timeout=10)
