"""Entries started, stopped and restarted by hand; a configuration taken up while the lab runs."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import Pyro5.errors
import pytest
from harness import proxy, wait_for
from harness.processes import kill

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: localhost, ns_port: $ns_port}
daemons:
  bench: {host: localhost, nameservers: [local]}
  other: {host: localhost}
  spare: {host: localhost}
services:
  lab.mirror: {module: mirror, classname: Mirror, daemon: bench, nameservers: [local]}
  lab.other: {module: counter, classname: Counter, daemon: other, instancemode: single}
  lab.spare: {native: simulated.multimeter, daemon: spare}
autolaunch: {nameservers: [local], daemons: [bench, other]}
"""


def statuses(lab):
    status = lab.ps()
    return {entry["name"]: entry["status"] for entry in status["daemons"] + status["nameservers"]}


def pids(lab):
    status = lab.ps()
    return {entry["name"]: entry["pid"] for entry in status["daemons"] + status["nameservers"]}


def test_an_entry_starts_stops_and_restarts(running):
    before = pids(running)
    said = running.run("stop", "daemon", "bench").text
    assert "daemon bench has stopped" in said
    assert statuses(running)["bench"] == "stopped"
    assert "was not running" in running.run("stop", "daemon", "bench").text
    assert "running, with 1 service" in running.run("start", "daemon", "bench").text
    assert "already" in running.run("start", "daemon", "bench").text
    with running.proxy("lab.mirror") as mirror:
        assert mirror.same(1) == 1
    first = pids(running)
    assert first["local"] == before["local"], "others were not touched"
    running.restart("daemon", "bench", "other")
    running.run("restart", "nameserver", "local")
    second = pids(running)
    for name in ("bench", "other", "local"):
        assert second[name] not in (first[name], None)


MISTYPED = [
    (("start", "daemon", "bnech"), "did you mean `bench`?"),
    (("stop", "nameserver", "lcal"), "did you mean `local`?"),
    (("restart", "daemon", "local"), "ferrolab restart nameserver local"),
    (("restart", "daemon", "lab.mirror"), "ferrolab restart lab.mirror"),
    (("stop", "daemon", "lab.mirror"), "ferrolab stop daemon bench"),
    (("start", "daemon", "xyzzy"), "there are: bench, other, spare"),
]


def test_a_wrong_name_is_answered_with_the_right_one(running):
    for arguments, advice in MISTYPED:
        result = running.run(*arguments, check=False)
        assert result.returncode == 1, arguments
        assert advice in result.text, result.text


@pytest.mark.parametrize("end", ["down", "kill"])
def test_what_was_done_by_hand_is_remembered(running, end):
    running.run("start", "daemon", "spare")
    running.run("stop", "daemon", "other")
    if end == "down":
        running.down()
    else:
        kill(running.supervisor())
        running.assert_nothing_left(timeout=2)
    said = running.up().text
    assert "daemon other stays stopped" in said
    assert statuses(running) == {
        "bench": "running", "other": "stopped", "spare": "running", "local": "running",
    }  # fmt: skip


def test_a_start_that_fails_says_why(lab):
    lab.config("daemons: {bench: {}}\nservices: {x: {module: no_such_module, classname: X, daemon: bench}}\n")
    lab.up()
    result = lab.run("start", "daemon", "bench", check=False)
    assert result.returncode == 1
    assert "no_such_module" in result.text


def test_a_reload_touches_only_what_has_changed(running):
    before = pids(running)
    assert running.run("reload").stdout == "Left alone: 4\n"
    with running.proxy("lab.other") as other, running.proxy("lab.mirror") as mirror:
        identity = other.who()
        assert mirror.same(1) == 1
        # bench gets another setting, spare goes, fresh comes and starts.
        text = CONFIGURATION.replace(
            "bench: {host: localhost,", "bench: {host: localhost, threadpool_size: 20,"
        )
        text = text.replace("  spare: {host: localhost}\n", "  fresh: {host: localhost}\n")
        text = text.replace("daemon: spare", "daemon: fresh").replace("lab.spare", "lab.fresh")
        text = text.replace("[bench, other]", "[bench, other, fresh]")
        assert "ferrolab reload" in running.config(text, ns_port=running.ns_port).text
        changes = json.loads(running.run("reload", "--json").stdout)
        assert changes["restarted"] == ["daemon bench"]
        assert changes["added"] == changes["started"] == ["daemon fresh"]
        assert changes["removed"] == ["daemon spare"]
        assert changes["unchanged"] == ["daemon other", "nameserver local"]
        assert other.who() == identity, "a client of another daemon notices nothing"
        with pytest.raises(Pyro5.errors.CommunicationError):
            mirror.same(2)
    after = pids(running)
    assert after["bench"] != before["bench"]
    assert (after["other"], after["local"]) == (before["other"], before["local"])
    with running.proxy("lab.mirror") as mirror:
        assert mirror.same(3) == 3


