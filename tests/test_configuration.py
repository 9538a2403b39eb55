"""The configuration as a file: renaming in it, resetting it, PyroLab's taken over."""

import fcntl
import json
import os
import subprocess

import pytest
from harness import NEVER, free_port
from harness.lab import interpreter
from harness.processes import wait_for_some_changes

CONFIGURATION = """\
# The lab of the second floor
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: localhost, ns_port: $ns_port}   # for everyone
daemons:
  bench:
    host: localhost
    nameservers: [local]
services:
  lab.mirror: {module: mirror, classname: Mirror, daemon: bench, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench]}
"""


def test_a_daemon_is_renamed_with_every_reference_and_keeps_its_port(running):
    file = running.home / "config.yaml"
    before, uri = file.read_text(), running.uri("lab.mirror")
    said = running.run("rename", "daemon", "bench", "oven", "--reload").text
    assert "3 place(s)" in said and "Removed: daemon bench" in said
    assert file.read_text() == before.replace("bench", "oven")
    assert (running.home / "config.yaml.previous").read_text() == before
    assert running.uri("lab.mirror") == uri, "clients go on with the URIs that they have"
    with running.proxy("lab.mirror") as mirror:
        assert mirror.same(1) == 1
    assert running.entry("daemons", "oven")["status"] == "running"


@pytest.mark.parametrize("up", [True, False], ids=["lab up", "lab down"])
def test_what_an_entry_keeps_goes_with_its_name(lab, up):
    """A nameserver's names, a daemon's port and its locks' epochs."""
    ns_port = free_port()
    text = CONFIGURATION.replace("ns_port: $ns_port", "ns_port: $ns_port, storage: sql")
    lab.config(text.replace("host: localhost\n    name", "classname: LockableDaemon\n    name"), ns_port=ns_port)
    lab.up()
    uri = lab.uri("lab.mirror")
    lab.run("ns", "register", "hand.made", "PYRO:x@localhost:1")
    with lab.proxy("lab.mirror") as mirror:
        mirror.lock("ada")
        epoch = mirror.lock_info()["epoch"]
        mirror.unlock()
    if not up:
        lab.run("down")
    lab.run("rename", "nameserver", "local", "first")
    lab.run("rename", "nameserver", "first", "main")
    lab.run("rename", "daemon", "bench", "oven")
    lab.run("reload") if up else lab.up()
    assert lab.run("ns", "lookup", "hand.made").stdout.startswith("PYRO:x@localhost:1")
    assert lab.uri("lab.mirror") == uri
    with lab.proxy("lab.mirror") as mirror:
        mirror.lock("eve")
        assert mirror.lock_info()["epoch"] > epoch
    kept = {file.name for file in (lab.home / "state").iterdir()}
    assert "nameserver-main.sql" in kept and "daemon-oven.json" in kept
    assert not {"nameserver-local.sql", "daemon-bench.json", "locks-bench.json"} & kept


def test_a_wrong_name_renames_nothing(running):
    file = running.home / "config.yaml"
    before = file.read_text()
    cases = [
        (("daemon", "bnech", "x"), "did you mean `bench`?"),
        (("service", "lab.mirror", "a b"), "a_b"),
        (("nameserver", "x", "y"), "there are: local"),
    ]
    for arguments, said in cases:
        result = running.run("rename", *arguments, check=False)
        assert result.returncode == 1 and said in result.text, result.text
    assert file.read_text() == before


def test_it_is_renamed_before_the_first_up_too(lab):
    lab.config(CONFIGURATION, ns_port=lab.free_port())
    assert "bench is oven now" in lab.run("rename", "daemon", "bench", "oven").text
    lab.up()
    assert lab.entry("daemons", "oven")["status"] == "running"


