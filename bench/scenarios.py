"""Scenarios of the benchmark, each with its servers, its goals and its way of measuring.

Owns the list. A new scenario is an entry of `SCENARIOS`. How often each is run, and in which
order, is `bench.py`'s.
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
from array_calls import ARRAYS, array_client
from figures import PYRO5, RAW, Goal
from processes import cpu_seconds, pin, rss_mib
from series import SERIES, series
from servers import WITH_ACCESS

CLIENT = Path(__file__).resolve().parent / "client.py"
THREAD, MULTIPLEX = f"{PYRO5} thread", f"{PYRO5} multiplex"
NATIVE, HOSTED, PYROLAB, TLS = "native", "hosted", "PyroLab", "native-tls"
NATIVE_WITH_ACCESS = NATIVE + WITH_ACCESS
SERIALIZERS = ("serpent", "msgpack", "json", "marshal")
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
        """The target of a call; to the raw server, as many bytes as `like` reads and writes."""
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


def _pinned(serializer, least):
    return Scenario(
        f"pinned-{serializer}",
        f"{serializer}: 1 connection, both ends on one core",
        [NATIVE, HOSTED, THREAD, RAW],
        [
            Goal(NATIVE, least=least, against=THREAD),
            Goal(NATIVE, least=0.7, against=RAW),
        ],
        measure=calls,
        serializer=serializer,
        core=CORES[-1],
    )


def _records(serializer):
    record = {"name": "pressure 3", "value": 1.2345e-7, "unit": "mbar", "ok": True, "range": [0, 5]}
    return Scenario(
        f"pinned-record-{serializer}",
        f"{serializer}: the same with a small record there and back",
        [NATIVE, HOSTED, THREAD, RAW],
        measure=calls,
        serializer=serializer,
        core=CORES[-1],
        call={"method": "echo", "args": [record]},
    )


def _connections(count):
    goals = [
        Goal(NATIVE, least=20, against=THREAD),
        Goal(NATIVE, least=8, against=MULTIPLEX),
        Goal(NATIVE, least=0.65, against=RAW),
        Goal(HOSTED, least=2, against=THREAD),
    ]
    return Scenario(
        f"connections-{count}",
        f"{count} connections, each call behind the answer before",
        [NATIVE, HOSTED, THREAD, MULTIPLEX, RAW],
        goals,
        measure=calls,
        connections=count,
    )


def _floats(serializer, least):
    return Scenario(
        f"floats-{serializer}",
        f"{serializer}: a list of 100,000 floats, whose answer nobody decodes",
        [NATIVE, HOSTED, THREAD],
        [Goal(NATIVE, least=least, against=THREAD)],
        measure=calls,
        serializer=serializer,
        call={"method": "floats", "args": [100_000]},
    )


def _block(serializer):
    call = {"method": "block", "args": [8 << 20]}
    return [
        Scenario(
            f"block-client-{serializer}",
            f"{serializer}: 8 MiB of bytes, to a stock client",
            [NATIVE, HOSTED, THREAD],
            [Goal(NATIVE, least=1.0, against=THREAD), Goal(HOSTED, least=1.0, against=THREAD)],
            measure=client,
            serializer=serializer,
            call=call,
        ),
        Scenario(
            f"block-{serializer}",
            f"{serializer}: 8 MiB of bytes, whose answer nobody decodes",
            [NATIVE, HOSTED, THREAD, RAW],
            # A time of at most 1.3 x is a rate of at least 1 / 1.3.
            [Goal(NATIVE, least=0.77, against=RAW)],
            measure=calls,
            serializer=serializer,
            call=call,
        ),
    ]


def _lookups(storage, least):
    stock = f"{PYRO5} {storage}"
    return Scenario(
        f"lookups-{storage}",
        f"nameserver ({storage}): lookups over 8 connections",
        [storage, stock],
        [Goal(storage, least=least, against=stock)],
        measure=calls,
        call={"method": "lookup", "args": ["bench.instrument0042"]},
        connections=8,
        stock=stock,
    )


def _client(name, core, native, hosted):
    where = "client and server on one core" if core is not None else "no core given"
    return Scenario(
        name,
        f"a stock Python client's short calls, {where}",
        [NATIVE, HOSTED, THREAD],
        [Goal(NATIVE, least=native, against=THREAD), Goal(HOSTED, least=hosted, against=THREAD)],
        measure=client,
        core=core,
    )


SCENARIOS = [
    # These two first: the memory is that of a process which has done nothing yet.
    Scenario(
        "start",
        "a daemon, from its process to its readiness",
        [NATIVE],
        [Goal(NATIVE, most=10, key="ready_ms", unit=" ms")],
        measure=start,
        figure="ready_ms",
        unit="ms",
        lower_is_better=True,
    ),
    Scenario(
        "idle-500",
        "memory with 500 connections that are idle",
        [NATIVE, HOSTED, MULTIPLEX],
        [Goal(NATIVE, most=15, key="rss_mib", unit=" MiB")],
        measure=idle,
        connections=500,
        settle=1.5,
        rounds=1,
        figure="rss_mib",
        unit="MiB",
        lower_is_better=True,
        stock=MULTIPLEX,
    ),
    _pinned("serpent", 6),
    *(_pinned(serializer, 3) for serializer in SERIALIZERS if serializer != "serpent"),
    _records("serpent"),
    _records("msgpack"),
    Scenario(
        "tls",
        "serpent, with TLS and without: 1 connection, both ends on one core",
        [NATIVE, TLS],
        [Goal(TLS, least=0.8, against=NATIVE)],
        measure=calls,
        core=CORES[-1],
        stock=NATIVE,
    ),
    Scenario(
        "access",
        "serpent, with `access:` and without: 1 connection, both ends on one core",
        [NATIVE, NATIVE_WITH_ACCESS],
        [Goal(NATIVE_WITH_ACCESS, least=0.97, against=NATIVE)],
        measure=calls,
        core=CORES[-1],
        stock=NATIVE,
    ),
    _connections(8),
    _connections(64),
    Scenario(
        "offered-5000",
        "5,000 calls/s offered over 64 connections",
        [NATIVE, HOSTED, THREAD, RAW],
        [Goal(NATIVE, most=1000, key="p99_us")],
        measure=calls,
        connections=64,
        rate=5000,
        figure="p99_us",
        unit="us",
        lower_is_better=True,
    ),
    Scenario(
        "pipelined",
        "1 connection, 16 calls under way",
        [NATIVE, HOSTED, THREAD, RAW],
        measure=calls,
        pipeline=16,
    ),
    Scenario(
        "connects",
        "connections with their handshakes, one after the other",
        [NATIVE, HOSTED, THREAD, MULTIPLEX],
        [Goal(NATIVE, least=2.5, against=THREAD)],
        measure=connects,
    ),
    Scenario(
        "oneway",
        "oneway calls in bursts of 500, each until the last is done",
        [NATIVE, HOSTED, THREAD],
        [Goal(NATIVE, least=7, against=THREAD)],
        measure=oneway,
        burst=500,
        bursts=6,
    ),
    _client("client-free", None, 1.6, 1.0),
    _client("client-pinned", CORES[-1], 2.8, 1.4),
    Scenario(
        "neighbour",
        "a fast call while 4 clients sit in calls of 50 ms, against the same call alone",
        [NATIVE, HOSTED, THREAD],
        [
            Goal(server, most=bound, key=key)
            for server in (NATIVE, HOSTED)
            for key, bound in (("p50_ratio", 1.25), ("p99_ratio", 1.5))
        ],
        measure=neighbour,
        busy=4,
        figure="p50_us",
        unit="us",
        lower_is_better=True,
    ),
    *(_floats(serializer, 5) for serializer in ("serpent", "json")),
    *(_floats(serializer, 2) for serializer in ("marshal", "msgpack")),
    *_block("marshal"),
    *_block("msgpack"),
    *(
        Scenario(name, what, servers, goals, measure=array_client, **options)
        for name, what, servers, goals, options in ARRAYS
    ),
    _lookups("memory", 5),
    _lookups("sql", 10),
    Scenario(
        "up",
        "`up` of a nameserver, 2 daemons and 4 Python services, until all answer; then `down`",
        ["lab", PYROLAB],
        [
            Goal("lab", least=1.0, against=PYROLAB),
            Goal("lab", most=0.7, key="up_seconds", unit=" s"),
            Goal("lab", most=0.5, key="down_seconds", unit=" s"),
        ],
        measure=lab_times,
        rounds=3,
        figure="up_seconds",
        unit="s",
        lower_is_better=True,
        stock=PYROLAB,
    ),
    Scenario(
        "series",
        "1,000 members that a daemon reads once a second, with a reader of its feed",
        [SERIES],
        [
            Goal(SERIES, most=10, key="cpu_percent", unit=" %"),
            Goal(SERIES, most=64, key="rss_mib", unit=" MiB"),
        ],
        measure=series,
        services=20,
        members=50,
        settle=5,
        seconds=20,
        rounds=1,
        figure="cpu_percent",
        unit="%",
        lower_is_better=True,
        stock=SERIES,
    ),
]
