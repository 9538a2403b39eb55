"""Comparison of two versions of Ferrolab: with a recorded run, or within one run.

Machines differ, so a recorded run is compared by its ratios to Pyro5: the ratio of today's to the
recorded one says what has changed. Within one run the versions are compared directly, round by
round. Every ratio is how many times as good today's program is.
"""

import json
import statistics

import figures
from figures import Measurement, number

# How the servers of the other program of a run are called: "native before".
BEFORE = " before"
OURS = ("native", "hosted", "memory", "sql", "lab")
# Rounds from which on a median can show a few percent.
ENOUGH = 15
# Rounds from which on there is a spread to speak of.
FEWEST = 3


class Spread:
    """Ratios of rounds: their median, and the quartiles around it."""

    def __init__(self, ratios):
        self.count = len(ratios)
        self.median = statistics.median(ratios)
        self.low, _, self.high = statistics.quantiles(ratios, n=4, method="inclusive") if self.count > 1 else ratios * 3

    def __truediv__(self, other):
        """Both medians divided, and the worst and the best that the quartiles allow."""
        divided = Spread([self.median / other.median])
        divided.low, divided.high = self.low / other.high, self.high / other.low
        divided.count = min(self.count, other.count)
        return divided

    def verdict(self):
        """A change that the spread does not explain."""
        if self.count < FEWEST or self.low <= 1 <= self.high:
            return ""
        return "better" if self.low > 1 else "worse"

    def __str__(self):
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"


class Record:
    """Output of `cargo xtask bench --json`."""

    def __init__(self, path):
        try:
            with open(path, encoding="utf-8") as file:
                self.content = json.load(file)
        except (OSError, ValueError) as error:
            raise SystemExit(f"bench: cannot read {path}: {error}") from None
        problem = wrong(self.content)
        if problem:
            raise SystemExit(f"bench: {path} is not what `cargo xtask bench --json` writes: {problem}")
        self.scenarios = self.content["scenarios"]

    def title(self):
        keys = ("date", "version", "commit", "machine", "rounds", "seconds")
        known = [f"{key} {self.content[key]}" for key in keys if key in self.content]
        return ", ".join(known) or "nothing is known of where it was taken"

    def measurements(self, scenario):
        """The recorded rounds of a scenario, by server; None where it has none by that figure."""
        recorded = self.scenarios.get(scenario.name)
        if recorded is None or recorded.get("figure", scenario.figure) != scenario.figure:
            return None
        measured = {}
        for server, row in recorded["servers"].items():
            measured[server] = Measurement(scenario, server)
            for values in row["rounds"]:
                measured[server].add(values)
        return measured


def wrong(content):
    """The fault in the shape of a record; None if it can be read."""
    scenarios = content.get("scenarios") if isinstance(content, dict) else None
    if not isinstance(scenarios, dict) or not scenarios:
        return "it has no `scenarios`"
    for name, scenario in scenarios.items():
        servers = scenario.get("servers") if isinstance(scenario, dict) else None
        if not isinstance(servers, dict):
            return f"`{name}` has no `servers`"
        for server, row in servers.items():
            rounds = row.get("rounds") if isinstance(row, dict) else None
            if not isinstance(rounds, list) or not all(isinstance(values, dict) for values in rounds):
                return f"`{name}`, {server}, has no `rounds`"
            for key in (scenario.get("figure", "per_second"), "cpu_seconds", "calls"):
                values = [values[key] for values in rounds if values.get(key) is not None]
                if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
                    return f"`{name}`, {server}: `{key}` is not a number"
    return None


def with_record(results, record, selected=""):
    """A table of today's ratios to Pyro5 beside the recorded ones, and what cannot be compared.

    This run has the scenarios with `selected` in their names.
    """
    lines, notes = [], []
    for scenario, now in results.items():
        then = record.measurements(scenario)
        if then is None:
            notes.append(f"not in the record, or by another figure: {scenario.name}")
            continue
        name = scenario.name
        for server in [server for server in scenario.servers if server in OURS]:
            sides = [ratios(scenario, measured, server) for measured in (now, then)]
            if not all(sides):
                side = "this run" if not sides[0] else "the record"
                notes.append(f"without a ratio to Pyro5 in {side}: {scenario.name}, {server}")
                continue
            today, recorded = map(Spread, sides)
            changed = today / recorded
            cpu = [cpu_ratio(scenario, measured, server) for measured in (now, then)]
            cells = [name, server, str(today), str(recorded), str(changed), changed.verdict()]
            cells += [number(cpu[0] / cpu[1]) if all(cpu) else "-", f"{today.count} / {recorded.count}"]
            lines.append(cells)
            name = ""
    gone = record.scenarios.keys() - {scenario.name for scenario in results}
    notes += [f"only in the record: {name}" for name in sorted(gone) if selected in name]
    head = ["scenario", "server", "x Pyro5 now", "x Pyro5 then", "now / then", "", "by CPU", "rounds"]
    return told(head, lines, [f"Recorded: {record.title()}", *notes], results)


def ratios(scenario, measured, server):
    """How many times as good as Pyro5 a server is, in each round."""
    ours, stock = measured.get(server), measured.get(scenario.stock)
    if ours is None or stock is None:
        return []
    return figures.ratios(ours, stock, scenario.lower_is_better)


def cpu_ratio(scenario, measured, server):
    """The same by processor time per call, over all rounds."""
    ours, stock = measured.get(server), measured.get(scenario.stock)
    costs = [side.cpu_per_call() for side in (ours, stock) if side is not None]
    return costs[1] / costs[0] if len(costs) == 2 and all(costs) else None


def within_run(results):
    """A table of today's program beside the one before, measured in the same rounds."""
    lines = []
    for scenario, measured in results.items():
        name = scenario.name
        for server in [server for server in scenario.servers if server + BEFORE in measured]:
            pair = measured[server], measured[server + BEFORE]
            both = figures.ratios(*pair, scenario.lower_is_better)
            if not both:
                continue
            changed, cpu = Spread(both), figures.ratios(*pair, True, "cpu_us")
            cells = [name, server, number(pair[0].median()), number(pair[1].median()), str(changed), changed.verdict()]
            cells += [str(Spread(cpu)) if cpu else "-", str(changed.count)]
            lines.append(cells)
            name = ""
    head = ["scenario", "server", "now", "before", "now / before", "", "by CPU", "rounds"]
    return told(head, lines, [], results)


def told(head, lines, notes, results):
    """The table with its notes, one to a line."""
    counts = [len(measurement.rounds) for measured in results.values() for measurement in measured.values()]
    if counts and min(counts) < ENOUGH:
        notes = [*notes, f"Rounds: fewer than {ENOUGH} cannot show a change of a few percent (--rounds {ENOUGH})"]
    return "\n".join([figures.aligned([head, *lines]), "", *notes]).rstrip()
