"""A supervisor that is stopped (Ctrl-Z, a debugger, a machine out of memory) and goes on later."""

import contextlib
import json
import os
import signal
import socket
from pathlib import Path

import pytest
from harness import NEVER, free_port, wait_for
from harness.processes import stopped
from harness.sockets import connections

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: localhost, ns_port: 0, broadcast: false}
daemons:
  bench: {host: localhost, nameservers: [local], supervision: {hang_timeout: $limit}}
services:
  lab.talker: {module: hazard, classname: Hazard, daemon: bench}
  lab.meter: {native: simulated.multimeter, daemon: bench, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench]}
"""
# Seconds in which a daemon must answer the supervisor.
LIMIT = 8
# In all far more than the pipe to the supervisor holds: 64 KiB.
WORD, WORDS = "x" * 2000, 15
STRANGERS = 400


@pytest.fixture
def running(lab):
    lab.config(CONFIGURATION, limit=LIMIT)
    lab.up()
    lab.wait_for_status("services", "lab.talker", "running")
    return lab


def test_a_call_from_the_shell_asks_the_nameserver_of_a_stopped_supervisor(lab):
    lab.config(CONFIGURATION.replace("ns_port: 0", f"ns_port: {free_port()}"), limit=LIMIT)
    lab.up()
    call = lambda *options: lab.run("call", *options, "lab.meter", "identify", check=False)
    wait_for(lambda: call("--ns", "local").returncode == 0, NEVER, "the nameserver has the name")
    with stopped(lab.supervisor()):
        assert "multimeter" in call().text


def log(lab):
    return [json.loads(line) for line in (lab.home / "logs/ferrolab.log").read_text().splitlines()]


def test_services_do_not_wait_for_a_stopped_supervisor(running):
    bench = running.entry("daemons", "bench")["pid"]
    host, port = running.uri("lab.talker").split("@")[1].rsplit(":", 1)
    supervisor = running.supervisor()
    with running.proxy("lab.talker") as talker, running.proxy("lab.meter") as meter:
        with stopped(supervisor):
            for _ in range(WORDS):
                talker.talk(WORD)
                meter.identify()
            # Each is refused, and the log names most of them.
            for _ in range(STRANGERS):
                with socket.create_connection((host, int(port)), NEVER) as stranger:
                    stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    with contextlib.suppress(ConnectionError):
                        while stranger.recv(65536):
                            pass
            talker.talk("still here")
            assert meter.identify()
        # Another connection, when it goes on: everything is well, and what was said is in the log.
        with running.proxy("lab.meter") as again:
            assert again.identify()

    def said(text):
        return [record for record in log(running) if text in record["message"]]

    wait_for(lambda: said("on stdout: still here"), 30, "the log goes on")
    assert len(said(f"on stdout: {WORD}")) == WORDS
    now = running.entry("daemons", "bench")
    assert (now["pid"], now["status"], now["restarts"]) == (bench, "running", 0)


def test_a_supervisor_that_was_paused_itself_blames_no_daemon(running):
    """The answer comes while it is stopped, and the limit is over when it reads on."""
    bench, supervisor = running.entry("daemons", "bench")["pid"], running.supervisor()
    port = int(running.uri("lab.talker").rpartition(":")[2])
    with running.proxy("lab.talker") as talker:
        talker._pyroBind()
        with stopped(bench):
            asked = lambda: any(end.port == port and end.unread for end in connections())
            wait_for(asked, 10, "the supervisor has asked")
            os.kill(supervisor, signal.SIGSTOP)
        with stopped(supervisor):
            answered = lambda: any(end.peer_port == port and end.unread for end in connections())
            wait_for(answered, 10, "the answer is there")
            talker.hold_the_interpreter(LIMIT + 1)
            callers = lambda: {end.port for end in connections() if end.peer_port == port}
            before = callers()
    wait_for(lambda: len(callers() - before) > 2, 10, "the supervisor asks again, and again")
    now = running.entry("daemons", "bench")
    assert (now["pid"], now["restarts"]) == (bench, 0)


def test_control_z_does_not_pause_a_lab_in_the_foreground(lab):
    lab.config(CONFIGURATION, limit=LIMIT)
    lab.start("up", "--foreground")
    wait_for(lambda: lab.run("ps", check=False).returncode == 0, 30, "the lab is up")
    supervisor = lab.supervisor()
    os.kill(supervisor, signal.SIGTSTP)
    text = "the lab does not pause"
    wait_for(lambda: any(text in record["message"] for record in log(lab)), 30, text)
    assert lab.run("ps").returncode == 0
    # The signal is the supervisor's to refuse, and not its children's.
    bench = lab.wait_for_status("daemons", "bench", "running")["pid"]
    os.kill(bench, signal.SIGTSTP)
    stat = Path(f"/proc/{bench}/stat")
    wait_for(lambda: stat.read_text().rpartition(") ")[2][0] == "T", 10, "a child can be stopped")
    os.kill(bench, signal.SIGCONT)
