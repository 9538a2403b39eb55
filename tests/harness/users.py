"""Users of a lab, and their machines with logins."""

import contextlib
import subprocess
from pathlib import Path

import Pyro5.errors
import pytest

from .certificates import tls_client
from .lab import binary, new_lab
from .ports import free_port
from .wait import NEVER

LAB_WITH_LOGINS = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  names: {host: localhost, ns_port: $port, ssl: offered}
daemons:
  thread: {classname: LockableDaemon, nameservers: [names], ssl: offered}
  turns: {classname: LockableDaemon, servertype: multiplex, ssl: offered}
  here: {classname: LockableDaemon, unixsocket: "$socket"}
  plain: {}
services:
  lab.thread: {module: stage, classname: Stage, daemon: thread, nameservers: [names], instancemode: single, call_log: all}
  lab.turns: {module: stage, classname: Stage, daemon: turns, instancemode: single}
  lab.here: {native: simulated.power_supply, daemon: here}
  lab.plain: {module: stage, classname: Stage, daemon: plain, instancemode: single}
autolaunch: {nameservers: [names], daemons: [thread, turns, here, plain]}
"""


@contextlib.contextmanager
def lab_with_logins():
    """A lab that runs, and has a port for logins."""
    with new_lab() as lab:
        lab.port = free_port()
        lab.config(LAB_WITH_LOGINS, port=lab.port, socket=str(lab.folder / "here.sock"))
        lab.up()
        yield lab


class User:
    """A user's machine: a home with a login."""

    def __init__(self, running, home):
        self.running, self.home = running, Path(home)
        self.home.mkdir(mode=0o700)

    def environment(self):
        return {**self.running.environment(), "FERROLAB_HOME": str(self.home)}

    def run(self, *words, check=True):
        done = subprocess.run(
            [binary(), *words], env=self.environment(), capture_output=True, text=True, timeout=NEVER
        )
        done.text = done.stdout + done.stderr
        assert not check or done.returncode == 0, done.text
        return done

    def log_in(self, line):
        """Runs a line that `ferrolab user` has printed."""
        words = line.split()
        assert words[:2] == ["ferrolab", "login"]
        return self.run(*words[1:])

    def folder(self):
        (folder,) = (self.home / "logins").iterdir()
        return folder

    def file(self, name):
        return self.folder() / name

    def token(self):
        return self.file("token").read_text()

    def tls(self):
        return tls_client(self.file("authority.pem"), self.file("certificate.pem"), self.file("key.pem"))


@contextlib.contextmanager
def users(running, folder):
    """Makes users who are logged in; they are removed at the end."""
    made = []

    def make(name, *options):
        line = running.run("user", "add", name, *options).stdout.strip()
        made.append(name)
        one = User(running, folder / name)
        one.said = one.log_in(line).stdout
        one.line = line
        return one

    yield make
    for name in made:
        running.run("user", "remove", name, check=False)


def proxy(running, service, handshake="hello", serializer="serpent"):
    made = running.proxy(service)
    made._pyroSerializer = serializer
    made._pyroHandshake = handshake
    return made


def identity(running, made):
    """The identity of a proxy's client, as its lock has it."""
    assert made.lock() is True
    info = made.lock_info()
    made.unlock()
    return info.get("identity")


def connect_fails(made, text):
    with pytest.raises(Pyro5.errors.CommunicationError, match=text):
        made._pyroBind()
