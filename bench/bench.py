"""Ferrolab beside Pyro5 and beside bare TCP: `cargo xtask bench` runs it.

Every server is up for the whole run. A scenario is measured in rounds, each server once in a
round and in another order each time, because a machine is faster now and slower then; only the
ratios of one run count.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import against  # noqa: E402
import figures  # noqa: E402
import servers  # noqa: E402
from measuring import Bench  # noqa: E402
from scenarios import SCENARIOS  # noqa: E402


def selected(name):
    """The scenarios with `name` in their names; all of them without one."""
    found = [scenario for scenario in SCENARIOS if not name or name in scenario.name]
    if not found:
        names = ", ".join(scenario.name for scenario in SCENARIOS)
        raise SystemExit(f"bench: there is no scenario '{name}'; there are {names}")
    return found


def order(names, number):
    """The servers of a round: each pair of rounds begins with other ones, and goes both ways."""
    shift = number // 2 % len(names)
    turned = names[shift:] + names[:shift]
    return turned[::-1] if number % 2 else turned


def add_servers_before(scenario):
    """The other program's servers are measured right beside ours."""
    pairs = [[name, name + against.BEFORE] if name in against.OURS else [name] for name in scenario.servers]
    scenario.servers = sum(pairs, [])


def measure(bench, scenario, rounds, quick):
    """A scenario's measurements, by server."""
    measured = {name: figures.Measurement(scenario, name) for name in scenario.servers}
    if scenario.rounds:
        rounds = 1 if quick else min(rounds, scenario.rounds)
    for number in range(rounds):
        for name in order(scenario.servers, number):
            measured[name].add(scenario.options["measure"](bench, name, scenario.options))
    return measured


def about(options, seconds):
    """Circumstances of the figures: where and how they were taken, and of which program."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    commit = subprocess.run(git, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8")
    version = subprocess.run([os.environ["FERROLAB_BIN"], "--version"], stdout=subprocess.PIPE, encoding="utf-8")
    return {
        "version": version.stdout.strip(),
        "commit": commit.stdout.strip() or "unknown",
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "rounds": options.rounds,
        "seconds": seconds,
    }


def compared(results, record, options):
    """The comparisons that were asked for: titles and tables."""
    if options.ferrolab:
        yield f"Today's program / {options.ferrolab}", against.within_run(results)
    if record:
        title = f"Ratios to Pyro5, today's / those in {options.against}"
        yield title, against.with_record(results, record, options.name or "")


def main():
    parser = argparse.ArgumentParser(prog="cargo xtask bench", description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="?", help="scenarios with this in their names")
    parser.add_argument("--quick", action="store_true", help="short rounds: under two minutes")
    parser.add_argument("--rounds", type=int, help="7, or 3 with --quick")
    parser.add_argument("--seconds", type=float, help="of a measurement: 1, or 0.2 with --quick")
    parser.add_argument("--json", action="store_true", help="print JSON, with every round's figures")
    parser.add_argument("--list", action="store_true", help="name the scenarios and run none")
    parser.add_argument("--against", metavar="FILE", help="compare with a record: the JSON of an earlier run")
    parser.add_argument(
        "--ferrolab", metavar="PATH", help="another version's program, measured in the same rounds and compared with"
    )
    parser.add_argument("--load", help="the load generator's binary")
    options = parser.parse_args()
    scenarios = selected(options.name)
    if options.list:
        for scenario in scenarios:
            print(f"{scenario.name:24} {scenario.what}")
        return
    if not options.load or "FERROLAB_BIN" not in os.environ:
        parser.error("--load and FERROLAB_BIN are needed: run `cargo xtask bench`")
    record = options.against and against.Record(options.against)
    if options.ferrolab:
        if not os.access(options.ferrolab, os.X_OK):
            parser.error(f"--ferrolab: {options.ferrolab} is not a program")
        options.ferrolab = str(Path(options.ferrolab).resolve())
        for scenario in scenarios:
            add_servers_before(scenario)
    options.rounds = options.rounds or (3 if options.quick else 7)
    seconds = options.seconds or (0.2 if options.quick else 1.0)
    wanted = set().union(*(scenario.needs() for scenario in scenarios))
    results = {}
    with servers.started(options.load, wanted, options.ferrolab) as up:
        bench = Bench(options.load, up, seconds, options.ferrolab)
        for scenario in scenarios:
            began = time.monotonic()
            results[scenario] = measure(bench, scenario, options.rounds, options.quick)
            took = time.monotonic() - began
            print(f"# {scenario.name}: {took:.1f} s", file=sys.stderr, flush=True)
    facts = about(options, seconds)
    if options.json:
        print(json.dumps(figures.as_json(results, facts), indent=2))
        # The comparison is for people, and what is printed here is the next record.
        for title, table in compared(results, record, options):
            print(f"\n{title}\n\n{table}", file=sys.stderr)
        return
    print(f"{facts['date']}, {facts['machine']}; {options.rounds} rounds of {seconds} s\n")
    print(figures.table(results))
    print(f"\n{figures.goals(results)}")
    for title, table in compared(results, record, options):
        print(f"\n{title}\n\n{table}")


if __name__ == "__main__":
    main()
