"""The command line and a supervisor that is slow, stopped or hangs; command lines that are so."""

import json
import os
import signal
import socket

from harness import NEVER, wait_for

CONFIGURATION = """\
daemons:
  bench: {host: localhost}
  other: {host: localhost, supervision: {stop_grace: 60, hang_timeout: 600}}
services: {lab.meter: {native: simulated.multimeter, daemon: bench}}
autolaunch: {daemons: [bench, other]}
"""


def pid(lab, daemon):
    return lab.entry("daemons", daemon)["pid"]


def ask(lab, **request):
    """A conversation with the supervisor, begun and not read."""
    conversation = socket.socket(socket.AF_UNIX)
    conversation.connect(str(lab.home / "run/control.sock"))
    conversation.sendall(json.dumps(request).encode() + b"\n")
    return conversation


def test_a_stopped_supervisor_is_told_of_and_nothing_is_done_later(running):
    supervisor, bench = running.supervisor(), pid(running, "bench")
    os.kill(supervisor, signal.SIGSTOP)
    try:
        asked = [running.start(*words) for words in (("ps",), ("restart", "daemon", "bench"), ("down",))]
        for process in asked:
            said = process.communicate(timeout=NEVER)[0]
            assert process.returncode == 1
            assert f"supervisor (pid {supervisor}) says nothing" in said
            assert f"kill -CONT {supervisor}" in said
    finally:
        os.kill(supervisor, signal.SIGCONT)
    log = running.home / "logs/ferrolab.log"
    wait_for(lambda: log.read_text().count("not carried out") >= 3, 10, "they have come too late")
    assert pid(running, "bench") == bench


def test_a_stop_that_takes_longer_than_the_command_line_waits_in_silence(running):
    other = pid(running, "other")
    os.kill(other, signal.SIGSTOP)
    stopping = running.start("stop", "daemon", "other")
    running.wait_for_status("daemons", "other", "stopping")
    with ask(running, request="ps") as conversation:
        assert b"stopping" in conversation.recv(65536)
    # A sign of life comes every 3 s, and a command line that hears nothing gives up after 10 s.
    with ask(running, request="act", action="stop", kind="daemon", name="other", seconds=60) as conversation:
        for _ in range(5):
            assert b"progress" in conversation.recv(65536)
    assert stopping.poll() is None
    os.kill(other, signal.SIGCONT)
    said = stopping.communicate(timeout=NEVER)[0]
    assert stopping.returncode == 0 and "daemon other has stopped" in said


def test_a_program_that_asks_nothing_is_disconnected(running):
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as slow:
        for conversation in (silent, slow):
            conversation.settimeout(NEVER)
            conversation.connect(str(running.home / "run/control.sock"))
        slow.sendall(b'{"request": ')
        assert [silent.recv(1), slow.recv(1)] == [b"", b""]
    log = running.home / "logs/ferrolab.log"
    wait_for(lambda: log.read_text().count("asked nothing; it was disconnected") == 2, 10, "the log says so")


def test_who_does_not_read_answers_keeps_no_supervisor(lab):
    # More than a socket holds.
    names = range(1500)
    services = "".join(f"  lab.meter.{n}: {{native: simulated.multimeter, daemon: bench}}\n" for n in names)
    lab.config(f"daemons: {{bench: {{host: localhost}}}}\nservices:\n{services}")
    lab.up()
    with ask(lab, request="ps"), ask(lab, request="ps") as silent:
        silent.recv(1)
        assert "The lab is down" in lab.down().text
        lab.assert_nothing_left()


def test_a_removal_that_takes_long_delays_no_other_order(running):
    other = pid(running, "other")
    os.kill(other, signal.SIGSTOP)
    text = CONFIGURATION.replace("  other: {host: localhost, supervision: {stop_grace: 60, hang_timeout: 600}}\n", "")
    running.config(text.replace("[bench, other]", "[bench]"))
    reloading = running.start("reload")
    running.wait_for_status("daemons", "other", "stopping")
    before = pid(running, "bench")
    assert "daemon bench is running" in running.run("restart", "daemon", "bench").text
    assert pid(running, "bench") != before
    again = running.start("reload")
    assert reloading.poll() is None and again.poll() is None
    os.kill(other, signal.SIGCONT)
    said = reloading.communicate(timeout=NEVER)[0]
    assert reloading.returncode == 0 and "Removed: daemon other" in said
    assert "Left alone: 1" in again.communicate(timeout=NEVER)[0]


def test_up_waits_for_a_lab_that_is_being_stopped_and_starts_it_anew(running):
    other, supervisor = pid(running, "other"), running.supervisor()
    os.kill(other, signal.SIGSTOP)
    stopping = running.start("down")
    running.wait_for_status("daemons", "other", "stopping")
    refused = running.run("start", "daemon", "bench", check=False)
    assert refused.returncode == 1 and "the lab is being stopped" in refused.text
    starting = running.start("up")
    assert "being stopped" in starting.stdout.readline()
    assert stopping.poll() is None and starting.poll() is None
    os.kill(other, signal.SIGCONT)
    said = stopping.communicate(timeout=NEVER)[0]
    assert stopping.returncode == 0, said
    assert "The lab is down" in said
    said = starting.communicate(timeout=NEVER)[0]
    assert starting.returncode == 0 and "already" not in said
    assert running.entry("daemons", "bench")["status"] == "running"
    assert running.supervisor() != supervisor


def test_down_is_done_although_another_up_was_quick(running):
    # The next one waits for the end of the last, and has the lock before anybody sees it free.
    for _ in range(3):
        down, ups = running.start("down"), [running.start("up") for _ in range(2)]
        said = down.communicate(timeout=NEVER)[0]
        assert down.returncode == 0, said
        for process in ups:
            process.communicate(timeout=NEVER)
        running.up()


def test_a_configuration_file_that_is_a_fifo_holds_up_nobody(running):
    """A reader of it would wait for ever: a reload refuses it, and the lab goes on."""
    config = running.home / "config.yaml"
    good = config.with_name("good")
    config.rename(good)
    os.mkfifo(config)
    bench, other = pid(running, "bench"), pid(running, "other")
    try:
        refused = running.run("reload", check=False)
        assert refused.returncode == 1 and "config.yaml" in refused.text and "FIFO" in refused.text
        running.run("restart", "daemon", "bench")
        assert pid(running, "bench") != bench
    finally:
        good.replace(config)
    assert "Left alone: 2" in running.run("reload").text
    assert pid(running, "other") == other
