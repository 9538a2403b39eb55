"""Locks with a token, over the end of their daemon's process."""

import json
import os

import ferrolab
import pytest
from harness import NEVER, processes, proxy, wait_for
from harness.locks import refused

LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon}
  turns: {classname: LockableDaemon, servertype: multiplex}
services:
  lab.stage: {module: stage, classname: Stage, daemon: bench, instancemode: single, arguments: {record: "$record"}}
  lab.turns: {module: stage, classname: Stage, daemon: turns, instancemode: single, arguments: {record: "$record"}}
  lab.laser: {module: stage, classname: Laser, daemon: bench, instancemode: single, arguments: {record: "$shots"}, on_disconnect: ["off"]}
  lab.supply: {native: simulated.power_supply, daemon: bench, on_disconnect: ["off"]}
  lab.other: {native: simulated.power_supply, daemon: bench}
  lab.own: {module: stage, classname: Laser, daemon: bench, instancemode: session, arguments: {record: "$own"}, on_disconnect: ["off"]}
autolaunch: {daemons: [bench, turns]}
"""
DAEMONS = {"lab.stage": "bench", "lab.turns": "turns", "lab.supply": "bench"}
TOKEN = "the token of bench 3"


@pytest.fixture
def lab(lab):
    record = lab.files / "record"
    record.touch()
    shots(lab).touch()
    (lab.files / "own").touch()
    lab.config(LAB, record=str(record), shots=str(shots(lab)), own=str(lab.files / "own"))
    lab.up()
    return lab


def shots(lab):
    """The record of the laser."""
    return lab.files / "shots"


def state_file(lab, daemon):
    return lab.home / f"state/locks-{daemon}.json"


def kept(lab, daemon):
    return [row["service"] for row in json.loads(state_file(lab, daemon).read_text()).get("kept", [])]


def restart(lab, daemon, how):
    """Ends the daemon's process, and waits for the next one."""
    before = lab.entry("daemons", daemon)["pid"]
    if how == "restart":
        lab.restart("daemon", daemon, "--force")
    elif how == "kill":
        processes.kill(before)
    else:
        lab.down()
        lab.up()

    def is_back():
        row = lab.entry("daemons", daemon)
        return row["status"] == "running" and row["pid"] != before

    wait_for(is_back, NEVER, f"{daemon} is back")
    lab.wait_until_loaded()


def events(lab, service):
    lines = json.loads(lab.run("locks", "--history", "--json").stdout)
    return [line["event"] for line in lines if line.get("service") in (service, None) and line["daemon"] == DAEMONS[service]]


@pytest.mark.parametrize(
    ("service", "how"), [("lab.stage", "restart"), ("lab.stage", "kill"), ("lab.turns", "down"), ("lab.turns", "kill"), ("lab.supply", "restart")]
)
def test_a_lock_with_a_token_goes_on_with_the_next_process(lab, service, how):
    daemon = DAEMONS[service]
    with lab.proxy(service) as ada, lab.proxy("lab.other") as plain:
        assert ada.lock("ada", token=TOKEN, ttl=NEVER) is True
        assert plain.lock("carl") is True
        before = ada.lock_info()
        wait_for(lambda: kept(lab, daemon) == [service], NEVER, "the lock is in the state file")
        text = state_file(lab, daemon).read_text()
        assert TOKEN not in text and state_file(lab, daemon).stat().st_mode & 0o777 == 0o600
        restart(lab, daemon, how)
    with lab.proxy(service) as eve, lab.proxy(service) as again, lab.proxy("lab.other") as free:
        info = eve.lock_info()
        assert [info[key] for key in ("locked", "user", "away", "epoch", "state")] == [True, "ada", True, before["epoch"], "away"]
        assert 0 < info["expires_in"] <= NEVER
        refused(lambda: eve.lock("eve"))
        refused(lambda: eve.lock("eve", token="another"))
        refused(lambda: eve.move(1) if service != "lab.supply" else eve.off())
        assert free.lock("eve") is True, "a lock without a token ends with its daemon"
        free.unlock()
        assert again.lock_info(token=TOKEN)["yours"] is True
        assert again.lock("ada", token=TOKEN) is True
        assert again.lock_info()["epoch"] > before["epoch"]
        assert again.unlock() is True
        assert eve.lock("eve") is True
        wait_for(lambda: kept(lab, daemon) == [], NEVER, "the lock is out of the state file")
    wait_for(lambda: "released" in events(lab, service)[-2:], NEVER, "the log has it")
    told = events(lab, service)
    assert told[told.index("started", 1) :][:3] == ["started", "suspended", "resumed"], told


