"""Today's program and what earlier releases have left: their homes, and their processes.

Each release has its record in `tests/fixtures`, and each test runs for each record. Old and new
processes meet where the program's file is replaced while its lab runs: the supervisor is the old
one then, and the children and the command line are the new ones; the other way round on the way
back, which docs/upgrade.md tells of. A form that must change is changed there and here at once.
"""

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest
from harness import NEVER, proxy, stand_in, wait_for
from harness.records import FIXTURES, RELEASES, Record, missing

CHILDREN = [
    (release, *file.stem.split("-", 1))
    for release in RELEASES
    for file in sorted((FIXTURES / release / "conversations").glob("*-*.txt"))
]
# A folder with the programs of earlier releases: `ferrolab-0.1.0`.
OLD_PROGRAMS = os.environ.get("FERROLAB_TEST_OLD_PROGRAMS")


@pytest.fixture(params=RELEASES)
def record(request, lab):
    return Record(request.param, lab)


def entries(lab, status):
    listing = lab.ps()
    rows = [(kind, row) for kind in ("nameserver", "daemon") for row in listing[f"{kind}s"]]
    return [f"{kind} {row['name']}" for kind, row in rows if row["status"] == status]


def lock_lines(lab):
    return json.loads(lab.run("locks", "--history", "--json").stdout)


def last_epoch(record):
    return max(line.get("epoch", 0) for line in record.facts["locks"])


def names(lab, nameserver):
    with proxy(lab.entry("nameservers", nameserver)["uri"]) as directory:
        return {name: [uri, sorted(tags)] for name, (uri, tags) in directory.list(return_metadata=True).items()}


def use(lab, record):
    """Makes a lab write into its home: locks, decisions by hand, registrations."""
    lab.up()
    with proxy(lab.uri("lab.lamp")) as lamp:
        assert lamp.lock("ada") is True
        epoch = lamp.lock_info()["epoch"]
        assert lamp.brighten(5) == "lamp on COM4 at 5 %"
    lab.run("stop", "daemon", "store")
    lab.run("start", "daemon", "store")
    lab.run("reload")
    return epoch


@pytest.mark.parametrize(
    ("samples", "found", "lost"),
    [
        ([{"port": 1}], {"port": 2.5, "more": None}, []),
        ([{"port": 1}], {}, ["it.port is not there"]),
        ([{"port": 1}], {"port": "1"}, ['it.port is "1"']),
        ([{"port": 1}], {"port": True}, ["it.port is true"]),
        ([{"port": 1}], {"port": None}, ["it.port is null"]),
        ([{"port": 1}, {"port": None}], {"port": None}, []),
        ([{"port": None}], {}, []),
        ([{"port": 1}, {}], {}, []),
        ([[{"a": 1}], [{"a": 1, "b": 2}]], [{"a": 3}, {"b": 4}], ["it[].a is not there"]),
        ([[]], ["anything"], []),
        ([{"a": {"b": "c"}}], {"a": {"b": []}}, ["it.a.b is []"]),
    ],
)
def test_what_an_older_reader_would_miss(samples, found, lost):
    assert missing(samples, found) == lost


# A home


def test_a_home_comes_up_as_it_was(record, lab):
    said = lab.up().text
    assert entries(lab, "running") == record.facts["running"]
    assert entries(lab, "stopped") == record.facts["stopped"]
    assert "daemon attic stays stopped" in said
    # Under the addresses that clients hold.
    assert {row["name"]: row["uri"] for row in lab.ps()["services"] if row["uri"]} == record.facts["uris"]
    with lab.proxy("lab.lamp") as lamp, lab.proxy("lab.meter") as meter:
        assert lamp.brighten(5) == "lamp on COM4 at 5 %"
        assert meter.identify()
    lab.run("start", "daemon", "attic")
    assert lab.uri("lab.attic").endswith(f":{record.ports['attic']}")
    assert lab.run("config", "export").stdout == (lab.files / "lab.yaml").read_text()
    lab.down()
    lab.up()
    assert "daemon attic" in entries(lab, "running")


def test_a_port_that_is_taken_meanwhile_is_another(record, lab):
    with socket.create_server(("127.0.0.1", record.ports["bench"])):
        lab.up()
        assert lab.uri("lab.lamp") != record.facts["uris"]["lab.lamp"]
        with lab.proxy("lab.lamp") as lamp:
            assert lamp.level == 0


def test_names_in_a_database_are_there(record, lab):
    lab.up()
    found = names(lab, "directory")
    for name, registered in record.facts["registered"].items():
        assert found[name] == registered
    # The record does not say whether the names of the last bench were removed: the next one has
    # them.
    for name in ("lab.lamp", "lab.supply"):
        wait_for(lambda name=name: names(lab, "directory").get(name, [None])[0] == lab.uri(name), 30, f"{name} is registered")
    assert set(found) - set(record.facts["registered"]) <= {"Pyro.NameServer", "bench", *record.facts["uris"]}