def test_update_with_reload_is_one_step(running):
    text = CONFIGURATION.replace("lab.mirror", "lab.renamed")
    file = running.write(text, ns_port=running.ns_port)
    said = running.run("config", "update", file, "--reload").text
    assert "Restarted: daemon bench" in said
    with running.proxy("lab.renamed") as mirror:
        assert mirror.same(1) == 1

    def only_the_new_name():
        with proxy(f"PYRO:Pyro.NameServer@localhost:{running.ns_port}") as nameserver:
            return "lab.mirror" not in (names := nameserver.list()) and "lab.renamed" in names

    wait_for(only_the_new_name, 6, "the nameserver has the new name only")


def test_a_broken_file_changes_nothing(running):
    before = pids(running)
    file = running.home / "config.yaml"
    file.write_text(file.read_text() + "\nnonsense: {\n")
    result = running.run("reload", check=False)
    assert result.returncode == 1
    assert "config.yaml" in result.text and "keeps the configuration" in result.text
    assert pids(running) == before
    # The entries in force are still known by name.
    running.restart("daemon", "bench")
    with running.proxy("lab.mirror") as mirror:
        assert mirror.same(1) == 1


SETTINGS = """\
daemons:
  bench:
    supervision: {backoff: [0.2], give_up_after: 3, stable_after: 3600, hang_timeout: 60}
  patient: {supervision: {hang_timeout: 0}}
services:
  lab.meter: {native: simulated.multimeter, daemon: bench}
autolaunch: {daemons: [bench, patient]}
"""


def test_a_daemon_that_hangs_is_noticed_and_restarted(running):
    """With the settings that nobody has changed: noticed within 10 s, restarted within 12 s."""
    before = running.entry("daemons", "bench")
    nameserver = running.entry("nameservers", "local")
    began = time.monotonic()
    os.kill(before["pid"], signal.SIGSTOP)
    os.kill(nameserver["pid"], signal.SIGSTOP)
    for kind, entry in (("daemons", before), ("nameservers", nameserver)):

        def again(kind=kind, entry=entry):
            now = running.entry(kind, entry["name"])
            return now["pid"] != entry["pid"] and now["status"] == "running"

        wait_for(again, 12 - (time.monotonic() - began), f"{entry['name']} runs again")
    with running.proxy("lab.mirror") as mirror:
        assert mirror.same(1) == 1
    assert running.uri("lab.mirror").split("@")[1] == before["uri"].split("@")[1]
    log = (running.home / "logs/ferrolab.log").read_text()
    assert "it hangs: no answer to a call on its own socket within 5 s" in log


BUSY = """\
python: {executable: "$python", path: ["$drivers"]}
daemons:
  full: {host: localhost, threadpool_size: 1, supervision: {hang_timeout: 20}}
  queue: {host: localhost, servertype: multiplex, supervision: {hang_timeout: 20}}
  deaf: {host: localhost, supervision: {hang_timeout: 20}}
services:
  lab.full: {module: hazard, classname: Hazard, daemon: full}
  lab.queue: {module: hazard, classname: Hazard, daemon: queue}
  lab.deaf: {module: hazard, classname: Hazard, daemon: deaf}
autolaunch: {daemons: [full, queue, deaf]}
"""


def test_a_daemon_under_load_is_left_alone(lab):
    """A full pool, a multiplex daemon's one turn, and a worker whose interpreter is held, each for
    longer than the supervisor waits for an answer: no hang."""
    lab.config(BUSY)
    lab.up()
    before = pids(lab)
    calls = [("lab.full", "spin"), ("lab.queue", "spin"), ("lab.deaf", "hold_the_interpreter")]
    # Two calls of the supervisor fall wholly into it.
    seconds = 2 * (20 + 1)

    def long_call(service, method):
        with lab.proxy(service) as proxy:
            began = time.monotonic()
            getattr(proxy, method)(seconds)
            return time.monotonic() - began

    with ThreadPoolExecutor(len(calls)) as pool:
        took = list(pool.map(lambda call: long_call(*call), calls))
    assert min(took) >= seconds - 1, took
    assert pids(lab) == before
    assert [daemon["restarts"] for daemon in lab.ps()["daemons"]] == [0, 0, 0]
    assert "it hangs" not in (lab.home / "logs/ferrolab.log").read_text()


