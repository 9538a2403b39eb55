"""Scenarios of the benchmark, each with its servers, its goals and its way of measuring.

Owns the list. A new scenario is an entry of `SCENARIOS`. How often each is run, and in which
order, is `bench.py`'s.
"""

from array_calls import ARRAYS, array_client
from figures import FLOOR, PYRO5, RAW, FloorGoal, Goal
from measuring import (
    CORES,
    HOSTED,
    NATIVE,
    PYROLAB,
    SHORT,
    THREAD,
    Scenario,
    calls,
    client,
    connects,
    idle,
    lab_times,
    neighbour,
    oneway,
    start,
)
from series import SERIES, series
from servers import WITH_ACCESS

MULTIPLEX = f"{PYRO5} multiplex"
TLS = "native-tls"
NATIVE_WITH_ACCESS = NATIVE + WITH_ACCESS
SERIALIZERS = ("serpent", "msgpack", "json", "marshal")
# As fast as Pyro5 where a server could be that only passes bytes on to Python; else nearly as that.
# Short calls miss it, for the reason that docs/performance.md has measured; it stays as wanted.
AT_THE_FLOOR = FloorGoal(HOSTED, stock=THREAD, least=1.0, of_floor=0.95)


def _pinned(serializer, least):
    return Scenario(
        f"pinned-{serializer}",
        f"{serializer}: 1 connection, both ends on one core",
        [NATIVE, HOSTED, THREAD, RAW, FLOOR],
        [
            Goal(NATIVE, least=least, against=THREAD),
            Goal(NATIVE, least=0.7, against=RAW),
            AT_THE_FLOOR,
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
        [NATIVE, HOSTED, THREAD, RAW, FLOOR],
        [AT_THE_FLOOR],
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
        f"{count} connections, each call after the answer before",
        [NATIVE, HOSTED, THREAD, MULTIPLEX, RAW],
        goals,
        measure=calls,
        connections=count,
    )


def _floats(serializer, least):
    return Scenario(
        f"floats-{serializer}",
        f"{serializer}: a list of 100,000 floats, whose answer nobody decodes",
        [NATIVE, HOSTED, THREAD, FLOOR],
        [Goal(NATIVE, least=least, against=THREAD), AT_THE_FLOOR],
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
            [NATIVE, HOSTED, THREAD, FLOOR],
            [Goal(NATIVE, least=1.0, against=THREAD), AT_THE_FLOOR],
            measure=client,
            serializer=serializer,
            call=call,
        ),
        Scenario(
            f"block-{serializer}",
            f"{serializer}: 8 MiB of bytes, whose answer nobody decodes",
            [NATIVE, HOSTED, THREAD, RAW, FLOOR],
            # A time of at most 1.3 x is a rate of at least 1 / 1.3.
            [Goal(NATIVE, least=0.77, against=RAW), AT_THE_FLOOR],
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
        [NATIVE, HOSTED, THREAD, FLOOR],
        [
            Goal(NATIVE, least=native, against=THREAD),
            Goal(HOSTED, least=hosted, against=THREAD),
            AT_THE_FLOOR,
        ],
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
