"""The servers that are measured, all of them up for the whole run.

Owns their start and their end. Each is an address with an object, a process and its descendants.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

BENCH = Path(__file__).resolve().parent
TESTS = BENCH.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "drivers")]
from against import BEFORE  # noqa: E402
from figures import FLOOR, RAW  # noqa: E402
from harness import Service, free_port, new_lab, stock_daemon, stock_nameserver  # noqa: E402
from harness.lab import interpreter  # noqa: E402

# A pool that holds every scenario's connections: how they are refused is not measured.
POOL = 600
NAMES = 1000

LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  memory: {host: localhost, ns_port: $memory, storage: memory}
  sql: {host: localhost, ns_port: $sql, storage: sql}
daemons:
  native: {host: localhost, threadpool_size: 600}
  hosted: {host: localhost, threadpool_size: 600}
services:
  native: {native: simulated.loopback, daemon: native}
  hosted: {module: loopback, classname: Loopback, daemon: hosted, instancemode: session}
autolaunch: {nameservers: [memory, sql], daemons: [native, hosted$more]}
"""
# Only where it is measured: earlier programs cannot load it.
TLS = "native-tls"
WITH_TLS = {
    "daemons:\n": "daemons:\n  native-tls: {host: localhost, threadpool_size: 600, ssl: true}\n",
    "services:\n": "services:\n  native-tls: {native: simulated.loopback, daemon: native-tls}\n",
}
# The servers of a second lab, which has roles.
WITH_ACCESS = " with access"
ACCESS = """\
access:
  localhost: view
  users: [ada, grace]
  groups: {optics: [ada, grace]}
  grants:
    - {who: "group:optics", what: hosted, role: admin, members: [echo]}
    - {who: anonymous, what: "nat*", role: operate}
"""


class Server:
    """An address to call."""

    def __init__(self, uri, pid, cacerts=None):
        _, _, rest = uri.partition(":")
        self.object, _, self.address = rest.partition("@")
        self.pid = pid
        self.cacerts = cacerts

    def target(self):
        target = {"address": self.address, "object": self.object}
        return target | ({"cacerts": str(self.cacerts)} if self.cacerts else {})


@contextlib.contextmanager
def ours(wanted, program=None, suffix="", settings=""):
    """The servers of one lab: native, hosted, and two nameservers; each name with the suffix."""
    if not wanted & {name + suffix for name in ("native", "hosted", "memory", "sql", TLS)}:
        yield {}
        return
    with new_lab() as lab:
        lab.binary = program or lab.binary
        text, more = LAB + settings, ""
        if TLS + suffix in wanted:
            more = f", {TLS}"
            for begin, with_tls in WITH_TLS.items():
                text = text.replace(begin, with_tls)
        lab.config(text, memory=free_port(), sql=free_port(), more=more)
        lab.up()
        status = lab.ps()
        pids = {entry["name"]: entry["pid"] for entry in status["daemons"]}
        found = {e["name"]: Server(e["uri"], pids[e["name"]]) for e in status["services"]}
        if TLS in found:
            found[TLS].cacerts = lab.home / "state" / "access" / "ca.pem"
        for entry in status["nameservers"]:
            server = Server(entry["uri"], entry["pid"])
            found[entry["name"]] = server
            if entry["name"] + suffix in wanted:
                fill(entry["uri"])
        found["lab"] = lab  # for what is measured by its command line
        yield {name + suffix: server for name, server in found.items()}


@contextlib.contextmanager
def pyro5(name, wanted):
    """A Pyro5 daemon, or one of its nameservers."""
    if name not in wanted:
        yield None
        return
    kind = name.removeprefix("Pyro5 ")
    if kind in ("thread", "multiplex"):
        service = {"loopback": Service("loopback", "Loopback")}
        # Where these are more than its standard, they are so for ours too.
        with stock_daemon(service, SERVERTYPE=kind, THREADPOOL_SIZE=POOL) as server:
            yield Server(server.uris["loopback"], server.process.pid)
        return
    with contextlib.ExitStack() as stack:
        storage = kind
        if kind == "sql":
            storage = f"sql:{stack.enter_context(tempfile.TemporaryDirectory())}/names.sql"
        server = stack.enter_context(stock_nameserver(storage=storage))
        fill(server.uris["nameserver"])
        yield Server(server.uris["nameserver"], server.process.pid)


def fill(uri):
    """Registers names, so that there is something to look up."""
    import Pyro5.api

    with Pyro5.api.Proxy(uri) as nameserver:
        batch = Pyro5.api.BatchProxy(nameserver)
        for number in range(NAMES):
            batch.register(f"bench.instrument{number:04}", "PYRO:object@localhost:1234")
        for _ in batch():
            pass


@contextlib.contextmanager
def raw(load, wanted):
    """The server that only reads and writes bytes."""
    if RAW not in wanted:
        yield None
        return
    process = subprocess.Popen(
        [load, json.dumps({"mode": "raw_server"})], stdout=subprocess.PIPE, encoding="utf-8"
    )
    try:
        address = json.loads(process.stdout.readline())["address"]
        yield Server(f"PYRO:raw@{address}", process.pid)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Floor:
    """The server that only passes messages on to a Python loop, for one call."""

    def __init__(self, load):
        self._load = load
        self._served = self._server = self._process = None

    @property
    def pid(self):
        return self._process.pid

    def target(self):
        return self._server.target()

    def serve(self, target):
        """Serves the call `target` of another server from now on, as that server answers it."""
        if target == self._served:
            return
        self.close()
        job = json.dumps({"mode": "floor_server", **target})
        # A session, so that both of its processes can be ended.
        self._process = subprocess.Popen(
            [interpreter(), str(BENCH / "floor.py"), self._load, job],
            stdout=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"bench: the floor does not serve {target['method']} (its reason is above)")
        self._server = Server(f"PYRO:{target['object']}@{json.loads(line)['address']}", self.pid)
        self._served = target

    def close(self):
        process, self._process, self._served = self._process, None, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()


@contextlib.contextmanager
def floor(load, wanted):
    """The least that a call of a Python driver takes through a daemon."""
    if FLOOR not in wanted:
        yield None
        return
    server = Floor(load)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def started(load, wanted, before=None):
    """The `wanted` servers by their names; `before` is the other program to serve with."""
    with contextlib.ExitStack() as stack:
        servers = dict(stack.enter_context(ours(wanted)))
        if before:
            servers |= stack.enter_context(ours(wanted, before, BEFORE))
        servers |= stack.enter_context(ours(wanted, suffix=WITH_ACCESS, settings=ACCESS))
        for name in ("thread", "multiplex", "memory", "sql"):
            server = stack.enter_context(pyro5(f"Pyro5 {name}", wanted))
            if server:
                servers[f"Pyro5 {name}"] = server
        for name, start in ((RAW, raw), (FLOOR, floor)):
            server = stack.enter_context(start(load, wanted))
            if server:
                servers[name] = server
        yield servers
