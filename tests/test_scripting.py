"""Commands that change something print one JSON object for scripts, and nothing else."""

import json

import pytest
from harness import free_port

CONFIGURATION = """\
nameservers:
  local: {host: localhost, ns_port: $ns_port}
daemons:
  bench: {classname: LockableDaemon, host: localhost, nameservers: [local]}
services:
  lab.meter: {native: simulated.multimeter, daemon: bench, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench]}
"""


def told(lab, *words, code=0):
    """The one object that a command prints with `--json`."""
    result = lab.run(*words, "--json", check=False)
    assert result.returncode == code, (words, result.text)
    return json.loads(result.stdout)


@pytest.fixture
def port():
    return free_port()


def test_config_update_and_reload(lab, port):
    file = lab.write(CONFIGURATION, ns_port=port)
    done = told(lab, "config", "update", file)
    installed = str(lab.home / "config.yaml")
    assert done == {
        "file": str(file),
        "problems": [],
        "warnings": [],
        "configuration": installed,
        "previous": None,
        "nameservers": 1,
        "daemons": 1,
        "services": 1,
        "is_up": False,
        "reload": None,
    }
    lab.up()
    lab.write(CONFIGURATION + "python: {path: [here]}\n", ns_port=port)
    done = told(lab, "config", "update", file)
    assert done["is_up"] and done["reload"] is None and done["previous"] == installed + ".previous"
    lab.write(CONFIGURATION.replace("daemons:\n", "daemons:\n  new: {}\n"), ns_port=port)
    done = told(lab, "config", "update", file, "--reload")
    assert done["reload"]["added"] == ["daemon new"] and done["reload"]["failures"] == []
    assert told(lab, "reload")["failures"] == []
    broken = CONFIGURATION.replace("daemons:\n", f"daemons:\n  taken: {{port: {port}}}\n").replace("[bench]", "[bench, taken]")
    lab.write(broken, ns_port=port)
    done = told(lab, "config", "update", file, "--reload", code=1)
    assert "daemon taken" in done["reload"]["failures"][0], "a script is told why"


@pytest.mark.parametrize("command", ["update", "check", "import"])
def test_a_refused_file(lab, command):
    """Every problem, in the shape of `config check`, from each command that reads a file."""
    file = lab.write("daemons: {a: {prot: 1}}\nnonsense: 1\n")
    done = told(lab, "config", command, file, code=1)
    assert [problem["line"] for problem in done["problems"]] == [1, 2]
    assert done["file"] == str(file) and "2 problems" in done["error"]
    done = told(lab, "config", command, "nowhere.yaml", code=1)
    assert done["problems"] == [] and "nowhere.yaml" in done["error"]
    assert not (lab.home / "config.yaml").exists()


def test_config_import_export_and_reset(lab, port):
    installed = lab.home / "config.yaml"
    assert told(lab, "config", "reset", "--yes") == {
        "was_there": False,
        "configuration": str(installed),
        "previous": None,
    }
    file = lab.write(CONFIGURATION, ns_port=port)
    done = told(lab, "config", "import", file)
    assert done["services"] == 1 and done["problems"] == [] and done["changes"]
    copy = lab.files / "copy.yaml"
    assert told(lab, "config", "export", copy) == {"file": str(copy), "previous": None}
    assert copy.read_bytes() == installed.read_bytes()
    done = told(lab, "config", "reset", "--yes")
    assert done["was_there"] and done["previous"] == f"{installed}.previous"
    assert lab.run("config", "reset", "--json", check=False).returncode == 2, "a script answers with --yes"
    assert lab.run("config", "export", "--json", check=False).returncode == 2


def test_rename(lab, port):
    lab.config(CONFIGURATION, ns_port=port)
    done = told(lab, "rename", "service", "lab.meter", "lab.volt")
    assert (done["kind"], done["old"], done["new"], done["places"]) == ("service", "lab.meter", "lab.volt", 1)
    assert done["file"] == str(lab.home / "config.yaml") and done["previous"] == done["file"] + ".previous"
    assert done["origin"] == str(lab.files / "lab.yaml") and done["is_up"] is False and done["reload"] is None
    lab.up()
    done = told(lab, "rename", "daemon", "bench", "oven", "--reload")
    assert done["places"] == 3 and done["is_up"] and done["reload"]["added"] == ["daemon oven"]
    file = lab.write(CONFIGURATION, ns_port=port)
    done = told(lab, "rename", "daemon", "bench", "oven", "--file", file)
    assert done["file"] == str(file) and done["is_up"] is None and done["origin"] is None


def test_unlock(lab, port):
    lab.config(CONFIGURATION, ns_port=port)
    lab.up()
    words = ["unlock", "--break", "lab.meter", "--reason", "lunch", "--user", "eve"]
    with lab.proxy("lab.meter") as meter:
        assert meter.lock("ada")
        assert told(lab, *words) == {"broken": "lab.meter", "by": "eve", "reason": "lunch"}
    refused = lab.run(*words, "--json", check=False)
    assert refused.returncode == 1 and refused.stdout == "" and "not locked" in refused.stderr


def test_logs_export_and_clean(lab, port):
    assert told(lab, "logs", "clean", "--yes") == {"deleted": []}
    lab.config(CONFIGURATION, ns_port=port)
    lab.up()
    lab.down()
    file = lab.files / "lab.log"
    done = told(lab, "logs", "export", file)
    assert done == {"file": str(file), "lines": len(file.read_text().splitlines())}
    assert lab.run("logs", "export", "-").stdout == file.read_text()
    assert lab.run("logs", "export", "-", "--json").stdout == file.read_text(), "these lines are JSON"
    assert told(lab, "logs", "clean", "--yes") == {"deleted": [str(lab.home / "logs/ferrolab.log")]}
