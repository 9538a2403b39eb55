"""The arithmetic of `cargo xtask bench`, and that its parts work together. Nothing is timed here:
what a figure is depends on the machine, and tests must not.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness import Service, stock_daemon

BENCH = Path(__file__).resolve().parent.parent / "bench"
sys.path.insert(0, str(BENCH))

import bench  # noqa: E402
import figures  # noqa: E402
import scenarios  # noqa: E402
from figures import Goal, Measurement  # noqa: E402


def scenario(**options):
    return scenarios.Scenario("calls", "calls", ["ours", "theirs"], stock="theirs", **options)


def measured(of, server, *values, **more):
    measurement = Measurement(of, server)
    for value in values:
        measurement.add({of.figure: value, **more})
    return measurement


def test_a_median_is_of_the_rounds_that_have_the_figure():
    ours = measured(scenario(), "ours", 3.0, 1.0, 2.0)
    ours.add({"p50_us": 7.0})
    assert (ours.median(), ours.median("p50_us"), ours.median("nothing")) == (2.0, 7.0, None)


@pytest.mark.parametrize(
    ("mine", "other", "lower_is_better", "expected"),
    [
        ([10, 20, 90], [5, 5, 5], False, 4.0),
        # Round by round: a slow moment of the machine is in both.
        ([10, 100, 30], [5, 50, 15], False, 2.0),
        ([10, 20], [20, 60], True, 2.5),
        ([10], [], False, None),
        ([10], [0], False, None),
    ],
)
def test_ratios_are_medians_of_the_ratios_of_rounds(mine, other, lower_is_better, expected):
    of = scenario()
    ours, theirs = measured(of, "ours", *mine), measured(of, "theirs", *other)
    assert figures.ratio(ours, theirs, lower_is_better) == expected


def test_processor_time_is_shared_out_over_all_calls():
    ours = measured(scenario(), "ours", 1.0)
    assert ours.cpu_per_call() is None
    ours.add({"cpu_seconds": 0.02, "calls": 1000})
    ours.add({"cpu_seconds": 0.0, "calls": 1000})
    assert ours.cpu_per_call() == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("goal", "value", "reached"),
    [
        (Goal("ours", least=2, against="theirs"), 2.0, True),
        (Goal("ours", least=2.1, against="theirs"), 2.0, False),
        (Goal("ours", most=10), 10, True),
        (Goal("ours", most=9), 10, False),
        (Goal("ours", most=9, key="p99_us"), 8, True),
    ],
)
def test_goals(goal, value, reached):
    of = scenario()
    of.goals = [goal]
    servers = {"ours": measured(of, "ours", 10, p99_us=8), "theirs": measured(of, "theirs", 5)}
    [(_, words, told, is_reached)] = figures.judged({of: servers})
    assert (told, is_reached) == (value, reached)
    assert "ours" in words


def test_a_goal_that_was_not_measured_is_not_judged():
    of = scenario()
    of.goals = [Goal("others", most=1), Goal("ours", least=1, against="others")]
    assert list(figures.judged({of: {"ours": measured(of, "ours", 1)}})) == []


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.1234, "0.123"), (12.34, "12.3"), (12345.6, "12,346")]
)
def test_numbers_have_three_digits_that_count(value, text):
    assert figures.number(value) == text


def test_the_table():
    of = scenario()
    results = {of: {"ours": measured(of, "ours", 10, 30, 20), "theirs": measured(of, "theirs", 5, 5, 5)}}
    lines = figures.table(results).splitlines()
    assert len({len(line) for line in lines}) == 1, "the columns are aligned"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == figures.COLUMNS
    assert cells[2][:8] == ["calls", "ours", "/s", "20", "10", "30", "4", "-"]
    assert cells[3][:8] == ["", "theirs", "/s", "5", "5", "5", "-", "-"]
    assert figures.as_json(results, {})["scenarios"]["calls"]["servers"]["ours"]["ratio_to_pyro5"] == 4


def test_every_server_is_first_in_some_round():
    names = ["a", "b", "c"]
    assert [bench.order(names, number) for number in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_scenarios_have_names_of_their_own_and_are_found_by_them():
    names = [scenario.name for scenario in scenarios.SCENARIOS]
    assert len(set(names)) == len(names)
    assert [found.name for found in bench.selected("oneway")] == ["oneway"]
    assert bench.selected(None) == scenarios.SCENARIOS
    with pytest.raises(SystemExit, match="there is no scenario 'twoway'; there are"):
        bench.selected("twoway")
    for found in scenarios.SCENARIOS:
        assert all({goal.server, goal.against or goal.server} <= set(found.servers) for goal in found.goals)


def test_the_list_is_printed():
    script = [sys.executable, str(BENCH / "bench.py"), "--list", "--quick"]
    listed = subprocess.run(script, capture_output=True, encoding="utf-8", check=True).stdout
    assert [line.split()[0] for line in listed.splitlines()] == [s.name for s in scenarios.SCENARIOS]


def test_a_stock_client_counts_its_calls():
    with stock_daemon({"loopback": Service("loopback", "Loopback")}) as server:
        name, _, address = server.uris["loopback"].partition(":")[2].partition("@")
        job = {"address": address, "object": name, "method": "echo", "args": [1.5], "seconds": 0.01}
        script = [sys.executable, str(scenarios.CLIENT), json.dumps(job)]
        report = json.loads(subprocess.run(script, capture_output=True, check=True).stdout)
    assert report["calls"] >= 1
    assert report["p50_us"] <= report["p99_us"] <= report["max_us"]


@pytest.mark.skipif("FERROLAB_LOAD" not in os.environ, reason="the load generator is not built")
@pytest.mark.parametrize("name", ["connections-8", "oneway", "connects"])
def test_a_small_scenario_runs(name):
    script = [sys.executable, str(BENCH / "bench.py"), name, "--rounds", "1", "--seconds", "0.01"]
    script += ["--json", "--load", os.environ["FERROLAB_LOAD"]]
    report = json.loads(subprocess.run(script, capture_output=True, check=True).stdout)
    [(found, results)] = report["scenarios"].items()
    assert found == name
    of = bench.selected(name)[0]
    assert set(results["servers"]) == set(of.servers)
    assert all(figures["median"] > 0 for figures in results["servers"].values())
