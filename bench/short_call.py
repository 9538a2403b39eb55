"""A short call by our Python client beside Pyro5's, in one run: `short_call.py [--ferrolab PATH]`.

Only ratios count. Processor time of the client is what a busy program notices, and a loaded
machine disturbs it least; `per second` also has the daemon's part, if that has other cores.
The interpreter needs Pyro5 (`cargo xtask venv` prints one that has it).
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "drivers"), str(ROOT / "python")]

LAB = """\
version: "1.0"
daemons:
  tcp: {host: localhost, threadpool_size: 200}
  unix: {unixsocket: $sock}
services:
  echo.tcp: {native: simulated.loopback, daemon: tcp}
  echo.unix: {native: simulated.loopback, daemon: unix}
autolaunch: {daemons: [tcp, unix]}
"""


def timed(calls):
    """Processor and wall seconds of `calls()`."""
    cpu, wall = time.process_time(), time.perf_counter()
    calls()
    return time.process_time() - cpu, time.perf_counter() - wall


def repeated(method, calls):
    """A function that calls a method so many times."""

    def run():
        for _ in range(calls):
            method(5)

    return run


def medians(contestants, rounds):
    """Microseconds of processor and wall time by name, of interleaved rounds."""
    taken = {name: [] for name in contestants}
    for number in range(rounds):
        for name in sorted(contestants, reverse=number % 2 == 1):
            run, calls = contestants[name]
            taken[name].append([seconds / calls * 1e6 for seconds in timed(run)])
    return {name: [statistics.median(column) for column in zip(*rows)] for name, rows in taken.items()}


def in_flight(uri, calls, ferrolab):
    """Functions that make `calls` calls at once: by asyncio, and by 32 threads with Pyro5's way."""
    import threading

    lab = ferrolab.Lab(None, ferrolab.Proxy(uri)._remote.settings).aio

    async def gather():
        await asyncio.gather(*[lab[uri].echo(number) for number in range(calls)])
        await lab.close()

    own = threading.local()

    def one(number):
        import Pyro5.api

        if not hasattr(own, "proxy"):
            own.proxy = Pyro5.api.Proxy(uri)
        return own.proxy.echo(number)

    pool = ThreadPoolExecutor(32)
    return {
        "ferrolab asyncio": (lambda: asyncio.run(gather()), calls),
        "Pyro5, 32 threads": (lambda: list(pool.map(one, range(calls))), calls),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ferrolab", default=os.environ.get("FERROLAB_BIN", str(ROOT / "target/release/ferrolab")))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ["FERROLAB_BIN"] = options.ferrolab
    import ferrolab
    from harness import new_lab

    report = {}
    with new_lab() as lab:
        lab.config(LAB, sock=str(lab.folder / "sock"))
        lab.up()
        for kind in ("tcp", "unix"):
            uri = lab.uri("echo." + kind)
            contestants = {
                "ferrolab": ferrolab.Proxy(uri),
                "Pyro5 serpent": lab.proxy("echo." + kind, timeout=None),
                "Pyro5 msgpack": lab.proxy("echo." + kind, timeout=None, serializer="msgpack"),
            }
            for proxy in contestants.values():
                proxy.echo(5)
            runs = {name: (repeated(proxy.echo, options.calls), options.calls) for name, proxy in contestants.items()}
            report["short call, " + kind] = medians(runs, options.rounds)
        report["1,000 calls in flight"] = medians(in_flight(lab.uri("echo.tcp"), 1000, ferrolab), options.rounds)
    if options.json:
        print(json.dumps(report))
        return
    for title, rows in report.items():
        print(title)
        first = next(iter(rows.values()))
        for name, (cpu, wall) in rows.items():
            print(f"  {name:20} {cpu:8.1f} us processor ({cpu / first[0]:.2f}x)  {wall:8.1f} us ({wall / first[1]:.2f}x)")


if __name__ == "__main__":
    main()
