"""The lab under a service manager, and what shells and `man` are given."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from harness import wait_for

CONFIGURATION = """\
daemons: {bench: {host: localhost}}
services: {lab.meter: {native: simulated.multimeter, daemon: bench}}
autolaunch: {daemons: [bench]}
"""


@pytest.fixture
def manager(lab):
    """What a service manager hears of a process that it has started."""
    path = lab.folder / "notify"
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(path))
    heard.settimeout(20)
    lab.notify = heard

    def start(**variables):
        real = lab.environment
        lab.environment = lambda: real() | {"NOTIFY_SOCKET": str(path)} | variables
        process = lab.start("up", "--foreground")
        lab.environment = real
        return process

    yield start
    heard.close()


def test_a_service_manager_hears_of_readiness_life_and_end(lab, manager):
    lab.config(CONFIGURATION)
    process = manager(WATCHDOG_USEC="600000")
    first = lab.notify.recv(4096).decode()
    assert "READY=1" in first and "STATUS=1 of 1 service(s) run" in first
    assert lab.entry("daemons", "bench")["status"] == "running"
    for _ in range(3):
        assert "WATCHDOG=1" in lab.notify.recv(4096).decode()
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: "STOPPING=1" in lab.notify.recv(4096).decode(), 5, "the end is told")
    said = process.communicate(timeout=20)[0]
    assert process.returncode == 0
    assert "the lab starts" in said, "the log is on the terminal too"
    lab.assert_nothing_left()


def test_a_stopped_supervisor_gives_no_sign_of_life(lab, manager):
    lab.config(CONFIGURATION)
    process = manager(WATCHDOG_USEC="300000")
    assert "READY=1" in lab.notify.recv(4096).decode()
    os.kill(process.pid, signal.SIGSTOP)

    def silent():
        lab.notify.settimeout(0.5)
        try:
            lab.notify.recv(4096)
        except TimeoutError:
            return True

    wait_for(silent, 10, "no sign of life")
    os.kill(process.pid, signal.SIGCONT)


def test_a_boot_with_a_mistake_in_the_file_brings_the_last_good_lab_back(lab, manager):
    lab.config(CONFIGURATION)
    lab.up()
    lab.down()
    file = lab.home / "config.yaml"
    good = file.read_text()
    file.write_text(good.replace("bench", "bnech", 1))
    result = lab.run("up", check=False)
    assert result.returncode == 1 and "did you mean" in result.text and "last good configuration" in result.text
    assert lab.entry("services", "lab.meter")["status"] == "running", "the crontab line runs `up`, too"
    lab.down()
    manager()
    assert "READY=1" in lab.notify.recv(4096).decode()
    assert lab.entry("services", "lab.meter")["status"] == "running"
    said = lab.run("status", check=False).text
    assert "last good configuration" in said and "config check" in said
    file.write_text(good)
    lab.run("reload")
    assert lab.run("status").returncode == 0
    lab.down()


def test_the_unit_is_shown_and_is_right(lab):
    lab.config(CONFIGURATION)
    said = lab.run("service", "install", "--print").stdout
    for line in ("Type=notify", "WatchdogSec=30", f'Environment="FERROLAB_HOME={lab.home}"'):
        assert line in said.splitlines(), said
    assert f'ExecStart="{lab.binary}" up --foreground' in said
    assert "systemctl --user enable --now ferrolab.service" in said
    assert "@reboot" in said
    said = lab.run("service", "install", "--system", "--run-as", "lab", "--print").stdout
    assert "User=lab" in said.splitlines() and "/etc/systemd/system/ferrolab.service" in said
    assert lab.run("service", "install", "--system", "--print", check=False).returncode == 1


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="this host has systemd")
def test_without_systemd_the_crontab_line_is_printed_and_works(lab):
    lab.config(CONFIGURATION)
    said = lab.run("service", "install").stdout
    line = next(line for line in said.splitlines() if line.startswith("@reboot "))
    command = line.removeprefix("@reboot ").replace("\\%", "%")
    # As cron starts it: hardly any environment. The marks are for the end of the test.
    environment = dict(mark.split("=", 1) for mark in lab.marks if "HOME" not in mark)
    done = subprocess.run(["/bin/sh", "-c", command], env=environment, timeout=60, cwd="/")
    assert done.returncode == 0
    assert lab.entry("services", "lab.meter")["status"] == "running"
    assert "does not exist" in lab.run("service", "uninstall").text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_their_completions(lab, shell):
    assert "reload" in lab.run("completions", shell).stdout


def test_manual_pages(lab):
    lab.run("man", "pages")
    pages = {page.name for page in (lab.files / "pages").iterdir()}
    assert {"ferrolab.1", "ferrolab-up.1", "ferrolab-logs-show.1", "ferrolab-config-update.1"} <= pages
    assert "ferrolab-run.1" not in pages
    assert "Start the lab" in (lab.files / "pages/ferrolab-up.1").read_text()