@pytest.mark.parametrize("up", [True, False])
def test_a_name_is_free_when_the_lab_has_taken_up_that_it_was_given_up(lab, up):
    lab.config("daemons: {a: {}, b: {}}\nautolaunch: {daemons: [a, b]}\n")
    lab.up()
    if not up:
        lab.run("down")
    lab.run("rename", "daemon", "b", "c")
    before = (lab.home / "config.yaml").read_text()
    refused = lab.run("rename", "daemon", "a", "b", check=False)
    assert refused.returncode == 1
    assert "daemon b was renamed to c" in refused.text and "ferrolab reload" in refused.text
    assert (lab.home / "config.yaml").read_text() == before
    lab.run("rename", "daemon", "c", "b")  # back
    lab.run("rename", "daemon", "b", "c")
    lab.run("reload") if up else lab.up()
    lab.run("rename", "daemon", "a", "b")


def test_a_users_own_file_is_renamed_in(lab):
    file = lab.write("services: {x: {native: simulated.multimeter, daemon: a}}\ndaemons: {a: {}} # one\n")
    lab.run("rename", "daemon", "a", "b", "--file", file)
    assert file.read_text() == "services: {x: {native: simulated.multimeter, daemon: b}}\ndaemons: {b: {}} # one\n"


def test_export_and_reset(lab):
    lab.config("daemons: {a: {}}  # mine\n")
    assert lab.run("config", "export").stdout == "daemons: {a: {}}  # mine\n"
    lab.run("config", "export", "out.yaml")
    assert (lab.files / "out.yaml").read_text() == "daemons: {a: {}}  # mine\n"
    assert lab.run("config", "reset", check=False).returncode == 1, "nobody is there to answer"
    assert "# mine" in lab.run("config", "export").stdout
    assert "config.yaml.previous" in lab.run("config", "reset", "--yes").text
    assert "# mine" not in lab.run("config", "export").stdout
    assert (lab.home / "config.yaml.previous").read_text() == "daemons: {a: {}}  # mine\n"


PYROLABS = """\
version: '1.0'
nameservers:
  ns:
    host: localhost
    ns_port: $ns_port
daemons:
  bench:
    module: pyrolab.server
    classname: Daemon
    host: localhost
    nameservers: [ns]
services:
  lab.sample:
    module: pyrolab.drivers.sample
    classname: SampleService
    daemon: bench
    nameservers: [ns]
autolaunch:
  nameservers: [ns]
  daemons: [bench]
"""


def test_a_pyrolab_configuration_is_taken_over_and_runs(lab, monkeypatch):
    file = lab.write(PYROLABS, "data/user_configuration.yaml", ns_port=free_port())
    monkeypatch.setattr(lab, "environment", lambda real=lab.environment: real() | {"PYROLAB_DATA_DIR": str(file.parent)})
    said = lab.run("config", "import").text
    assert str(file) in said and f"drivers run in {os.path.dirname(interpreter())}" in said
    installed = (lab.home / "config.yaml").read_text()
    assert installed.startswith(file.read_text()), "the user's text stays as it is"
    lab.up()
    with lab.proxy("lab.sample") as sample:
        assert sample.echo("hello").startswith("SERVER RECEIVED")


def test_an_import_without_a_file_says_where_it_looked(lab, monkeypatch):
    monkeypatch.setattr(lab, "environment", lambda real=lab.environment: real() | {"HOME": str(lab.files)})
    result = lab.run("config", "import", check=False)
    assert result.returncode == 1
    assert "user_configuration.yaml" in result.text and "ferrolab config import FILE" in result.text


def test_what_was_looked_at_is_what_is_installed(lab):
    """A pipe can be read once only."""
    text = "nameservers: {n: {storage: sql:names.sql}}  # from a pipe\n"
    said = subprocess.run(
        [lab.binary, "config", "update", "/dev/stdin"],
        input=text,
        cwd=lab.files,
        env=lab.environment(),
        capture_output=True,
        text=True,
        timeout=NEVER,
    )
    assert said.returncode == 0 and "1 nameserver(s)" in said.stdout, said
    assert lab.run("config", "export").stdout == text
    said = lab.run("info").text
    assert f"sql:{lab.files}/names.sql" in said and "configuration from" not in said


