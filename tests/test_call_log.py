"""The call log: which calls are in it, what a line says, and a disk that takes none."""

import json
import re
import os
import subprocess

import Pyro5.api
import Pyro5.errors
import pytest
from harness import NEVER, wait_for
from harness.locks import later, own

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon, slow_call: 4}
  patient: {classname: LockableDaemon, slow_call: 600}
  other: {call_log: all, slow_call: 1}
services:
  lab.errors: {$wire, daemon: bench}
  lab.off: {$wire, daemon: bench, call_log: off}
  lab.changes: {$wire, daemon: patient, call_log: changes, private: [note], members: {echo: {private: true}}}
  lab.private: {$wire, daemon: patient, members: {note_oneway: {private: true, maximum: 9999}}}
  lab.all: {$wire, daemon: other}
autolaunch: {daemons: [bench, patient, other]}
"""


@pytest.fixture
def running(lab):
    lab.config(CONFIGURATION, wire="module: wire, classname: Wire, instancemode: single")
    lab.up()
    return lab


def history(lab, *arguments):
    lines = json.loads(lab.run("calls", "--history", "--json", *arguments).stdout)
    return [line for line in lines if not is_slow_by_chance(line)]


def is_slow_by_chance(line):
    """On a busy machine any call of `bench` may be slow."""
    is_slow = line.get("service") == "lab.errors" and line["outcome"] == "returned" and line.get("slow")
    return is_slow and line["duration"] >= 4 and line["member"] != "hold"


def logged(lab, count, *arguments):
    """So many lines of the history, once they are written."""
    wait_for(lambda: len(history(lab, *arguments)) >= count, NEVER, "the lines")
    lines = history(lab, *arguments)
    assert len(lines) == count, lines
    return lines


def shown(line):
    return (line["kind"], line["member"], line.get("exception") or line["outcome"], line.get("message"))


def test_errors_refusals_and_slow_calls_are_logged_by_default(running, tmp_path):
    gate = tmp_path / "gate"
    with running.proxy("lab.errors") as client, running.proxy("lab.off") as off:
        client.lock("ada")
        assert client.note("well") == 1 and client.value == 1
        client.value = 2
        for raised in (lambda: client.fail("too far\nby 5 mm"), lambda: off.fail("not logged")):
            with pytest.raises(ValueError):
                raised()
        with running.proxy("lab.errors") as stranger, pytest.raises(ConnectionRefusedError):
            stranger.note("refused")
        batch = Pyro5.api.BatchProxy(client)
        batch.note("in a batch")
        batch.fail("in a batch")
        with pytest.raises(ValueError):
            list(batch())
        assert list(client.numbers(2)) == [0, 1]
        with pytest.raises(ZeroDivisionError):
            list(client.failing(0))
        with pytest.raises(AttributeError):
            client._pyroInvoke("nothing", (), {})
        client.fail_oneway()
        wait_for(lambda: "failing" in client.notes(), NEVER, "the oneway call")
        holding = later(lambda: own(client).hold("it", str(gate)))
        calls = lambda: json.loads(running.run("calls", "--json").stdout)
        wait_for(lambda: any(call["is_slow"] for call in calls()), NEVER, "the call is slow")
        gate.touch()
        holding()
        own(client)
    lines = logged(running, 7)
    user, caller = "ada", lines[0]["caller"]
    assert [(line["service"], line.get("user")) for line in lines] == [
        ("lab.errors", None if shown(line)[2] == "ConnectionRefusedError" else user) for line in lines
    ]
    assert sorted(map(shown, lines), key=str) == sorted(
        [
            ("call", "fail", "ValueError", "('too far\\nby 5 mm', 5)"),
            ("call", "note", "ConnectionRefusedError", "Pyro object is locked (by 'ada')"),
            ("batch", "<batch>", "ValueError", "('in a batch', 5)"),
            ("stream item", "failing", "ZeroDivisionError", "in the stream"),
            ("call", "nothing", "AttributeError", "'Wire' object has no attribute 'nothing'"),
            ("oneway", "fail_oneway", "ValueError", "nobody hears of it"),
            ("call", "hold", "returned", None),
        ],
        key=str,
    )
    slow = next(line for line in lines if line["member"] == "hold")
    assert slow["slow"] and slow["duration"] >= 4 and slow["request_bytes"] > 40 and slow["answer_bytes"] > 40
    assert caller.startswith("127.0.0.1:") and "arguments" not in slow
    # The filters.
    for arguments, count in [
        (("--service", "lab.errors"), 7),
        (("--service", "lab.off"), 0),
        (("--errors",), 6),
        (("--caller", "ada"), 6),
        (("--caller", "127.0.0.1"), 7),
        (("--caller", "10.0.0.1"), 0),
        (("--since", "1h"), 7),
        (("--since", "2999-01-01"), 0),
    ]:
        assert len(history(running, *arguments)) == count, arguments
    last = running.run("calls", "--history", "--json", "--last", "2").stdout
    assert len(json.loads(last)) == 2
    text = running.run("calls", "--history").stdout
    assert "OUTCOME" in text and "returned (slow)" in text and f"ada at {caller}" in text
    result = running.run("calls", "--history", "--service", "lab.erors", check=False)
    assert result.returncode == 1 and "did you mean `lab.errors`?" in result.text


def test_changes_are_logged_with_arguments_that_are_not_private(running):
    with running.proxy("lab.changes") as client:
        client.lock("ada", token="a secret token")
        client.value = 5
        assert client.value == 5
        client.note("hunter2")
        client.echo("hunter2")
        client.slow("x" * 1000, seconds=0)
        client.note_oneway("y")
        assert list(client.numbers(1)) == [0]
        batch = Pyro5.api.BatchProxy(client)
        batch.note("hunter2")
        batch.slow((1,), 0)
        list(batch())
        client._pyroOneway.add("__setattr__")
        client.value = 6
        batch.fail("far")
        batch(oneway=True)
        client.unlock()
    lines = logged(running, 9, "--service", "lab.changes")
    found = {(line["kind"], line["member"]): line["arguments"] for line in lines}
    assert found == {
        ("set", "value"): "5",
        ("call", "note"): "(private)",
        ("call", "echo"): "(private)",
        ("call", "slow"): "('" + "x" * 254 + "…",
        ("oneway", "note_oneway"): "('y')",
        ("call", "numbers"): "(1)",
        ("batch", "<batch>"): "note(private); slow((1,), 0)",
        ("oneway set", "value"): "6",
        ("oneway batch", "<batch>"): "fail('far')",
    }
    raised = [(line["kind"], line["exception"]) for line in lines if line["outcome"] != "returned"]
    assert raised == [("oneway batch", "ValueError")]
    text = running.run("calls", "--history").stdout
    assert "value = 5" in text and "note(private)" in text and "value = 6" in text
    assert re.search(r"Z +lab.changes +fail\('far'\) ", text) and re.search(r":\d\d\.\d{3}Z ", text), text
    written = (running.home / "logs" / "calls-patient.jsonl").read_text()
    assert "hunter2" not in written and "secret" not in written


def test_a_private_value_out_of_its_limit_is_in_no_log(running):
    with running.proxy("lab.private") as client:
        client.note_oneway(31337)
        with pytest.raises(ValueError, match="at most 9999, not 31337"):
            client._pyroOneway.discard("note_oneway")
            client.note_oneway(31337)
    lines = logged(running, 2, "--service", "lab.private")
    assert [shown(line)[:3] for line in lines] == [
        ("oneway", "note_oneway", "ValueError"),
        ("call", "note_oneway", "ValueError"),
    ]
    assert not any(line.get("message") for line in lines)
    log = running.home / "logs/ferrolab.log"
    wait_for(lambda: "a oneway call raised" in log.read_text(), NEVER, "the refusal in the log")
    assert "31337" not in log.read_text()


def test_all_calls_are_logged_where_that_is_wanted(running):
    with running.proxy("lab.all") as client:
        assert client.value == 1
        assert list(client.numbers(1)) == [0]
        lines = logged(running, 4)
    assert [(line["service"], *shown(line)[:3]) for line in lines] == [
        ("lab.all", "get", "value", "returned"),
        ("lab.all", "call", "numbers", "returned"),
        ("lab.all", "stream item", "numbers", "returned"),
        ("lab.all", "stream item", "numbers", "returned"),
    ]
    # The id of a stream is a key to it.
    assert ["arguments" in line for line in lines] == [False, True, False, False]


def fail(client, count):
    for _ in range(count):
        with pytest.raises(ValueError):
            client.fail("x" * 200)


def told(lab, words):
    return words in lab.run("status", check=False).text


def test_a_full_disk_stops_no_call_and_is_shown(running):
    folder = running.home / "logs" / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "ferrolab-test", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        (running.home / "logs" / "calls-bench.jsonl").symlink_to(folder / "calls")
        with running.proxy("lab.errors") as client:
            fail(client, 300)
            wait_for(lambda: told(running, "the call log"), NEVER, "status tells of it")
            assert told(running, "cannot be written") and told(running, "make room")
            assert client.note("well") == 1
            (folder / "calls").unlink()
            wait_for(lambda: not told(running, "the call log"), NEVER, "it is written again")
            assert any(line["outcome"] == "unrecorded" for line in history(running))
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_log_that_is_no_file_stops_no_call_and_is_shown(lab):
    lab.config(CONFIGURATION, wire="module: wire, classname: Wire, instancemode: single")
    logs = lab.home / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    os.mkfifo(logs / "calls-bench.jsonl")
    lab.up()
    with lab.proxy("lab.errors") as client:
        fail(client, 10)
        wait_for(lambda: told(lab, "cannot be written: it is a FIFO"), NEVER, "status tells of it")
        assert client.note("well") == 1
    lab.run("down")
