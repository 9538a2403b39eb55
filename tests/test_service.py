"""The lab under a service manager, and what shells and `man` are given."""

import os
import pwd
import shutil
import signal
import socket
import string
import subprocess
import sys
from pathlib import Path

import pytest
from harness import NEVER, wait_for

CONFIGURATION = """\
daemons: {bench: {host: localhost}}
services: {lab.meter: {native: simulated.multimeter, daemon: bench}}
autolaunch: {daemons: [bench]}
"""


@pytest.fixture
def manager(lab):
    """Messages of a process to the service manager that has started it."""
    path = lab.folder / "notify"
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(path))
    heard.settimeout(NEVER)
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
    said = process.communicate(timeout=NEVER)[0]
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
    said = lab.run("service", "install", "--system", "--run-as", "nobody", "--print").stdout
    assert "User=nobody" in said.splitlines() and "/etc/systemd/system/ferrolab.service" in said
    assert lab.run("service", "install", "--system", "--print", check=False).returncode == 1


def environment(said):
    """The variables that a printed unit sets."""
    lines = (line for line in said.splitlines() if line.startswith("Environment="))
    return dict(line.removeprefix("Environment=").strip('"').split("=", 1) for line in lines)


def with_variables(lab, **variables):
    """The lab, seen from a shell that has these variables set; None takes one away."""
    real = lab.environment

    def changed():
        return {k: v for k, v in (real() | variables).items() if v is not None}

    lab.environment = changed


def test_a_unit_of_another_user_has_that_users_folders_and_programs(lab):
    other = next(user for user in pwd.getpwall() if user.pw_uid not in (0, os.geteuid()))
    with_variables(lab, FERROLAB_HOME=None, PATH="/srv/admin/bin:/usr/bin", HOME="/srv/admin")
    install = ("service", "install", "--system", "--print", "--run-as", other.pw_name)
    said = lab.run(*install).stdout
    assert environment(said)["PATH"] == f"{other.pw_dir}/.local/bin:/usr/local/bin:/usr/bin:/bin"
    assert "/srv/admin" not in said and "FERROLAB_HOME" not in said
    said = lab.run(*install, "--path", "/srv/venv/bin:/usr/bin").stdout
    assert environment(said)["PATH"] == "/srv/venv/bin:/usr/bin"


WRONG = [
    (("--run-as", "no-such-user"), "there is no user `no-such-user`"),
    (("--run-as", "nobody\nExecStartPre=/bin/true"), "there is no user"),
    (("--run-as", "nobody", "--path", "venv/bin:/bin"), "`venv/bin` in --path"),
    (("--run-as", "nobody", "--path", "/bin\nExecStartPre=/x"), "line break"),
]


@pytest.mark.parametrize(("arguments", "reason"), WRONG)
def test_what_makes_no_right_unit_is_refused(lab, arguments, reason):
    result = lab.run("service", "install", "--system", "--print", *arguments, check=False)
    assert result.returncode == 1 and reason in result.text
    assert "ExecStart=" not in result.stdout


def test_what_drivers_find_here_they_find_as_a_service(lab):
    shell = {
        "PYTHONPATH": "/opt/drivers 100%",
        "LD_LIBRARY_PATH": "/opt/vendor",
        "VIRTUAL_ENV": "/opt/venv",
        "LANG": "de_DE.UTF-8",
    }
    with_variables(lab, **shell)
    said = lab.run("service", "install", "--print").stdout
    shell["PYTHONPATH"] = "/opt/drivers 100%%"
    assert environment(said).items() >= shell.items()
    crontab = said.splitlines()[-1]
    assert "VIRTUAL_ENV=/opt/venv" in crontab and "LANG=de_DE.UTF-8" in crontab


SYSTEMCTL = """\
#!$python
import os, pathlib, shlex, subprocess, sys

words = sys.argv[1:]
folder = pathlib.Path("$folder")
with (folder / "systemctl.log").open("a") as log:
    print(*words, file=log)
unit = folder / "config/systemd/user/ferrolab.service"
if "enable" in words and not (folder / "home/run/control.sock").exists():
    lines = [line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line]
    variables = [shlex.split(value)[0].split("=", 1) for key, value in lines if key == "Environment"]
    command = next(shlex.split(value) for key, value in lines if key == "ExecStart")
    manager = {"NOTIFY_SOCKET": str(folder / "notify")}
    subprocess.Popen(command, env=os.environ | dict(variables) | manager, start_new_session=True,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    import socket
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(manager["NOTIFY_SOCKET"])
    heard.settimeout(300)
    while b"READY=1" not in heard.recv(4096):
        pass
if "disable" in words:
    subprocess.run(["$binary", "down"], check=True)
"""
# A host that systemd has booted has this folder, and that is all that is asked of it here.
AS_IF_BOOTED = "mount -t tmpfs none /run && mkdir -p /run/systemd/system && exec"


