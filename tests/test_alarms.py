"""Alarms on values: from the sample to `status` and acknowledgement, over restarts."""

import json

import pytest
from harness import NEVER, wait_for
from harness.processes import kill
from test_notify import Hook

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
notify: {url: "http://127.0.0.1:$port/"}
daemons:
  bench: {supervision: {backoff: [0]}}
services:
  lab.gauge:
    {module: gauge, classname: Gauge, daemon: bench, instancemode: single, arguments: ["$folder"],
     members: {
       value: {poll: 100ms, unit: K, alarm: [
         {above: 10, hysteresis: 2, message: "too warm"}, {below: -10, latch: true}, {no_data: 10m}]},
       both: {poll: 100ms, alarm: {above: 100, part: y}}}}
autolaunch: {daemons: [bench]}
"""


@pytest.fixture
def hook():
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture
def gauge(lab, tmp_path, hook):
    folder = tmp_path / "instrument"
    folder.mkdir()
    gauge = Gauge(lab, folder)
    gauge.set("1")
    lab.config(CONFIGURATION, folder=folder, port=hook.port)
    lab.up()
    return gauge


class Gauge:
    """The instrument: its value is the text in a file. And its alarms."""

    def __init__(self, lab, folder):
        self._lab, self._file = lab, folder / "value"

    def set(self, text):
        self._file.write_text(text)

    def alarms(self):
        rows = json.loads(self._lab.run("alarms", "--json").stdout)
        return {f"{row['member']} {row['condition']}": row for row in rows}

    def wait(self, wanted):
        """Waits until exactly these alarms are not ok, each in its state."""

        def reached():
            alarms = self.alarms()
            found = {key: row["state"] for key, row in alarms.items()}
            return (True, alarms) if found == wanted else None

        return wait_for(reached, NEVER, f"{wanted}")[1]


def test_an_alarm_fires_is_acknowledged_and_clears(lab, gauge, hook):
    assert "are ok" in lab.run("alarms").stdout
    gauge.set("11")
    row = gauge.wait({"value above 10": "firing"})["value above 10"]
    assert (row["value"], row["unit"], row["message"]) == (11, "K", "too warm")
    told = hook.wait("alarm_fires", "alarm lab.gauge.value (above 10)")
    assert told["message"] == "it fires (above 10), with 11.0 K: too warm"
    status = lab.run("status", check=False)
    assert status.returncode == 1 and "alarm lab.gauge.value: it fires (above 10)" in status.stdout
    lab.run("alarms", "ack", "lab.gauge.value", "--user", "ada", "--reason", "on my way")
    row = gauge.wait({"value above 10": "acknowledged"})["value above 10"]
    assert row["acknowledged"]["by"] == "ada" and row["acknowledged"]["reason"] == "on my way"
    assert "alarm lab.gauge.value" not in lab.run("status", check=False).stdout
    # Back, but not by the hysteresis.
    gauge.set("9")
    again = lab.run("alarms", "ack", "lab.gauge.value", check=False)
    assert again.returncode == 1 and "needs nobody" in again.stderr
    gauge.set("8")
    gauge.wait({})
    for words in ("an alarm fires", "an alarm is acknowledged", "an alarm has cleared"):
        wait_for(lambda words=words: words in lab.run("logs", "show").stdout, NEVER, f"the log has {words!r}")


def test_states_outlive_the_daemon_and_the_lab(lab, gauge):
    gauge.set("-11")
    gauge.wait({"value below -10": "firing"})
    gauge.set("0")
    wait_for(lambda: gauge.alarms()["value below -10"]["is_over"], NEVER, "the condition is over")
    kill(lab.entry("daemons", "bench")["pid"])
    lab.wait_for_status("daemons", "bench", "running")
    row = gauge.wait({"value below -10": "firing"})["value below -10"]
    # The state is written at most once a second: perhaps not yet when the daemon was killed.
    wait_for(lambda: gauge.alarms()["value below -10"]["is_over"], NEVER, "the condition is over again")
    lab.down()
    lab.up()
    assert gauge.wait({"value below -10": "firing"})["value below -10"]["since"] == row["since"]
    lab.run("alarms", "ack", "lab.gauge")
    gauge.wait({})


def test_silence_is_a_state_and_ends_with_the_next_value(lab, gauge, hook, tmp_path):
    changed = CONFIGURATION.replace("no_data: 10m", "no_data: 2s")
    lab.config(changed, folder=tmp_path / "instrument", port=hook.port)
    lab.run("reload")
    gauge.set("broken")
    gauge.wait({"value no data for 2 s": "no data"})
    hook.wait("alarm_no_data", "alarm lab.gauge.value (no data for 2 s)")
    assert lab.run("status", check=False).returncode == 1
    gauge.set("1")
    gauge.wait({})


def test_a_new_limit_needs_no_restart(lab, gauge, hook, tmp_path):
    pid = lab.entry("daemons", "bench")["pid"]
    changed = CONFIGURATION.replace("above: 10,", "above: 0.5,").replace("above: 100", "above: 1.5")
    lab.config(changed, folder=tmp_path / "instrument", port=hook.port)
    lab.run("reload")
    alarms = gauge.wait({"value above 0.5": "firing", "both.y above 1.5": "firing"})
    assert lab.entry("daemons", "bench")["pid"] == pid, alarms
