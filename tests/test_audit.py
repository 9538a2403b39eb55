"""The audit: what is in it, that changes of its files are found, and a disk that takes none."""

import json
import os
import signal
import subprocess

import Pyro5.api
import Pyro5.errors
import pytest
from harness import NEVER, wait_for

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
$top
daemons:
  bench: {classname: LockableDaemon}
  other: {}
services:
  lab.audited: {$wire, daemon: bench, audit: calls, private: [echo]}
  lab.plain: {$wire, daemon: bench}
  lab.other: {$wire, daemon: other, audit: calls}
autolaunch: {daemons: [bench, other]}
"""
WIRE = "module: wire, classname: Wire, instancemode: single"


@pytest.fixture
def running(lab):
    lab.config(CONFIGURATION, wire=WIRE, top="")
    lab.up()
    return lab


def audit(lab, *arguments):
    return json.loads(lab.run("audit", "--json", *arguments).stdout)


def lines_of(lab, *arguments):
    """The lines about what people did."""
    return [line for line in audit(lab, *arguments) if line["action"] not in ("file", "started")]


def recorded(lab, count, *arguments):
    wait_for(lambda: len(lines_of(lab, *arguments)) >= count, NEVER, "the lines")
    lines = lines_of(lab, *arguments)
    assert len(lines) == count, lines
    return lines


def test_who_did_what(running):
    with running.proxy("lab.audited") as ada, running.proxy("lab.plain") as plain:
        plain.note("not audited")
        ada.lock("ada")
        epoch = ada.lock_info()["epoch"]
        ada.value = 5
        assert ada.value == 5
        ada.note("x" * 1000)
        ada.echo("hunter2")
        ada.note_oneway("y")
        with running.proxy("lab.audited") as eve:
            with pytest.raises(ConnectionRefusedError):
                eve.note("refused")
            with pytest.raises(ConnectionRefusedError):
                eve.lock("eve")
        with pytest.raises(ValueError):
            ada.fail("too far")
        uri = str(running.uri("lab.audited"))
        with Pyro5.api.Proxy("PYRO:bench@" + uri.partition("@")[2]) as bench:
            assert bench.release(uri, "the beam is on", "bob") is True
    running.run("restart", "daemon", "other")
    running.run("reload")
    lines = recorded(running, 9)
    found = [
        (line["action"], line["who"], line.get("service"), line.get("member"), line["outcome"].split(":")[0])
        for line in lines
    ]
    me = lines[-1]["who"]
    service = "lab.audited"
    nobody = "anonymous@127.0.0.1"
    assert sorted(found[:7]) == sorted(
        [
            ("set", nobody, service, "value", "done"),
            ("call", nobody, service, "note", "done"),
            ("call", nobody, service, "echo", "done"),
            ("oneway", nobody, service, "note_oneway", "done"),
            ("refused", nobody, service, "note", "ConnectionRefusedError"),
            ("call", nobody, service, "fail", "ValueError"),
            ("break", nobody, "bench", "release", "done"),
        ]
    )
    assert [line[:3] for line in found[7:]] == [("restart", me, "daemon other"), ("reload", me, None)]
    assert {line.get("user") for line in lines if line["action"] in ("set", "oneway")} == {"ada"}
    by_member = {line.get("member"): line for line in lines}
    assert by_member["value"]["epoch"] == epoch and by_member["value"]["arguments"] == "5"
    assert len(by_member["note"].get("arguments", "").encode()) <= 256
    assert by_member["echo"]["arguments"] == "(private)"
    assert uri in by_member["release"]["arguments"] and "the beam is on" in by_member["release"]["arguments"]
    assert by_member["value"]["from"].startswith("127.0.0.1:")
    folder = running.home / "audit"
    assert not any("hunter2" in file.read_text() for file in folder.iterdir())
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600} and folder.stat().st_mode & 0o777 == 0o700
    for arguments, count in [
        (("--who", "ada"), 5),
        (("--who", me), 2),
        (("--service", "lab.audited"), 6),
        (("--service", "daemon other"), 1),
        (("--since", "1h"), 9),
        (("--since", "2999-01-01"), 0),
    ]:
        assert len(lines_of(running, *arguments)) == count, arguments
    assert len(audit(running, "--last", "2")) == 2
    text = running.run("audit").stdout
    assert "OUTCOME" in text and "the beam is on" in text
    assert "lines are as they were written" in running.run("audit", "--verify").stdout


def test_a_change_of_a_file_is_found(running):
    with running.proxy("lab.audited") as ada:
        for number in range(5):
            ada.note(number)
    recorded(running, 5, "--service", "lab.audited")
    running.run("down")
    (file,) = (running.home / "audit").glob("*.bench.jsonl")
    whole = file.read_text()
    lines = whole.splitlines(keepends=True)

    def faults(text):
        file.write_text(text)
        result = running.run("audit", "--verify", "--json", check=False)
        found = json.loads(result.stdout)
        assert result.returncode == (1 if found["faults"] else 0)
        said = running.run("audit", "--verify", check=False)
        assert said.returncode == result.returncode
        return [(fault["file"], fault.get("line"), fault["text"]) for fault in found["faults"]]

    name = file.name
    assert faults(whole) == []
    changed = "this line was changed: it does not have its hash"
    assert faults(whole.replace('"member":"note"', '"member":"nope"', 1)) == [(name, 3, changed)]
    assert faults("".join(lines[:3] + lines[4:])) == [(name, 4, "number 4 is missing before this line")]
    moved = lines[:3] + lines[4:6] + lines[3:4] + lines[6:]
    assert faults("".join(moved)) == [(name, 6, "number 4 is not in its place: number 7 belongs here")]
    for cut in (lines[:-1], lines[:-3]):
        found = faults("".join(cut))
        assert found and all("were cut off" in text for _, _, text in found), found
    file.unlink()
    assert "no file of daemon bench is there" in running.run("audit", "--verify", check=False).text
    file.write_text(whole)
    running.up()


def test_killed_processes_tear_one_line_at_most(running):
    with running.proxy("lab.audited") as ada:
        for number in range(200):
            ada.note_oneway(number)
        ada.note("last")
    pid = running.entry("daemons", "bench")["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: running.entry("daemons", "bench")["pid"] not in (None, pid), NEVER, "it is back")
    running.wait_for_status("daemons", "bench", "running")
    # As a kill leaves it in the middle of a write.
    running.run("stop", "daemon", "bench")
    (file,) = (running.home / "audit").glob("*.bench.jsonl")
    (running.home / "state" / "audit-bench.json").unlink()
    with file.open("a") as end:
        end.write(file.read_text().splitlines()[-1][:50])
    running.run("start", "daemon", "bench")
    wait_for(lambda: "torn" in [line["action"] for line in audit(running)], NEVER, "it is recorded")
    assert "lines are as they were written" in running.run("audit", "--verify").stdout


def small_disk(lab):
    """A small disk at the audit's folder; None where this user may not mount one."""
    folder = lab.home / "audit"
    folder.mkdir(mode=0o700, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "ferrolab-test", str(folder)]
    return None if subprocess.run(mount, capture_output=True).returncode else folder