def test_restarts_follow_the_entrys_own_settings(lab):
    lab.config(SETTINGS)
    lab.up()
    for count in (1, 2):
        kill(lab.entry("daemons", "bench")["pid"])

        def again(count=count):
            entry = lab.entry("daemons", "bench")
            return entry["restarts"] == count and entry["status"] == "running"

        wait_for(again, 5, "it is restarted")
    kill(lab.entry("daemons", "bench")["pid"])
    failed = lab.wait_for_status("daemons", "bench", "failed", timeout=5)
    assert failed["error"] == "killed by SIGKILL", "and no lines of its log"
    said = lab.run("status", check=False).stdout
    assert "killed by SIGKILL" in said and "dmesg" in said and "{" not in said
    assert lab.run("start", "daemon", "bench").returncode == 0


@pytest.mark.parametrize("up", [True, False], ids=["lab up", "lab down"])
@pytest.mark.parametrize("act, old", [("start", "spare"), ("stop", "other")])
def test_what_was_decided_by_hand_goes_with_a_new_name(running, up, act, old):
    running.run(act, "daemon", old)
    if not up:
        running.run("down")
    running.run("rename", "daemon", old, "renamed")
    if up:
        running.run("reload")
    else:
        running.up()
    expected = "running" if act == "start" else "stopped"
    assert statuses(running)["renamed"] == expected
    running.run("down")
    running.up()
    assert statuses(running)["renamed"] == expected, "it is written down as well"


def test_scripts_learn_how_things_stand_as_json(running):
    def said(*arguments, check=True):
        return json.loads(running.run(*arguments, "--json", check=check).stdout)

    assert said("call", "lab.mirror", "same", "[-1, 2.5, None, 'ä']") == [-1, 2.5, None, "ä"]
    assert said("call", "lab.mirror", "same", "-5") == -5
    stopped = said("stop", "daemon", "bench", "other")
    assert [row["name"] for row in stopped["daemons"]] == ["bench", "other"]
    assert {row["status"] for row in stopped["daemons"]} == {"stopped"}
    started = said("start", "daemon", "bench")
    assert [row["status"] for row in started["daemons"]] == ["running"]
    assert [row["name"] for row in started["services"]] == ["lab.mirror"]
    assert started["failures"] == [] and started["host"]["pid"]
    assert said("restart", "nameserver", "local")["nameservers"][0]["status"] == "running"
    assert said("up")["failures"] == []
    assert said("down") == {"was_up": True}
    assert said("down") == {"was_up": False}


def test_a_script_is_told_what_does_not_run(running):
    text = CONFIGURATION.replace("classname: Counter", "classname: Missing")
    running.config(text, ns_port=running.ns_port)
    running.run("reload", check=False)
    for command in (["up"], ["restart", "daemon", "other"]):
        result = running.run(*command, "--json", check=False)
        assert result.returncode == 1
        (failure,) = json.loads(result.stdout)["failures"]
        assert "lab.other" in failure and "Missing" in failure


def test_a_result_without_a_json_form_is_refused(running):
    result = running.run("call", "lab.mirror", "same", "--json", "2j", check=False)
    assert result.returncode == 1
    assert "no JSON form" in result.text and "lab.mirror.same" in result.text


SLOW = """\
daemons: {other: {host: localhost, supervision: {stop_grace: 60, hang_timeout: 600}}}
services: {lab.meter: {native: simulated.multimeter, daemon: other}}
autolaunch: {daemons: [other]}
"""


def test_down_waits_as_long_as_it_is_told_to(lab):
    lab.config(SLOW)
    lab.up()
    other = lab.entry("daemons", "other")["pid"]
    os.kill(other, signal.SIGSTOP)
    result = lab.run("down", "--timeout", "10", check=False)
    assert result.returncode == 1 and "not everything has stopped within 10 s" in result.text
    assert "ferrolab ps" in result.text
    os.kill(other, signal.SIGCONT)
    lab.run("down", "--timeout", "60")
    lab.assert_nothing_left()
    assert lab.run("down", "--timeout", "0", check=False).returncode == 2