def test_the_log_tells_which_names_were_left_in_nameservers(record, lab):
    """Their removal was pending; nobody goes on with it."""
    lab.up()
    told = lab.run("logs", "show", "--all", "--lines", "0", "--json").stdout
    for name, nameserver in record.facts["left"].items():
        assert f"{name} in {nameserver}" in told
        lab.run("start", "nameserver", nameserver)
        assert name in names(lab, nameserver)
        lab.run("ns", "remove", name, "--ns", nameserver)
        assert set(names(lab, nameserver)) == {"Pyro.NameServer"}
    assert not (lab.home / "state/left-names.json").exists()


def test_locks_go_on(record, lab):
    assert lock_lines(lab) == record.facts["locks"]
    epoch = use(lab, record)
    assert epoch > last_epoch(record)
    before = len(record.facts["locks"])
    wait_for(lambda: len(lock_lines(lab)) >= before + 3, 10, "what has happened to the lock is written down")
    lines = lock_lines(lab)
    assert lines[:before] == record.facts["locks"]
    assert [line["event"] for line in lines[before:]] == ["started", "granted", "released"]
    numbers = [line["seq"] for line in lines]
    assert numbers == sorted(set(numbers))
    assert "eve has gone home" in lab.run("locks", "--history", "lab.lamp").stdout


def test_the_log_is_read(record, lab):
    text = record.recorded("logs")["ferrolab.log"]
    written = [json.loads(line) for line in text.splitlines()]
    lab.up()
    shown = lab.run("logs", "show", "--all", "--lines", "0", "--json").stdout.splitlines()
    assert [json.loads(line) for line in shown[: len(written)]] == written
    assert "is already in use by another program" in lab.run("logs", "show", "--all", "--level", "error").stdout


def test_the_last_good_configuration_is_that_of_the_release(record, lab):
    (lab.home / "config.yaml").write_text("daemons: {")
    said = lab.up(check=False)
    assert said.returncode == 1 and "its last good configuration" in said.text
    assert entries(lab, "running") == record.facts["running"]
    with lab.proxy("lab.lamp") as lamp:
        assert lamp.level == 0


# Processes of the release beside those of today


