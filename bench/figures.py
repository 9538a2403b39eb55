"""Results of the rounds: medians, ratios, and the table that shows them.

Owns the arithmetic and the words of the report. Knows nothing of servers or processes.
"""

import statistics

# The server that others are measured against, by the name that the goals use.
PYRO5 = "Pyro5"
RAW = "raw TCP"
# Two bare hops to a Python loop: what a hosted service cannot be better than.
FLOOR = "floor"


class Measurement:
    """One server's figures in one scenario, round by round."""

    def __init__(self, scenario, server):
        self.scenario = scenario
        self.server = server
        self.rounds = []

    def add(self, figures):
        """Takes the figures of a round: a dict with at least the scenario's own one."""
        if figures.get("cpu_seconds") is not None and figures.get("calls"):
            figures = {**figures, "cpu_us": figures["cpu_seconds"] / figures["calls"] * 1e6}
        self.rounds.append(figures)

    def samples(self, key=None):
        key = key or self.scenario.figure
        return [figures[key] for figures in self.rounds if figures.get(key) is not None]

    def median(self, key=None):
        samples = self.samples(key)
        return statistics.median(samples) if samples else None

    def cpu_per_call(self):
        """Microseconds of the server's processors for each call, over all rounds."""
        rounds = [f for f in self.rounds if f.get("cpu_seconds") is not None and f.get("calls")]
        calls = sum(f["calls"] for f in rounds)
        return sum(f["cpu_seconds"] for f in rounds) / calls * 1e6 if calls else None


def ratios(ours, theirs, lower_is_better=False, key=None):
    """How many times as good `ours` is, in each round.

    Both were measured within seconds of each other in a round, so what the machine does to one
    round it does to both.
    """
    pairs = zip(ours.samples(key), theirs.samples(key), strict=False)
    return [(b / a if lower_is_better else a / b) for a, b in pairs if a and b]


def ratio(ours, theirs, lower_is_better=False, key=None):
    """The median of the ratios of each round, or None."""
    found = ratios(ours, theirs, lower_is_better, key)
    return statistics.median(found) if found else None


class Goal:
    """A figure to reach: so many times as good as another server, or a bound."""

    def __init__(self, server, least=None, against=None, most=None, key=None, unit=""):
        self.server = server
        self.least = least
        self.against = against
        self.most = most
        self.key = key
        self.unit = unit

    def chosen(self, _measurements, _scenario):
        """The goal that holds: this one."""
        return self

    def value(self, measurements, scenario):
        """The ratio now; None if it was not measured."""
        mine = measurements.get(self.server)
        if mine is None:
            return None
        if self.against is None:
            return mine.median(self.key)
        other = measurements.get(self.against)
        if other is None:
            return None
        return ratio(mine, other, scenario.lower_is_better, self.key)

    def reached(self, value):
        if self.least is not None:
            return value >= self.least
        return value <= self.most

    def words(self, value, scenario):
        name = self.key or scenario.figure
        if self.against is None:
            return f"{self.server}: {_names(name)} {number(value)}{self.unit}, at most {number(self.most)}"
        bound = f"at least {self.least}" if self.least is not None else f"at most {self.most}"
        what = f" {_names(name)}" if self.key else ""
        return f"{self.server}{what} is {value:.2f} x {self.against}, {bound}"


class FloorGoal:
    """The goal of a hosted service: `least` x the stock server where the floor itself is as good as
    that server, and `of_floor` x the floor where it is not."""

    def __init__(self, server, stock, least, of_floor):
        self.server = server
        self.against = FLOOR
        self._beside_stock = Goal(server, least=least, against=stock)
        self._beside_floor = Goal(server, least=of_floor, against=FLOOR)

    def chosen(self, measurements, scenario):
        """The goal that holds for these measurements."""
        floor, stock = measurements.get(FLOOR), measurements.get(self._beside_stock.against)
        at_floor = floor and stock and ratio(floor, stock, scenario.lower_is_better)
        return self._beside_stock if at_floor and at_floor >= 1 else self._beside_floor


