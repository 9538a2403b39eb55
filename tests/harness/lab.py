"""A lab in a temporary home, driven through the real binary.

Owns the home, the calls of the command line and taking everything down. Every process that a lab
starts must be gone when its test ends.
"""

import contextlib
import json
import os
import shutil
import signal
import string
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest
from Pyro5.errors import PyroError

from . import processes
from .outcome import proxy
from .ports import free_port
from .wait import NEVER, wait_for

TESTS = Path(__file__).resolve().parent.parent
DRIVERS = TESTS / "drivers"
# A Unix socket's path has about 100 bytes, and the platform's temporary folder can be long.
SHORT_TMP = "/tmp" if Path("/tmp").is_dir() else None
LOG_TAIL = 6000
USAGE_ERROR = 2
SLOW_DRIVER = "not loaded after 20 s"


def binary():
    """The program under test."""
    path = os.environ.get("FERROLAB_BIN")
    if not path:
        pytest.skip("FERROLAB_BIN is not set: run `cargo xtask test --python`")
    return path


def interpreter():
    """The interpreter that has Pyro5 and PyroLab."""
    return os.environ.get("FERROLAB_TEST_PYTHON") or os.sys.executable


class Lab:
    """One FERROLAB_HOME and what runs in it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.home = self.folder / "home"
        self.files = self.folder / "files"
        self.home.mkdir(mode=0o700)
        self.files.mkdir()
        self.binary = binary()
        # Words before the binary's path, to run it in another network namespace for example.
        self.prefix = []
        mark = f"FERROLAB_TEST_MARK={uuid.uuid4().hex}"
        self.marks = (mark, f"FERROLAB_HOME={self.home}")
        # Further variables of its processes.
        self.variables = {}
        self._started = []

    # The command line

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("FERROLAB_", "PYRO"))}
        env |= dict(mark.split("=", 1) for mark in self.marks)
        # Both `ferrolab` and the tests' `python3` are found by name, as at a user's prompt.
        folders = [str(Path(self.binary).parent), str(Path(interpreter()).parent), env["PATH"]]
        env["PATH"] = os.pathsep.join(folders)
        env |= {"NO_COLOR": "1", "TERM": "dumb", "PYTHONDONTWRITEBYTECODE": "1"}
        return env | self.variables

    def run(self, *args, check=True, timeout=90, cwd=None):
        """Runs the binary; with `check` it must exit 0."""
        result = subprocess.run(
            [*self.prefix, self.binary, *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=self.environment(),
            cwd=cwd or self.files,
            timeout=timeout,
        )
        result.text = result.stdout + result.stderr
        if check:
            assert result.returncode == 0, f"{args} exited {result.returncode}:\n{result.text}"
        return result

    def start(self, *args, program=None):
        """Starts a program of the lab in its own session; its output is captured."""
        process = subprocess.Popen(
            [program or self.binary, *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env=self.environment(),
            cwd=self.files,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def write(self, text, name="lab.yaml", **values):
        """Writes a file of the user, `$placeholders` replaced."""
        values = {"python": interpreter(), "drivers": str(DRIVERS), **values}
        file = self.files / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(string.Template(text).substitute(values), encoding="utf-8")
        return file

    def config(self, text, name="lab.yaml", check=True, **values):
        """`config update` with a file of this text."""
        return self.run("config", "update", self.write(text, name, **values), check=check)

    def up(self, check=True):
        """Starts the lab, and waits for drivers that a busy machine has not loaded within 20 s."""
        return self._load("up", check=check)

    def restart(self, *words):
        """`restart` with these words; it waits for drivers as `up` does."""
        return self._load("restart", *words)

    def start_again(self, *words):
        """`start` with these words; it waits for drivers as `up` does."""
        return self._load("start", *words)

    def _load(self, *words, check=True):
        result = self.run(*words, check=False)
        if check and SLOW_DRIVER in result.text:
            self.wait_until_loaded()
            rows = self.ps()["services"]
            assert not [row for row in rows if row["status"] in ("failed", "restarting")], rows
        elif check:
            assert result.returncode == 0, f"{words} exited {result.returncode}:\n{result.text}"
        return result

    def wait_until_loaded(self):
        def loaded():
            rows = self.ps()["services"]
            return not any(SLOW_DRIVER in (row["error"] or "") or row["status"] == "starting" for row in rows)

        wait_for(loaded, NEVER, "the drivers are loaded")

    def down(self, check=True):
        """Takes the lab down, also while clients have locks and calls."""
        return self.run("down", "--force", check=check)

    def ps(self):
        """The output of `ps --json`."""
        return json.loads(self.run("ps", "--json").stdout)

    # Processes and services

    def entry(self, kind, name):
        """One entry of `ps --json`, by its section and name."""
        found = [entry for entry in self.ps()[kind] if entry["name"] == name]
        assert len(found) == 1, f"{kind} {name}: {found}"
        return found[0]

    def wait_for_status(self, kind, name, status, timeout=30):
        def reached():
            entry = self.entry(kind, name)
            return entry if entry["status"] == status else None

        return wait_for(reached, timeout, f"{kind} {name} is {status}")

    def uri(self, service):
        """The URI of a service, once its daemon runs."""
        return wait_for(lambda: self.entry("services", service)["uri"], 30, f"{service} has a URI")

    def wait_for_names(self, port, names):
        """Waits until the nameserver at this port of localhost knows all these names."""

        def known():
            with proxy(f"PYRO:Pyro.NameServer@localhost:{port}") as nameserver:
                return set(names) <= set(nameserver.list())

        wait_for(known, 30, f"the nameserver knows {names}", PyroError)

    def proxy(self, service, **settings):
        """A stock Pyro5 proxy of a service."""
        return proxy(self.uri(service), **settings)

    def free_port(self):
        return free_port()

    def processes(self):
        """Every living process that this lab has started, however indirectly."""
        return processes.carrying(*self.marks)

    def supervisor(self):
        """The pid of the supervisor."""
        return self.ps()["host"]["pid"]

    def assert_nothing_left(self, timeout=5, what="no process is left"):
        processes.assert_none_left(self.marks, timeout, what)

    # The end

    def close(self):
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        if not self.processes():
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            # The benchmark also takes down programs of versions whose `down` had no `--force`.
            if self.run("down", "--force", check=False).returncode == USAGE_ERROR:
                self.run("down", check=False)
        self.assert_nothing_left(what="`down` leaves no process")

    def diagnosis(self):
        """The report of a failed test: the processes and the ends of the logs."""
        parts = ["processes:", *(f"  {process}" for process in self.processes())]
        for file in sorted(self.folder.rglob("*")):
            if file.is_file() and ("log" in file.suffix or "log" in file.parent.name):
                tail = file.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
                parts += [f"{file}:", tail]
        return "\n".join(parts)


@contextlib.contextmanager
def new_lab():
    """A lab that is taken down, checked for leftovers and removed."""
    folder = tempfile.mkdtemp(prefix="fl-", dir=SHORT_TMP)
    try:
        lab = Lab(folder)
        try:
            yield lab
        finally:
            lab.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
