"""The workflow under `.github/`: valid YAML whose commands exist."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOW = ROOT / ".github/workflows/ci.yml"
#: Commands of `cargo` itself that a step may use.
CARGO = {"check", "package"}


def _steps():
    jobs = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    return [(name, step) for name, job in jobs.items() for step in job["steps"]]


def _commands():
    for name, step in _steps():
        for line in step.get("run", "").splitlines():
            yield pytest.param(shlex.split(line), id=f"{name}: {line}")


@pytest.mark.parametrize("words", list(_commands()))
def test_a_step_runs_what_exists(words):
    if words[:2] == ["cargo", "xtask"]:
        usage = (ROOT / "xtask/src/arguments.rs").read_text(encoding="utf-8")
        for word in words[2:]:
            assert re.search(rf"^ +{re.escape(word)}\b", usage, re.MULTILINE), f"xtask has no `{word}`"
    elif words[0] == "cargo":
        assert next(word for word in words[1:] if not word.startswith("+")) in CARGO
        named = [after for word, after in zip(words, words[1:]) if word in ("--package", "--exclude")]
        metadata = subprocess.run(
            ["cargo", "tree", "--workspace", "--depth", "0", "--prefix", "none", "--format", "{p}"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )
        packages = {line.split()[0] for line in metadata.stdout.splitlines() if line}
        assert set(named) <= packages
    elif words[0] == "bash":
        script = ROOT / words[1]
        assert script.is_file()
        assert subprocess.run(["bash", "-n", script]).returncode == 0


def test_the_workflow_has_triggers_and_steps():
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    # YAML 1.1 reads the key `on` as true.
    triggers = workflow.get("on", workflow.get(True))
    assert {"push", "pull_request"} <= set(triggers)
    for name, job in workflow["jobs"].items():
        assert job["runs-on"], name
        assert all(("run" in step) != ("uses" in step) for step in job["steps"]), name
