"""Instruments that are off or unwell: `start: eager`, `health`; `status` and callers agree."""

import json
import threading
from datetime import UTC, datetime

import pytest
from harness import NEVER, wait_for

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {classname: LockableDaemon, servertype: $servertype}}
services:
  lab.patient:
    {module: patient, classname: Patient, daemon: bench, instancemode: single, expose: [identify, position, move],
     arguments: ["$folder"], $keys}
autolaunch: {daemons: [bench]}
"""


class Folder:
    """The folder that says how the instrument is."""

    def __init__(self, path):
        self.path = path
        path.mkdir()

    def set(self, name):
        (self.path / name).touch()

    def clear(self, name):
        (self.path / name).unlink()

    def life(self):
        file = self.path / "life"
        return file.read_text().split("\n")[:-1] if file.exists() else []


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path / "instrument")
    yield folder
    for name in ("hang", "off"):
        (folder.path / name).unlink(missing_ok=True)
    folder.set("moved")


def start(lab, folder, keys, servertype="thread", check=True):
    lab.config(CONFIGURATION, folder=folder.path, keys=keys, servertype=servertype)
    return lab.up(check=check)


def service(lab):
    entry = lab.entry("services", "lab.patient")
    return entry["status"], entry["error"]


def wait_until(lab, status, error=None):
    """Waits for the status, with this in the error; or without an error."""

    def is_so():
        found, why = service(lab)
        return found == status and (error in (why or "") if error else why is None)

    wait_for(is_so, NEVER, f"{status}: {error}")


def verdict(lab):
    """The findings of `status`, and its exit code."""
    result = lab.run("status", "--json", check=False)
    findings = json.loads(result.stdout)["findings"]
    return result.returncode, {finding["subject"]: finding["problem"] for finding in findings}


SERVERTYPES = ["thread", "multiplex"]
# Trouble, and its words.
TROUBLES = {
    "it raises": ("broken", "its health check identify raised OSError: the handle is stale"),
    # More than the daemon may report in one line.
    "it raises much": ("loud", "its health check identify raised OSError: loud loud"),
    "it returns False": ("deaf", "its health check identify returned False"),
    "it blocks": ("hang", "its health check identify has not returned within 0.3 s"),
}


@pytest.mark.parametrize("servertype", SERVERTYPES)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_failing_check_is_shown_until_the_instrument_is_well_again(lab, folder, servertype, trouble):
    file, words = TROUBLES[trouble]
    start(lab, folder, "health: {method: identify, every: 300ms}", servertype)
    wait_until(lab, "running")
    wait_for(lambda: verdict(lab) == (0, {}), NEVER, "all is well")
    folder.set(file)
    wait_until(lab, "unwell", words)
    if file == "loud":
        # Making so much text may take longer than the check may, on a slow machine.
        words = "its health check identify"

    def is_told():
        code, found = verdict(lab)
        return code == 1 and words in found.get("service lab.patient", "")

    # A check of a busy machine may have another outcome in between.
    wait_for(is_told, NEVER, "`status` tells of it")
    # A listing has been made; `run` checks its exit code.
    wait_for(lambda: words in lab.run("ps").stdout, NEVER, "`ps` shows it")
    # Nothing waits for the check, whatever it does.
    with lab.proxy("lab.patient") as proxy:
        assert proxy.position() == 7
        assert proxy.lock("ada") and proxy.unlock()
    if file == "hang":
        assert "identify" in lab.run("calls").stdout and "a health check" in lab.run("calls").stdout
    if file == "broken":
        # A stale handle is for a new process.
        lab.restart("daemon", "bench", "--force")
    else:
        folder.clear(file)
    wait_until(lab, "running")
    wait_for(lambda: verdict(lab) == (0, {}), NEVER, "all is well again")
    if file != "broken":
        assert folder.life().count("made") == 1

        def is_logged():
            log = lab.run("logs", "show", "--service", "lab.patient").stdout
            return "the service is unwell" in log and "the service is well again" in log

        wait_for(is_logged, NEVER, "the log has both")


@pytest.mark.parametrize("servertype", SERVERTYPES)
def test_a_failed_instance_is_replaced_where_the_configuration_says_so(lab, folder, servertype):
    start(lab, folder, "health: {method: identify, every: 300ms, replace: true}", servertype)
    wait_for(lambda: folder.life() == ["made"], NEVER, "the first check")
    folder.set("broken")
    wait_for(lambda: folder.life() == ["made", "closed", "made"], NEVER, "another instance")
    wait_until(lab, "running")


@pytest.mark.parametrize("servertype", SERVERTYPES)
def test_no_check_runs_beside_the_lock_owners_call(lab, folder, servertype):
    start(lab, folder, "read_while_locked: [identify], health: {method: identify, every: 100ms}", servertype)
    wait_for(lambda: folder.life() == ["made"], NEVER, "the first check")
    with lab.proxy("lab.patient") as owner:
        assert owner.lock("ada")
        thread = threading.Thread(target=lambda: move(lab, owner))
        thread.start()
        wait_for(lambda: "moves" in folder.life(), NEVER, "the owner's call")
        folder.set("hang")
        # Ten checks would have begun meanwhile.
        wait_for(lambda: shown_waits(lab) >= 1.0, NEVER, "the owner's call lasts for a second")
        assert "hangs" not in folder.life()
        folder.set("moved")
        thread.join(NEVER)
        owner._pyroClaimOwnership()
        wait_until(lab, "unwell", "has not returned within 0.1 s")
        # A check that was late may have failed before the one that hangs has begun.
        told = ["made", "moves", "has moved", "hangs"]
        wait_for(lambda: folder.life() == told, NEVER, "the check after the call")


def move(lab, owner):
    owner._pyroClaimOwnership()
    owner.move()


def shown_waits(lab):
    """For how many seconds the owner's call is shown to run."""
    rows = json.loads(lab.run("calls", "--json").stdout)
    begun = [datetime.fromisoformat(row["since"]) for row in rows if row["member"] == "move"]
    return max([(datetime.now(UTC) - since).total_seconds() for since in begun], default=0)


def test_an_eager_instance_is_made_at_the_start_and_tried_until_it_is_there(lab, folder):
    folder.set("off")
    result = start(lab, folder, "start: eager, health: {method: identify, every: 300ms}", check=False)
    assert "no answer from COM4" in result.text
    wait_until(lab, "failed", "its constructor raised ConnectionError: no answer from COM4")
    # A caller hears the same.
    with lab.proxy("lab.patient") as proxy, pytest.raises(ConnectionError, match="no answer from COM4"):
        proxy.position()
    folder.clear("off")
    wait_until(lab, "running")
    assert folder.life() == ["made"]


def test_by_default_the_first_call_makes_the_instance(lab, folder):
    start(lab, folder, "start: lazy, description: a")
    assert (service(lab), folder.life()) == (("running", None), [])
    start_again = lab.write(CONFIGURATION, folder=folder.path, keys="start: eager", servertype="thread")
    lab.run("config", "update", start_again)
    lab.run("reload")
    wait_for(lambda: folder.life() == ["made"], NEVER, "the instance")
