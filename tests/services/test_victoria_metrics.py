"""Values pushed to a real VictoriaMetrics: after a while without it, it has everything."""

import json

import pytest
from harness import NEVER, wait_for
from databases import VictoriaMetrics

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
history: {}
push: {url: "http://127.0.0.1:$port/write", every: 500ms, match: ["lab.*.count"]}
daemons: {bench: {}}
services:
  lab.ticker:
    module: ticker
    classname: Ticker
    daemon: bench
    instancemode: single
    members:
      count: {unit: ticks, poll: 100ms}
      other: {poll: 1s}
autolaunch: {daemons: [bench]}
"""
SERIES = "ferrolab_value"


@pytest.fixture
def database(tmp_path):
    database = VictoriaMetrics(tmp_path / "victoria-metrics")
    yield database.start()
    database.stop()


def counts(database):
    """The counts that have arrived, in the order of their times."""
    series = database.values(SERIES)
    return [int(value) for _, samples in series for _, value in samples]


def test_nothing_is_lost_while_the_database_is_away(lab, database):
    lab.config(CONFIGURATION, port=database.port)
    lab.up()
    wait_for(lambda: len(counts(database)) >= 5, NEVER, "the first values")
    (labels, _), = database.values(SERIES)
    assert (labels["service"], labels["member"], labels["unit"]) == ("lab.ticker", "count", "ticks")
    database.stop()

    def status():
        return json.loads(lab.run("status", "--json", check=False).stdout)["findings"]

    def told():
        return any("`push` to 127.0.0.1" in finding["problem"] for finding in status())

    wait_for(told, NEVER, "status names the target that is away")
    with lab.proxy("lab.ticker") as ticker:
        # The instrument goes on meanwhile.
        away_until = ticker.last() + 20
        wait_for(lambda: ticker.last() > away_until, NEVER, "values while it is away")
    database.start()
    wait_for(lambda: max(counts(database), default=0) > away_until, NEVER, "the values that have waited")
    arrived = counts(database)
    assert arrived == list(range(arrived[0], arrived[-1] + 1)), arrived
    wait_for(lambda: not told(), NEVER, "all is well again")
    # A restart of the history sends nothing twice and leaves nothing out.
    lab.run("restart", "process", "history")
    last = arrived[-1]
    wait_for(lambda: counts(database)[-1] > last + 5, NEVER, "values after the restart")
    arrived = counts(database)
    assert arrived == list(range(arrived[0], arrived[-1] + 1)), arrived