@pytest.fixture
def systemd(lab):
    """Runs the binary as on a host with systemd; what its `systemctl` was told."""
    private = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    tried = [*private, "sh", "-c", f"{AS_IF_BOOTED} true"]
    if shutil.which("unshare") is None or subprocess.run(tried, capture_output=True).returncode != 0:
        pytest.skip("a folder /run of its own is not allowed here")
    programs = lab.folder / "bin"
    programs.mkdir()
    script = programs / "systemctl"
    values = {"python": sys.executable, "folder": str(lab.folder), "binary": lab.binary}
    script.write_text(string.Template(SYSTEMCTL).substitute(values))
    script.chmod(0o755)
    with_variables(lab, XDG_CONFIG_HOME=str(lab.folder / "config"))
    with_variables(lab, PATH=f"{programs}:{lab.environment()['PATH']}")

    def run(*words, code=0):
        command = [*private, "sh", "-c", f'{AS_IF_BOOTED} "$@"', "sh", lab.binary, *words]
        done = subprocess.run(command, env=lab.environment(), cwd=lab.files, timeout=NEVER,
                              capture_output=True, encoding="utf-8")  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        log = lab.folder / "systemctl.log"
        told = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return done.stdout + done.stderr, told

    return run


def test_a_service_is_installed_installed_again_and_removed(lab, systemd):
    lab.config(CONFIGURATION)
    enabling = ["--user daemon-reload", "--user enable --now ferrolab.service"]
    said, told = systemd("service", "install")
    assert told == enabling and "The lab is up" in said
    unit = lab.folder / "config/systemd/user/ferrolab.service"
    first = lab.entry("daemons", "bench")
    assert unit.exists() and first["status"] == "running"

    with_variables(lab, PYTHONPATH="/opt/drivers")
    said, told = systemd("service", "install")
    assert told == enabling and "The lab goes on" in said and "restart ferrolab" in said
    assert "PYTHONPATH=/opt/drivers" in unit.read_text()
    assert lab.entry("daemons", "bench")["pid"] == first["pid"], "no instrument was interrupted"

    said, told = systemd("service", "uninstall")
    assert told == ["--user disable --now ferrolab.service", "--user daemon-reload"]
    assert not unit.exists()
    lab.assert_nothing_left()


def test_a_lab_that_was_started_by_hand_is_in_the_services_way(lab, systemd):
    lab.config(CONFIGURATION)
    lab.up()
    said, told = systemd("service", "install", code=1)
    assert "not under systemd" in said and told == []


def test_down_says_that_the_unit_starts_it_again_with_the_host(lab, manager):
    lab.config(CONFIGURATION)
    process = manager(FERROLAB_SERVICE="user")
    assert "READY=1" in lab.notify.recv(4096).decode()
    said = lab.down().text
    assert "stays down" in said and "systemctl --user start ferrolab" in said
    assert process.wait(timeout=NEVER) == 0, "a clean end, after which Restart=on-failure starts nothing"
    assert "systemctl" not in lab.down().text


def test_the_end_may_take_as_long_as_the_entries_graces(lab, manager):
    lab.config(CONFIGURATION)
    process = manager()
    assert "READY=1" in lab.notify.recv(4096).decode()
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: "EXTEND_TIMEOUT_USEC=" in lab.notify.recv(4096).decode(), 5, "more time is asked for")
    process.communicate(timeout=NEVER)


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="this host has systemd")
def test_without_systemd_the_crontab_line_is_printed_and_works(lab):
    lab.config(CONFIGURATION)
    said = lab.run("service", "install").stdout
    line = next(line for line in said.splitlines() if line.startswith("@reboot "))
    command = line.removeprefix("@reboot ").replace("\\%", "%")
    # As cron starts it: hardly any environment. The marks are for the end of the test.
    environment = dict(mark.split("=", 1) for mark in lab.marks if "HOME" not in mark)
    done = subprocess.run(["/bin/sh", "-c", command], env=environment, timeout=NEVER, cwd="/")
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