def _names(key):
    words = {"p50_us": "p50 (us)", "p99_us": "p99 (us)", "rss_mib": "memory (MiB)"}
    return words.get(key, key.replace("_", " "))


def number(value):
    """A number with three digits that count."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


COLUMNS = "scenario,server,,median,min,max,x Pyro5,x raw TCP,x floor,p50 us,x Pyro5,p99 us,CPU us,MiB".split(",")


def rows(results):
    """The table's rows, as text; `results` maps scenarios to {server: Measurement}."""
    for scenario, measurements in results.items():
        name = scenario.name
        stock = measurements.get(scenario.stock)
        raw, floor = measurements.get(RAW), measurements.get(FLOOR)
        for server, measured in measurements.items():
            samples = measured.samples()
            if not samples:
                continue

            def against(other, measured=measured, scenario=scenario, p50=False):
                if other is None or other is measured:
                    return "-"
                if p50:
                    return number(ratio(measured, other, lower_is_better=True, key="p50_us"))
                return number(ratio(measured, other, scenario.lower_is_better))

            yield [
                name,
                server,
                scenario.unit,
                number(measured.median()),
                number(min(samples)),
                number(max(samples)),
                against(stock),
                against(raw),
                against(floor),
                number(measured.median("p50_us")),
                # On a busy machine this says more than the rate: half of the calls met nobody.
                against(stock, p50=True),
                number(measured.median("p99_us")),
                number(measured.cpu_per_call()),
                number(measured.median("rss_mib")),
            ]
            name = ""


def table(results):
    """The results as a Markdown table, aligned for reading as it is."""
    return aligned([COLUMNS, *rows(results)])


def aligned(lines):
    """A Markdown table: its head, and rows of as many cells; numbers stand to the right."""
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(*lines, strict=True)]
    text = []
    for index, line in enumerate(lines):
        cells = [
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append(f"| {' | '.join(cells)} |")
        if index == 0:
            rules = ["-" * width if i < 3 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
            text.append(f"| {' | '.join(rules)} |")
    return "\n".join(text)


def judged(results):
    """Each goal with where it stands: (scenario's name, words, value, whether it is reached)."""
    for scenario, measurements in results.items():
        for goal in scenario.goals:
            goal = goal.chosen(measurements, scenario)
            value = goal.value(measurements, scenario)
            if value is not None:
                yield scenario.name, goal.words(value, scenario), value, goal.reached(value)


def goals(results):
    """The goals as lines of text."""
    lines = []
    for name, words, _, reached in judged(results):
        lines.append(f"{'reached    ' if reached else 'NOT REACHED'} {name}: {words}")
    return "\n".join(lines)


def as_json(results, about):
    """Everything that was measured, each round's figures included."""
    scenarios = {}
    for scenario, measurements in results.items():
        servers = {}
        for server, measured in measurements.items():
            if not measured.rounds:
                continue
            samples = measured.samples()
            stock, raw, floor = (measurements.get(name) for name in (scenario.stock, RAW, FLOOR))
            servers[server] = {
                "median": measured.median(),
                "min": min(samples),
                "max": max(samples),
                "p50_us": measured.median("p50_us"),
                "p99_us": measured.median("p99_us"),
                "cpu_us_per_call": measured.cpu_per_call(),
                "rss_mib": measured.median("rss_mib"),
                "ratio_to_pyro5": stock and ratio(measured, stock, scenario.lower_is_better),
                "p50_ratio_to_pyro5": stock and ratio(measured, stock, True, "p50_us"),
                "ratio_to_raw_tcp": raw and ratio(measured, raw, scenario.lower_is_better),
                "ratio_to_floor": floor and ratio(measured, floor, scenario.lower_is_better),
                "rounds": measured.rounds,
            }
        scenarios[scenario.name] = {
            "what": scenario.what,
            "figure": scenario.figure,
            "unit": scenario.unit,
            "lower_is_better": scenario.lower_is_better,
            "servers": servers,
            "goals": [
                {"goal": words, "value": value, "reached": reached}
                for name, words, value, reached in judged({scenario: measurements})
            ],
        }
    return {**about, "scenarios": scenarios}