def test_updates_at_once_are_whole(lab):
    """Each file comes with the folder of its paths, whichever update is last or killed."""
    folders = [lab.files / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
        (folder / "lab.yaml").write_text(f"daemons: {{{folder.name}: {{host: localhost}}}}\n")
    for turn in range(12):
        updates = [lab.start("config", "update", folder / "lab.yaml") for folder in folders]
        if turn % 2:
            wait_for_some_changes(lab.home, 8, updates)
            for update in updates:
                update.kill()
        for update in updates:
            update.wait(timeout=NEVER)
        if not (lab.home / "config.yaml").exists():
            continue
        text = lab.run("config", "export").stdout
        info = lab.run("info").text
        name = "a" if "{a:" in text else "b"
        assert f"/{name}/lab.yaml" in info, f"{text}\n{info}"
    lab.run("config", "update", folders[0] / "lab.yaml")
    assert not list(lab.home.glob(".config.yaml.*.tmp"))


@pytest.mark.parametrize(
    "text",
    [
        "python: {path: [drivers]}\n" + PYROLABS,
        json.dumps({"services": {"x": {"module": "m", "classname": "C", "daemon": "d"}}, "daemons": {"d": {}}}, indent=2),
        PYROLABS + "...\n",
    ],
    ids=["with a python", "in braces", "with an end"],
)
def test_an_import_that_would_break_the_file_is_refused(lab, text):
    file = lab.write(text, "pyrolabs.yaml", ns_port=free_port())
    result = lab.run("config", "import", file, check=False)
    assert result.returncode == 1 and "executable:" in result.text and "config update" in result.text
    assert not (lab.home / "config.yaml").exists()


def test_who_keeps_the_configuration_locked_holds_up_no_lab(running):
    """A command line that hangs, or was stopped, in the middle of a change."""
    file = running.home / "config.yaml"
    with open(running.home / "state/config.lock", "ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        file.write_text(file.read_text().replace("  bench:", "  spare: {}\n  bench:"))
        assert "Added: daemon spare" in running.run("reload").text
        assert "running" in running.run("start", "daemon", "spare").text
        said = running.run("rename", "daemon", "spare", "oven", check=False)
        assert said.returncode == 1
        # The lines of an error are broken where the terminal ends.
        text = " ".join(said.text.replace("│", " ").split())
        assert f"process {os.getpid()} has held it for 10 s" in text
        running.run("down")
        running.up()
        assert running.entry("daemons", "spare")["status"] == "running"
    running.run("rename", "daemon", "spare", "oven", "--reload")
    assert running.entry("daemons", "oven")["status"] == "running"


@pytest.mark.parametrize("up", [True, False], ids=["lab up", "lab down"])
def test_changes_at_the_same_time_are_all_made(lab, up):
    """Each renames in the file as the other has left it."""
    names = [f"d{n}" for n in range(4)]
    entries = "".join(f"  {name}: {{}}  # keeps its place\n" for name in names)
    lab.config(f"daemons:\n{entries}autolaunch: {{daemons: [d3]}}\n")
    file = lab.home / "config.yaml"
    lab.up()
    lab.run("stop", "daemon", "d3")
    if not up:
        lab.down()
    for turn in range(5):
        before = file.read_text()
        renamed = {f"d{n}" + "x" * turn: f"d{n}" + "x" * (turn + 1) for n in range(4)}
        started = [lab.start("rename", "daemon", old, new) for old, new in renamed.items()]
        for process in started:
            said = process.communicate(timeout=NEVER)[0]
            assert process.returncode == 0, said
        expected = before
        for old, new in renamed.items():
            expected = expected.replace(f"{old}:", f"{new}:").replace(f"[{old}]", f"[{new}]")
        assert file.read_text() == expected
        lab.run("reload") if up else None
    if not up:
        lab.up()
    assert lab.entry("daemons", "d3xxxxx")["status"] == "stopped", "what was decided goes along"