@pytest.mark.parametrize(("release", "kind", "name"), CHILDREN)
def test_todays_child_understands_its_assignment_and_reports_what_was_reported(lab, release, kind, name):
    record = Record(release, lab)
    told, said = record.child(kind, name)
    with contextlib.ExitStack() as stack:
        if said[-1]["event"] == "failed":
            stack.enter_context(socket.create_server(("127.0.0.1", record.ports[name])))
        child = stack.enter_context(
            subprocess.Popen(
                [lab.binary, "run", kind, name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                env=lab.environment(),
            )
        )
        stack.callback(child.kill)
        child.stdin.write(told[0] + "\n")
        child.stdin.flush()
        report = json.loads(child.stdout.readline())
        assert report["event"] == said[0]["event"]
        samples = [{key: value for key, value in line.items() if key != "event"} for line in said]
        assert missing(samples, {key: value for key, value in report.items() if key != "event"}) == []
        if report["event"] == "failed":
            assert child.wait(30) == 1
            return
        assert report["detail"]["uri"] == said[0]["detail"]["uri"]
        with proxy(report["detail"]["address"]) as daemon:
            daemon._pyroBind()
        if name == "bench":
            with proxy(report["detail"]["services"]["lab.lamp"]["uri"]) as lamp:
                assert lamp.brighten(5) == "lamp on COM4 at 5 %"
                assert lamp.lock("ada") is True
                assert lamp.lock_info()["epoch"] > last_epoch(record)
                status = json.loads(child.stdout.readline())
                assert status["event"] == "status" and missing(samples, {"detail": status["detail"]}) == []
        child.stdin.write(told[1] + "\n")
        child.stdin.flush()
        assert child.wait(30) == 0


def test_todays_supervisor_reads_the_reports(record, lab):
    """`ps` shows of them the same as the release's supervisor did, from the same reports."""
    shown = [exchanges[0][1][-1] for words, exchanges, _ in record.commands() if words == ["ps", "--json"]][-1]
    stand_in.install(lab, "play", str(record.conversations))
    lab.run("config", "update", lab.files / "first.yaml")
    lab.run("reload", check=False)

    def read(kind):
        return [{key: row.get(key) for key in shown[kind][0]} for row in lab.ps()[kind]]

    wait_for(lambda: read("services") == shown["services"], 30, "what the daemons have reported is shown")
    for kind in ("nameservers", "daemons"):
        for row, known in zip(read(kind), shown[kind], strict=True):
            assert {key: row[key] for key in ("name", "status", "uri", "error")} == {
                key: known[key] for key in ("name", "status", "uri", "error")
            }
    _, [failed] = record.child("daemon", "clash")
    refused = lab.run("start", "daemon", "clash", check=False)
    assert refused.returncode == 1 and failed["error"] in refused.text
    lab.run("stop", "daemon", "clash")
    lab.down()


class RecordedSupervisor:
    """Listens where a supervisor would, and answers each command as it was answered."""

    def __init__(self, lab):
        (lab.home / "run").mkdir(mode=0o700)
        self.listener = socket.socket(socket.AF_UNIX)
        self.path = lab.home / "run/control.sock"
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.exchanges, self.unknown = [], []
        # Whether it is gone after `down`, as a supervisor is.
        self.ends = False
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        is_over = False
        while not is_over:
            client, _ = self.listener.accept()
            with client, client.makefile("rw") as conversation:
                asked = json.loads(conversation.readline())
                answers = [said for request, said in self.exchanges if self.is_same(request, asked)]
                is_over = self.ends and asked["request"] == "down"
                if is_over:
                    # Nobody may find it by the time its last answer is there.
                    self.listener.close()
                    self.path.unlink()
                if not answers:
                    self.unknown.append(asked)
                for answer in answers[:1] and answers[0]:
                    conversation.write(json.dumps(answer) + "\n")

    @staticmethod
    def is_same(request, asked):
        words = ("request", "action", "kind", "name")
        return missing([request], asked) == [] and all(request.get(word) == asked.get(word) for word in words)


def test_todays_command_line_talks_to_its_supervisor(record, lab):
    supervisor = RecordedSupervisor(lab)
    for words, exchanges, code in record.commands():
        supervisor.exchanges = exchanges
        done = lab.run(*words, check=False)
        assert (done.returncode, supervisor.unknown) == (code, []), done.text
        if words == ["ps", "--json"]:
            answer = exchanges[-1][1][-1]
            printed = json.loads(done.stdout)
            assert all(printed[kind] == answer[kind] for kind in ("nameservers", "daemons", "services"))


def test_todays_supervisor_answers_its_command_line(record, lab):
    stand_in.install(lab, "play", str(record.conversations))
    lab.run("config", "update", lab.files / "first.yaml")
    commands = record.commands()
    known = [answer for _, exchanges, _ in commands for _, answers in exchanges for answer in answers]
    for _, exchanges, _ in commands:
        for request, recorded in exchanges:
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(str(lab.home / "run/control.sock"))
                asking.sendall(json.dumps(request).encode() + b"\n")
                asking.settimeout(NEVER)
                with asking.makefile() as answering:
                    answers = [json.loads(line) for line in answering]
            assert answers[-1]["answer"] == recorded[-1]["answer"], answers[-1]
            for answer in answers:
                samples = [sample for sample in known if sample["answer"] == answer["answer"]]
                assert samples, f"{answer['answer']} was no answer then"
                assert missing(samples, answer) == []
    lab.assert_nothing_left()


# The way back


def test_the_release_can_read_what_today_leaves(record, lab):
    """Without its program: no file has lost the parts that the release reads."""
    use(lab, record)
    lab.down()
    for name, text in record.recorded("state").items():
        file = lab.home / "state" / name
        if name.endswith(".json"):
            # Only 0.1.0 has this file, and does without.
            if file.exists() or not name.startswith("left-names"):
                assert missing([json.loads(text)], json.loads(file.read_text()), name) == []
        elif name.endswith(".dump"):
            database = file.with_suffix("")
            with contextlib.closing(sqlite3.connect(database)) as found, contextlib.closing(sqlite3.connect(":memory:")) as old:
                old.executescript(text)
                for question in ("PRAGMA user_version", "SELECT sql FROM sqlite_master WHERE name LIKE 'pyro%' ORDER BY name"):
                    assert found.execute(question).fetchall() == old.execute(question).fetchall(), database
    for name, text in record.recorded("logs").items():
        samples = [json.loads(line) for line in text.splitlines()]
        for line in (lab.home / "logs" / name).read_text().splitlines():
            assert missing(samples, json.loads(line), name) == []
    assert (lab.home / "config.yaml").read_text() == (lab.files / "lab.yaml").read_text()


@pytest.mark.skipif(not OLD_PROGRAMS, reason="FERROLAB_TEST_OLD_PROGRAMS is not set")
def test_the_release_opens_what_today_leaves(record, lab):
    epoch = use(lab, record)
    lab.down()
    lab.binary = str(Path(OLD_PROGRAMS) / f"ferrolab-{record.facts['version']}")
    assert use(lab, record) > epoch
    assert entries(lab, "running") == record.facts["running"]
    assert entries(lab, "stopped") == record.facts["stopped"]
    for name, registered in record.facts["registered"].items():
        assert names(lab, "directory")[name] == registered
    assert lock_lines(lab)[: len(record.facts["locks"])] == record.facts["locks"]
    # Its `down` has no `--force`.
    lab.run("down")
