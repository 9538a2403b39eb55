"""Notifications of faults, to a web server and to a program; incidents that are over."""

import json
import os
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import NEVER, free_port, wait_for
from harness.processes import kill

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
notify: {$notify}
daemons:
  bench: {classname: LockableDaemon, supervision: {backoff: [0]}}
services:
  lab.patient:
    {module: patient, classname: Patient, daemon: bench, instancemode: single, expose: [identify],
     arguments: ["$folder"], health: {method: identify, every: 10s}}
autolaunch: {daemons: [bench]}
"""
SECRET = "tk_very_secret"


class Hook:
    """A web server that keeps what it is sent."""

    def __init__(self, port=0, status=200):
        self.sent = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                hook.sent.append((self.path, headers, json.loads(body)))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def events(self):
        return [(body["event"], body["subject"]) for _, _, body in self.sent]

    def wait(self, event, subject, words=""):
        """The first event of this subject with these words."""

        def found():
            bodies = [body for _, _, body in self.sent if (body["event"], body["subject"]) == (event, subject)]
            return next((body for body in bodies if words in body["message"]), None)

        return wait_for(found, NEVER, f"{event} of {subject}: {self.events()}")


@pytest.fixture
def hook():
    hook = Hook()
    yield hook
    hook.close()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "instrument"
    folder.mkdir()
    return folder


def start(lab, folder, notify):
    lab.config(CONFIGURATION, folder=folder, notify=notify)
    # It may see that the service is unwell.
    lab.up(check=not (folder / "deaf").exists())


def to(port):
    return (
        f'url: "http://127.0.0.1:{port}/hook/{SECRET}", headers: {{Authorization: Bearer {SECRET}}},'
        " fields: {topic: my-lab}"
    )


def assert_no_secret(lab):
    for file in lab.home.rglob("logs/*"):
        assert SECRET not in file.read_text(errors="replace"), file
    assert SECRET not in lab.run("status", check=False).text


def test_a_web_server_hears_of_faults_and_their_ends(lab, folder, hook):
    # The first check is made as soon as the driver is loaded.
    (folder / "deaf").touch()
    start(lab, folder, to(hook.port))
    told = hook.wait("service_unwell", "service lab.patient", "identify returned False")
    assert told["topic"] == "my-lab"
    assert told["text"] == told["content"] == f"service lab.patient: {told['message']}"
    path, headers, _ = hook.sent[0]
    assert path == f"/hook/{SECRET}" and headers["authorization"] == f"Bearer {SECRET}"
    assert headers["content-type"] == "application/json"
    kill(lab.entry("daemons", "bench")["pid"])
    hook.wait("daemon_died", "daemon bench")
    lab.wait_for_status("daemons", "bench", "running")
    # A crash that is healed: the lab is well, and a line remains.
    status = json.loads(lab.run("status", "--json", check=False).stdout)
    assert [incident["subject"] for incident in status["lab"]["incidents"]] == ["daemon bench"]
    assert "daemon bench" in lab.run("status", check=False).stdout
    assert_no_secret(lab)


def test_broken_locks_and_dead_workers_are_reported(lab, folder, hook):
    start(lab, folder, to(hook.port))
    with lab.proxy("lab.patient") as owner:
        assert owner.lock("ada")
        lab.run("unlock", "--break", lab.uri("lab.patient"), "--reason", "she has gone home", "--user", "eve")
    told = hook.wait("lock_broken", "service lab.patient")
    assert "eve" in told["message"] and "she has gone home" in told["message"]
    worker = next(process for process in lab.processes() if "ferrolab-worker" in process.command)
    os.kill(worker.pid, signal.SIGKILL)
    hook.wait("worker_died", "daemon bench")


def test_a_server_that_is_away_is_shown_and_hears_later(lab, folder):
    port = free_port()
    (folder / "deaf").touch()
    start(lab, folder, to(port))

    def shown():
        return "notifications to 127.0.0.1 are not delivered" in lab.run("status", check=False).stdout

    wait_for(shown, NEVER, "the target that is away")
    hook = Hook(port)
    try:
        hook.wait("service_unwell", "service lab.patient")
        wait_for(lambda: not shown(), NEVER, "the target is back")
        assert_no_secret(lab)
    finally:
        hook.close()


def test_the_death_of_a_supervisor_is_found_at_the_next_start(lab, folder, hook):
    start(lab, folder, to(hook.port))
    kill(lab.supervisor())
    lab.assert_nothing_left()
    lab.up()
    hook.wait("supervisor_died", "the supervisor")
    assert "ended without a stop" in lab.run("status", check=False).stdout
    lab.down()
    lab.up()
    # Shown for a day, and sent once.
    shown = json.loads(lab.run("status", "--json", check=False).stdout)["lab"]["incidents"]
    assert [incident["subject"] for incident in shown] == ["the supervisor"]
    assert hook.events().count(("supervisor_died", "the supervisor")) == 1


def test_a_program_gets_the_event_and_a_user_can_try_it(lab, folder, tmp_path):
    program = tmp_path / "tell"
    program.write_text(f'#!/bin/sh\ncat >> "{tmp_path}/told"\n')
    program.chmod(0o755)
    start(lab, folder, f'command: ["{program}", --lab]')
    assert "has taken it" in lab.run("notify", "test").stdout
    # Documents one after the other: on a busy machine there may be other events.
    told, documents = (tmp_path / "told").read_text().strip(), []
    while told:
        document, end = json.JSONDecoder().raw_decode(told)
        documents.append(document["event"])
        told = told[end:].lstrip()
    assert "test" in documents
    program.write_text("#!/bin/sh\nexit 3\n")
    refused = lab.run("notify", "test", check=False)
    assert refused.returncode == 1 and "exited with code 3" in refused.stdout


# Answers of a target, and the words for them.
REFUSALS = {"it refuses": (403, "403 Forbidden"), "it is broken": (500, "500 Internal Server Error")}


@pytest.mark.parametrize("name", REFUSALS)
def test_the_test_says_why_a_server_does_not_take_it(lab, folder, name):
    status, words = REFUSALS[name]
    hook = Hook(status=status)
    try:
        lab.config(CONFIGURATION, folder=folder, notify=to(hook.port))
        refused = lab.run("notify", "test", check=False)
        assert refused.returncode == 1 and words in refused.stdout and SECRET not in refused.text
    finally:
        hook.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk can be mounted by root only")
def test_a_full_disk_is_reported(lab, folder, hook):
    logs = lab.home / "logs"
    logs.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", logs], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode()}")
    try:
        start(lab, folder, to(hook.port))
        with open(logs / "full", "wb", buffering=0) as full, pytest.raises(OSError):
            while True:
                full.write(b"x" * 4096)

        def is_reported():
            # Lines for the log, which has some room in its last page.
            lab.run("restart", "daemon", "bench", check=False)
            return ("disk_full", "this host") in hook.events()

        wait_for(is_reported, NEVER, "the full disk")
        told = hook.wait("disk_full", "this host")
        assert "No space left on device" in told["message"]
        (logs / "full").unlink()
        hook.wait("recovered", "this host")
        lab.down()
    finally:
        subprocess.run(["umount", "-l", logs], check=True)
