"""Live values: which members the daemon reads, when it does not, and that nobody waits for it."""

import json
import os

import pytest
from harness import NEVER, wait_for
from harness.outcome import proxy
from Pyro5.api import BatchProxy
from test_feed import SERVERTYPES, Reader, feed

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {classname: $classname, servertype: $servertype}}
services:
  lab.patient:
    {module: cryostat, classname: Cryostat, daemon: bench, instancemode: single, expose: all, arguments: ["$folder"],
     members: {$members}, $keys}
autolaunch: {daemons: [bench]}
"""
SERVICE = "lab.patient"


class Folder:
    """The folder that says how the instrument is."""

    def __init__(self, path):
        self.path = path
        path.mkdir()

    def set(self, name):
        (self.path / name).touch()

    def clear(self, name):
        (self.path / name).unlink(missing_ok=True)

    def count(self, name, line=None):
        file = self.path / name
        lines = file.read_text().split("\n")[:-1] if file.exists() else []
        return len(lines) if line is None else lines.count(line)


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path / "instrument")
    yield folder
    folder.clear("hang")
    folder.set("moved")


def start(
    lab, folder, members, servertype="thread", keys="description: x", check=True, classname="LockableDaemon"
):
    lab.config(
        CONFIGURATION, folder=folder.path, members=members, servertype=servertype, keys=keys, classname=classname
    )
    lab.up(check=check)


def values(lab):
    """The rows of `ferrolab values`, by member."""
    rows = json.loads(lab.run("values", "--json").stdout)
    return {row["member"]: row for row in rows if row["service"] == SERVICE}


def wait_for_quality(lab, quality, member="temperature"):
    def reached():
        row = values(lab).get(member)
        return row if row and row["quality"] == quality else None

    return wait_for(reached, NEVER, f"{member} is {quality}", interval=0.1)


def wait_for_attempts(lab, count, member="temperature"):
    """Waits until the daemon has tried so many times to read a member."""
    times = set()

    def tried():
        times.add(values(lab)[member]["t"])
        return len(times) > count

    wait_for(tried, NEVER, f"{count} attempts to read {member}")


def findings(lab):
    found = json.loads(lab.run("status", "--json", check=False).stdout)["findings"]
    return {finding["subject"]: finding["problem"] for finding in found}


def worker(lab):
    """The process of the service."""
    with lab.proxy(SERVICE) as client:
        client._pyroBind()
    found = [process for process in lab.processes() if "ferrolab-worker" in str(process)]
    assert len(found) == 1, found
    return found[0].pid


ALL = """temperature: {poll: 100ms, unit: K}, read: {poll: 100ms}, axes: {poll: 100ms}, mode: {poll: 100ms},
     scalar: {poll: 100ms, keep: 1d}"""


@pytest.mark.parametrize("servertype", SERVERTYPES)
def test_values_of_all_kinds_are_read(lab, folder, servertype):
    start(lab, folder, ALL, servertype)
    wait_for_quality(lab, "good", "scalar")
    wait_for_quality(lab, "good", "read.2")
    # A busy machine may miss the time of any reading.
    found = lambda: {name: (row["value"], row["quality"], row["unit"]) for name, row in values(lab).items()}
    wanted = {
        "temperature": (4.5, "good", "K"),
        "read.0": (1.5, "good", None),
        "read.1": (True, "good", None),
        "read.2": ("ok", "good", None),
        "read.3": (None, "no data", None),
        "read.4": (None, "no data", None),
        "axes.x": (1, "good", None),
        "axes.y": (2.5, "good", None),
        "mode": ("ramp", "good", None),
        "scalar": (4.5, "good", None),
    }
    wait_for(lambda: found() == wanted, NEVER, "all values")
    wait_for(lambda: values(lab)["read.3"]["error"] == "it returned None", NEVER, "why there is none")
    assert values(lab)["scalar"]["keep"] == 86400
    shown = lambda: [line.split()[:3] for line in lab.run("values", SERVICE + ".axes").stdout.split("\n")[1:3]]
    wait_for(lambda: shown() == [[SERVICE, "axes.x", "1"], [SERVICE, "axes.y", "2.5"]], NEVER, "the axes")
    assert "did you mean" in lab.run("values", SERVICE + ".axis", check=False).stderr
    # A busy machine may be too slow for five readings in 0.1 s, and says so.
    assert all("its wait included" in text for text in findings(lab).values())
    # Each reading is a sample, in order; nothing ran beside it.
    with feed(lab) as reading:
        reader = Reader(reading)
        first = reader.wait_for("sample", member="temperature", quality="good")
        reader.wait_for("sample", member="temperature", seq=first["seq"] + 1)
        temperature = {"kind": "sample", "member": "temperature", "quality": "good"}.items()
        good = lambda: [event for event in reader.read() if temperature <= event.items() and event["seq"] > first["seq"]]
        assert wait_for(good, NEVER, "another reading")[0]["value"] == 4.5
    assert folder.count("beside") == 0
    card = json.loads(lab.run("describe", SERVICE, "--json").stdout)["members"]
    assert card["scalar"]["series"] == {"poll": 0.1, "keep": 86400.0, "deadband": None}


def test_samples_are_followed(lab, folder):
    start(lab, folder, "temperature: {poll: 100ms, deadband: 0.5}, scalar: {poll: 100ms}")
    follower = lab.start("values", SERVICE + ".temperature", "--follow", "--json")
    lines = (json.loads(line) for line in follower.stdout)
    assert next(line for line in lines if line["quality"] == "good")["value"] == 4.5
    with lab.proxy(SERVICE) as client:
        # The first change is within the deadband.
        client.temperature = 4.75
        client.temperature = 9.0
    # Where a busy machine has missed a reading's time, any next one is a sample.
    before = "good"
    for line in lines:
        told_again = [4.5] if before == "good" else [4.5, 4.75]
        if line["quality"] == "good" and line["value"] not in told_again:
            break
        before = line["quality"]
    assert (line["member"], line["value"]) == ("temperature", 9.0)
    follower.kill()


@pytest.mark.parametrize("servertype", SERVERTYPES)
def test_bad_members_have_a_quality_and_a_line_in_status(lab, folder, servertype):
    names = ["array", "thing", "items", "at", "nothing"]
    start(lab, folder, ", ".join(f"{name}: {{poll: 100ms}}" for name in names), servertype)
    words = {
        "array": "a list or an array",
        "thing": "",
        "items": "stream",
        "at": "without arguments: it needs place",
        "nothing": "there is no exposed member 'nothing'",
    }
    for name in names:
        assert words[name] in wait_for_quality(lab, "error", name)["error"]
    problem = wait_for(lambda: findings(lab).get(f"service {SERVICE}"), NEVER, "a finding")
    assert "'array' has no value: it returned a list or an array" in problem
    with lab.proxy(SERVICE) as client:
        assert client.at(3) == 3


@pytest.mark.parametrize("servertype", SERVERTYPES)
def test_while_a_client_has_the_lock_others_are_not_read(lab, folder, servertype):
    members = "temperature: {poll: 100ms}, read: {poll: 100ms}"
    start(lab, folder, members, servertype, "read_while_locked: [read]")
    wait_for_quality(lab, "good")
    with lab.proxy(SERVICE) as owner:
        assert owner.lock("ada")
        assert "locked" in wait_for_quality(lab, "locked")["error"]
        before = folder.count("readings", "temperature"), folder.count("readings", "read")
        wait_for_attempts(lab, 5)
        assert folder.count("readings", "temperature") == before[0]
        wait_for(lambda: folder.count("readings", "read") > before[1] + 3, NEVER, "reads beside the lock")
        # A value that the owner reads is a sample all the same.
        with feed(lab) as reading:
            reader = Reader(reading)
            owner.temperature = 7.5
            assert owner.temperature == 7.5
            assert reader.wait_for("sample", member="temperature", quality="good")["value"] == 7.5
        owner.unlock()
        wait_for_quality(lab, "good")


@pytest.mark.parametrize("servertype", SERVERTYPES)
def test_a_poll_makes_no_lock_fail(lab, folder, servertype):
    folder.set("slow")
    start(lab, folder, "temperature: {poll: 50ms}", servertype)
    wait_for_quality(lab, "good")
    with lab.proxy(SERVICE) as owner:
        for _ in range(3):
            readings = folder.count("readings")
            wait_for(lambda was=readings: folder.count("readings") > was, NEVER, "a poll runs")
            assert owner.lock("ada", wait=0)
            owner.axes()
            owner.unlock()
    assert folder.count("beside") == 0
    # It is read as often as it can be.
    problem = wait_for(lambda: findings(lab).get(f"service {SERVICE}"), NEVER, "a finding")
    assert "'temperature' is read each" in problem
    folder.clear("slow")
    wait_for(lambda: findings(lab) == {}, NEVER, "it is quick again")


@pytest.mark.parametrize("servertype", SERVERTYPES)
def test_a_driver_that_hangs_costs_one_thread(lab, folder, servertype):
    start(lab, folder, "temperature: {poll: 100ms}, axes: {poll: 100ms}", servertype)
    wait_for_quality(lab, "good", "axes.x")
    pid = worker(lab)
    threads = len(os.listdir(f"/proc/{pid}/task"))
    folder.set("hang")
    assert "two periods" in wait_for_quality(lab, "no data")["error"]
    wait_for_quality(lab, "no data", "axes.x")
    wait_for(lambda: "a poll" in lab.run("calls").stdout, NEVER, "the poll among the calls")
    assert len(os.listdir(f"/proc/{pid}/task")) <= threads + 1
    if servertype == "thread":
        # Neither clients nor locks wait for it for ever.
        with lab.proxy(SERVICE) as client:
            assert client.axes() and client.lock("ada") and client.unlock()
    folder.clear("hang")
    wait_for_quality(lab, "good")
    assert worker(lab) == pid


@pytest.mark.parametrize("servertype", SERVERTYPES)
def test_a_poll_restarts_no_driver(lab, folder, servertype):
    keys = "watchdog: 1s, call_timeout: 200ms, on_timeout: restart"
    start(lab, folder, "temperature: {poll: 100ms}", servertype, keys)
    wait_for_quality(lab, "good")
    pid = worker(lab)
    for trouble in ("slow", "spin"):
        folder.set(trouble)
        wait_for_attempts(lab, 3)
        folder.clear(trouble)
        wait_for_quality(lab, "good")
    assert worker(lab) == pid


def test_readings_that_raise_are_told_until_they_are_well(lab, folder):
    start(lab, folder, "temperature: {poll: 100ms}")
    wait_for_quality(lab, "good")
    folder.set("raise")
    assert wait_for_quality(lab, "error")["error"] == "OSError: the bridge is open"
    problem = wait_for(lambda: findings(lab).get(f"service {SERVICE}"), NEVER, "a finding")
    assert "'temperature' has no value: OSError: the bridge is open" in problem
    folder.clear("raise")
    wait_for_quality(lab, "good")
    wait_for(lambda: findings(lab) == {}, NEVER, "the finding is gone")


def test_a_constructor_that_raises_is_not_tried_with_each_poll(lab, folder):
    folder.set("off")
    # Whether `up` has seen the failure depends on when the first poll was.
    start(lab, folder, "temperature: {poll: 50ms}", check=False)
    assert "no answer from COM4" in wait_for_quality(lab, "error")["error"]
    wait_for_attempts(lab, 3)
    assert folder.count("made") <= 2
    folder.clear("off")
    with lab.proxy(SERVICE) as client:
        assert client.axes()
    wait_for_quality(lab, "good")


@pytest.mark.parametrize("servertype", SERVERTYPES)
@pytest.mark.parametrize("classname", ["LockableDaemon", "Daemon"])
def test_values_that_only_clients_read(lab, folder, servertype, classname):
    members = "temperature: {keep: 1h}, read: {keep: 1h}, axes: {keep: 1h}, mode: {keep: 1h}"
    start(lab, folder, members, servertype, classname=classname)
    wait_for_quality(lab, "no data")
    with lab.proxy(SERVICE) as client:
        assert client.temperature == 4.5
        row = wait_for_quality(lab, "good")
        assert (row["value"], row["seq"]) == (4.5, 1)
        assert client.axes() == {"x": 1, "y": 2.5}
        assert wait_for_quality(lab, "good", "axes.y")["value"] == 2.5
        # The entries of a batch count, up to the one that raises.
        batch = BatchProxy(client)
        for call in (batch.at, 3), (batch.read,), (batch.at,), (batch.mode,):
            call[0](*call[1:])
        results = batch()
        assert [next(results), next(results)[2]] == [3, "ok"]
        assert wait_for_quality(lab, "good", "read.2")["value"] == "ok"
        assert values(lab)["mode"]["quality"] == "no data"
    assert folder.count("readings") == 2


PARTS = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {classname: LockableDaemon}}
services:
  lab.psu:
    {module: supply, classname: Supply, daemon: bench, instancemode: single, expose: all, parts: [ch_1, remote.inner],
     members: {ch_1.voltage: {keep: 1h}, remote.inner.number: {poll: 100ms}}}
autolaunch: {daemons: [bench]}
"""


def test_values_of_parts_that_only_clients_read(lab):
    lab.config(PARTS)
    lab.up()
    read = lambda: {row["member"]: row["value"] for row in json.loads(lab.run("values", "--json").stdout)}
    wait_for(lambda: read() == {"ch_1.voltage": None, "remote.inner.number": 10}, NEVER, "a poll")
    with lab.proxy("lab.psu") as supply, supply.ch_1 as part:
        part.voltage = 2.5
        assert part.voltage == 2.5
        wait_for(lambda: read()["ch_1.voltage"] == 2.5, NEVER, "the value that was read")


def test_native_services_are_read(lab):
    lab.config(
        """\
daemons: {bench: {host: localhost}}
services:
  lab.patient:
    {native: simulated.power_supply, daemon: bench, members: {voltage: {poll: 100ms, unit: V}}}
autolaunch: {daemons: [bench]}
"""
    )
    lab.up()
    assert wait_for_quality(lab, "good", "voltage")["unit"] == "V"
    with proxy(lab.uri(SERVICE)) as client:
        client.voltage = 3.5
    wait_for(lambda: values(lab)["voltage"]["value"] == 3.5, NEVER, "the new value")
