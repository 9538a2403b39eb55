"""Ways of measuring: what a scenario is, and how one server is measured in one round.

Owns the jobs for the load generator and for the clients. Which scenarios there are is
`scenarios.py`'s; how often each is run, and in which order, is `bench.py`'s.
"""

import datetime
import json
import os
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path

import compare
from against import BEFORE
from figures import FLOOR, PYRO5, RAW
from processes import cpu_seconds, pin, rss_mib

CLIENT = Path(__file__).resolve().parent / "client.py"
THREAD = f"{PYRO5} thread"
NATIVE, HOSTED, PYROLAB = "native", "hosted", "PyroLab"
SHORT = {"method": "echo", "args": [1.5]}
CORES = sorted(os.sched_getaffinity(0))


class Scenario:
    """One kind of measurement of several servers."""

    def __init__(self, name, what, servers, goals=(), **options):
        self.name = name
        self.what = what
        self.servers = servers
        self.goals = goals
        self.figure = options.pop("figure", "per_second")
        self.unit = options.pop("unit", "/s")
        self.lower_is_better = options.pop("lower_is_better", False)
        # The server that "x Pyro5" in the table refers to.
        self.stock = options.pop("stock", THREAD)
        # Rounds that are worth their time, where that is not as many as asked for.
        self.rounds = options.pop("rounds", None)
        self.options = options

    def needs(self):
        """The servers that have to be up."""
        return set(self.servers) | self.options.get("also", set())


class Bench:
    """Means of a measurement: the servers that are up, the load generator, the time to take.

    `before` is the other program of the run, where there is one.
    """

    def __init__(self, load, servers, seconds, before=None):
        self.load = load
        self.servers = servers
        self.seconds = seconds
        self.before = before
        self._lengths = {}

    def run_load(self, job):
        """Runs the load generator; what it tells."""
        return _output([self.load, json.dumps(job)])

    def run_client(self, job):
        """Runs a stock client; what it tells."""
        return _output([sys.executable, str(CLIENT), json.dumps(job)])

    def job(self, name, call, serializer="serpent", like=NATIVE):
        """The target of a call; to the raw server, as many bytes as `like` reads and writes. The
        floor answers as `like` does."""
        if name == FLOOR:
            self.servers[FLOOR].serve({**self.servers[like].target(), **call, "serializer": serializer})
        target = {**self.servers[name].target(), **call, "serializer": serializer}
        if name == RAW:
            key = json.dumps([call, serializer, like])
            if key not in self._lengths:
                model = {**self.servers[like].target(), **call, "serializer": serializer}
                self._lengths[key] = self.run_load({"mode": "probe", **model})
            target["raw"] = self._lengths[key]
        return target

    def watched(self, name, measure):
        """The figures of `measure()`, with what the server has used meanwhile."""
        pid = self.servers[name].pid
        before = cpu_seconds(pid)
        figures = measure()
        return {**figures, "cpu_seconds": cpu_seconds(pid) - before, "rss_mib": rss_mib(pid)}