def test_its_time_goes_on_and_then_it_is_the_next_ones(lab):
    with lab.proxy("lab.supply") as ada:
        ada.lock("ada", token=TOKEN, ttl=3)
        restart(lab, "bench", "restart")
    with lab.proxy("lab.supply") as eve:
        assert eve.lock("eve", wait=NEVER) is True
    wait_for(lambda: "expired" in events(lab, "lab.supply"), NEVER, "the log has it")


@pytest.mark.parametrize("end", ["broken", "expired"])
def test_the_safe_state_after_a_lock_of_an_earlier_process(lab, end):
    """The instance that the owner drove has gone: the methods are called on another one."""
    with lab.proxy("lab.laser") as ada, lab.proxy("lab.supply") as carl:
        ada.lock("ada", token=TOKEN, ttl=NEVER if end == "broken" else 3)
        carl.lock("carl", token=TOKEN, ttl=NEVER if end == "broken" else 3)
        ada.beam()
        # The daemon's stop runs its safe state; its lock may end as soon as the next one runs.
        before = shots(lab).read_text() + "off\n"
        restart(lab, "bench", "restart")
    if end == "broken":
        lab.run("unlock", "--break", "lab.laser", "--reason", "ada has gone home")
        lab.run("unlock", "--break", "lab.supply", "--reason", "carl has gone home")
    for service in ("lab.laser", "lab.supply"):
        with lab.proxy(service) as eve:
            assert eve.lock("eve", wait=NEVER) is True
            assert shots(lab).read_text() == before + "made\noff\n"
            assert eve.unlock() is True
    # At the stop, and after the lock.
    wait_for(lambda: len([line for line in rested(lab) if "lab.supply" in line]) == 2, NEVER, "both are in the log")


def rested(lab):
    lines = lab.run("logs", "show").stdout.splitlines()
    return [line for line in lines if "brought to rest" in line]


def test_a_native_service_whose_lock_goes_on_reaches_its_safe_state_at_the_stop(lab):
    with lab.proxy("lab.supply") as carl:
        carl.lock("carl", token=TOKEN, ttl=NEVER)
        assert rested(lab) == []
        restart(lab, "bench", "restart")
    wait_for(lambda: ["lab.supply" in line for line in rested(lab)] == [True], NEVER, "the log has it")
    assert kept(lab, "bench") == ["lab.supply"]


@pytest.mark.parametrize("how", ["restart", "kill", "kill and restart"])
def test_a_sessions_own_instance_is_missed_only_where_it_was_not_released(lab, how):
    with lab.proxy("lab.own") as ada:
        ada.lock("ada", token=TOKEN, ttl=NEVER)
        ada.beam()
        wait_for(lambda: kept(lab, "bench") == ["lab.own"], NEVER, "the lock is in the state file")
        for step in how.split(" and "):
            restart(lab, "bench", step)
    if how == "restart":
        assert (lab.files / "own").read_text() == "made\nbeam\noff\n"
    lab.run("unlock", "--break", "lab.own", "--reason", "ada has gone home")
    with lab.proxy("lab.own") as eve:
        assert eve.lock("eve", wait=NEVER) is True
        if how != "restart":
            shown = lambda: "the safe state was not reached" in (lab.entry("services", "lab.own")["error"] or "")
            wait_for(shown, NEVER, "the failure is shown")
        else:
            wait_for(lambda: "not called: there is no instance" in lab.run("logs", "show").stdout, NEVER, "the log says it")
            assert "the safe state was not reached" not in lab.run("logs", "show").stdout