def told(lab, words):
    return words in lab.run("status", check=False).text


@pytest.mark.parametrize("need", ["optional", "required"])
def test_a_full_disk(lab, need):
    notified = lab.files / "notified"
    top = 'audit: %s\nnotify: {command: [sh, -c, "cat >> %s"]}' % (need, notified)
    lab.config(CONFIGURATION, wire=WIRE, top=top)
    folder = small_disk(lab)
    if folder is None:
        pytest.skip("mounting a small disk needs root")
    try:
        lab.up()
        filler = folder / "filler"
        with lab.proxy("lab.audited") as ada, lab.proxy("lab.plain") as plain, open(filler, "wb") as file:
            assert ada.note("well") == 1
            recorded(lab, 1, "--service", "lab.audited")
            while True:
                try:
                    os.write(file.fileno(), b"x" * 1024)
                except OSError:
                    break
            refusal = "its audit cannot be written"

            def is_noticed():
                try:
                    ada.note("is it noticed?")
                except Pyro5.errors.DaemonError as error:
                    assert refusal in str(error)
                    return need == "required"
                return told(lab, "cannot be written")

            wait_for(is_noticed, NEVER, "the disk is full")
            wait_for(lambda: told(lab, "the audit"), NEVER, "status tells of it")
            wait_for(lambda: notified.exists() and "audit" in notified.read_text(), NEVER, "a notification")
            # Reads, locks and what is not audited go on.
            assert ada.value == 1 and ada.lock("ada") and ada.unlock() and plain.note("well") == 1
            if need == "required":
                for act in (lambda: ada.note("no"), lambda: setattr(ada, "value", 7)):
                    with pytest.raises(Pyro5.errors.DaemonError, match=refusal):
                        act()
                batch = Pyro5.api.BatchProxy(ada)
                batch.note("no")
                with pytest.raises(Pyro5.errors.DaemonError, match=refusal):
                    list(batch())
            else:
                ada.note("yes")
            filler.unlink()
            file.close()
            wait_for(lambda: not told(lab, "the audit"), NEVER, "it is written again")
            ada.note("afterwards")
            # Nothing is lost: what was carried out meanwhile had waited in memory.
            texts = lambda: [line.get("arguments") for line in lines_of(lab, "--service", "lab.audited")]
            wait_for(lambda: "('afterwards')" in texts(), NEVER, "the line")
            assert ("('yes')" in texts()) is (need == "optional") and "('is it noticed?')" in texts()
            assert "('no')" not in texts()
        assert "lines are as they were written" in lab.run("audit", "--verify").stdout
        lab.run("down")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)