def _output(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", timeout=300)
    if done.returncode != 0:
        raise SystemExit(f"bench: {command[0]} failed (its reason is above)")
    return json.loads(done.stdout)


# Ways of measuring


def calls(bench, name, options):
    """Calls by the load generator."""
    call, core = options.get("call", SHORT), options.get("core")
    like = next(s for s in (NATIVE, HOSTED) if s in bench.servers)
    job = {"mode": "calls", **bench.job(name, call, options.get("serializer", "serpent"), like)}
    job |= {"seconds": bench.seconds, "warmup": bench.seconds / 5, "core": core}
    job |= {key: options[key] for key in ("connections", "pipeline", "rate") if key in options}
    return _on(core, bench, name, lambda: bench.run_load(job))


def client(bench, name, options):
    """Calls by a stock Python client."""
    core = options.get("core")
    job = bench.job(name, options.get("call", SHORT), options.get("serializer", "serpent"))
    job |= {"seconds": bench.seconds, "warmup": bench.seconds / 5, "core": core}
    return _on(core, bench, name, lambda: bench.run_client(job))


def _on(core, bench, name, measure):
    """Measures, with the server on one core where one is given."""
    if core is None:
        return bench.watched(name, measure)
    pid = bench.servers[name].pid
    pin(pid, {core})
    try:
        return bench.watched(name, measure)
    finally:
        pin(pid, CORES)


def connects(bench, name, _options):
    """Connections with their handshakes, one after the other."""
    job = {"mode": "connects", **bench.job(name, {}), "seconds": bench.seconds}
    return bench.watched(name, lambda: bench.run_load(job))


def oneway(bench, name, options):
    """Oneway calls until the last of them is done."""
    job = {"mode": "oneway", **bench.job(name, {"method": "tick"}), "counter": "ticks"}
    job |= {"burst": options["burst"], "bursts": options["bursts"]}
    return bench.watched(name, lambda: bench.run_load(job))


def neighbour(bench, name, options):
    """A fast call; with `busy`, while other clients sit in slow calls of the same daemon."""
    figures = {}
    for key, busy in (("alone", 0), ("beside", options["busy"])):
        slow = {"method": "wait", "args": [0.05]}
        slow = {"mode": "calls", **bench.job(name, slow), "connections": busy}
        slow |= {"seconds": bench.seconds * 2 + 0.5}
        holder = None
        if busy:
            holder = subprocess.Popen([bench.load, json.dumps(slow)], stdout=subprocess.DEVNULL)
        job = {"mode": "calls", **bench.job(name, SHORT)}
        figures[key] = bench.run_load({**job, "seconds": bench.seconds, "warmup": 0.1})
        if holder is not None:
            holder.wait()
    beside, alone = figures["beside"], figures["alone"]
    return {
        **beside,
        "p50_ratio": beside["p50_us"] / alone["p50_us"],
        "p99_ratio": beside["p99_us"] / alone["p99_us"],
        "alone": alone,
    }


def idle(bench, name, options):
    """Memory of a server with connections that do nothing."""
    count = options["connections"]
    job = {"mode": "hold", **bench.job(name, {}), "connections": count}
    holder = subprocess.Popen(
        [bench.load, json.dumps(job)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        if not holder.stdout.readline():
            raise SystemExit(f"bench: {name} does not hold {count} connections")
        before = rss_mib(bench.servers[name].pid)
        _settled(options["settle"])
        return {"rss_mib": rss_mib(bench.servers[name].pid), "at_once_mib": before}
    finally:
        holder.communicate()


def _settled(seconds):
    """Lets so much time pass: an idle connection gives its buffers back behind some of it."""
    threading.Event().wait(seconds)


def start(bench, name, _options):
    """A daemon's way from its process to its readiness, by the times of the lab's log."""
    lab, daemon = bench.servers["lab" + suffix(name)], name.removesuffix(BEFORE)
    lab.run("restart", "daemon", daemon)
    bench.servers[name].pid = lab.entry("daemons", daemon)["pid"]
    shown = lab.run("logs", "show", "--json", "--entry", daemon, "--lines", "60").stdout
    times = {}
    for entry in map(json.loads, shown.splitlines()):
        times[entry["message"]] = datetime.datetime.fromisoformat(entry["timestamp"])
    # The supervisor makes the next process at once when it has seen the end of the one before.
    took = times["ready"] - times["stopped"]
    return {"ready_ms": took.total_seconds() * 1000, "rss_mib": rss_mib(bench.servers[name].pid)}


def suffix(name):
    return BEFORE if name.endswith(BEFORE) else ""


def lab_times(bench, name, _options):
    """A whole lab's `up` and `down`: one nameserver, two daemons, four Python services."""
    programs = {
        "lab": (os.environ["FERROLAB_BIN"], "FERROLAB_HOME"),
        "lab" + BEFORE: (bench.before, "FERROLAB_HOME"),
        PYROLAB: (str(Path(sys.executable).parent / "pyrolab"), "PYROLAB_DATA_DIR"),
    }
    program, home = programs[name]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        mark = f"COMPARE_MARK={uuid.uuid4().hex}"
        measured = compare.measure(program, Path(folder), mark, {home: folder}, quiet=0.2)
    up, _, _, down = measured
    return {"up_seconds": up, "down_seconds": down}