def test_a_state_file_that_cannot_be_written_is_tried_again(lab):
    file = state_file(lab, "bench")
    file.unlink()
    file.mkdir()
    with lab.proxy("lab.stage") as ada:
        ada.lock("ada", token=TOKEN, ttl=NEVER)
        wait_for(lambda: "would not outlive" in lab.run("logs", "show", "--level", "warn").stdout, NEVER, "the log says it")
        file.rmdir()
        wait_for(lambda: file.is_file() and kept(lab, "bench") == ["lab.stage"], NEVER, "the lock is in the state file")


def test_the_lock_of_a_service_that_cannot_be_made_once_waits_for_the_next_process(lab):
    with lab.proxy("lab.supply") as ada:
        ada.lock("ada", token=TOKEN, ttl=NEVER)
        lab.down()
    good = (lab.home / "config.yaml").read_text()
    assert kept(lab, "bench") == ["lab.supply"]
    supply = "lab.supply: {native: simulated.power_supply, "
    assert supply in good
    (lab.home / "config.yaml").write_text(good.replace(supply, supply + "parameters: {bench: 5}, "))
    lab.run("up", check=False)
    assert lab.entry("services", "lab.supply")["status"] == "failed"
    lab.down()
    (lab.home / "config.yaml").write_text(good)
    lab.up()
    with lab.proxy("lab.supply") as eve, lab.proxy("lab.supply") as again:
        refused(lambda: eve.lock("eve"))
        assert again.lock("ada", token=TOKEN) is True


def test_a_lock_that_has_ended_is_not_restored(lab):
    with lab.proxy("lab.stage") as ada, lab.proxy("lab.supply") as carl:
        ada.lock("ada", token=TOKEN, ttl=NEVER)
        carl.lock("carl", token=TOKEN, ttl=NEVER)
        ada.unlock()
        lab.run("unlock", "--break", "lab.supply", "--reason", "carl has gone home")
        restart(lab, "bench", "restart")
    for service in ("lab.stage", "lab.supply"):
        with lab.proxy(service) as eve:
            assert eve.lock("eve") is True


def damaged(text):
    return text[:-3]


def too_late(text):
    """An epoch that no earlier process can have had."""
    memory = json.loads(text)
    memory["kept"][0]["epoch"] += 10**15
    return json.dumps(memory)


def no_hash(text):
    memory = json.loads(text)
    memory["kept"][0]["token_hash"] = "c2hvcnQ="
    return json.dumps(memory)


def no_time(text):
    memory = json.loads(text)
    memory["kept"][0]["left"] = -1e300
    return json.dumps(memory)


@pytest.mark.parametrize("damage", [damaged, too_late, no_hash, no_time])
def test_a_state_file_that_cannot_be_used_keeps_no_lock(lab, damage):
    with lab.proxy("lab.stage") as ada:
        ada.lock("ada", token=TOKEN, ttl=NEVER)
        before = ada.lock_info()["epoch"]
        lab.down()
    file = state_file(lab, "bench")
    file.write_text(damage(file.read_text()))
    lab.up()
    with lab.proxy("lab.stage") as eve:
        assert eve.lock("eve") is True
        assert eve.lock_info()["epoch"] > before
    if damage is damaged:
        status = lab.run("status", check=False).text
        assert f"{file.name}.damaged-" in status and "no lock is kept by its token" in status, status
    else:
        assert "a lock of the daemon's last process is not kept" in lab.run("logs", "show", "--level", "warn").stdout


def test_a_block_of_our_client_goes_on_over_a_restart(lab):
    with ferrolab.connect(lab.home, timeout=NEVER, connect_timeout=NEVER) as made:
        supply = made["lab.supply"]
        with supply.locked(user="ada", ttl=NEVER) as lock:
            first = lock.epoch
            restart(lab, "bench", "restart")
            with proxy(lab.uri("lab.supply")) as eve:
                refused(lambda: eve.lock("eve"))
            wait_for(lambda: [supply.off()], NEVER, "a call runs", (ferrolab.CommunicationError,))
            assert lock.epoch > first and lock.lost is None
    assert os.path.exists(state_file(lab, "bench"))
