"""The arithmetic of `cargo xtask bench`, and that its parts work together. Nothing is timed here:
what a figure is depends on the machine, and tests must not.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import Service, stock_daemon

BENCH = Path(__file__).resolve().parent.parent / "bench"
sys.path.insert(0, str(BENCH))

import against  # noqa: E402
import bench  # noqa: E402
import figures  # noqa: E402
import measuring  # noqa: E402
import processes  # noqa: E402
import scenarios  # noqa: E402
from figures import Goal, Measurement  # noqa: E402


def scenario(**options):
    return measuring.Scenario("calls", "calls", ["ours", "theirs"], stock="theirs", **options)


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
    ("hosted", "floor", "words"),
    [
        (12, 10, "hosted is 1.20 x theirs, at least 1.0"),
        (9, 10, "hosted is 0.90 x theirs, at least 1.0"),
        (9, 9.5, "hosted is 0.95 x floor, at least 0.95"),
        (9, None, None),
    ],
)
def test_a_hosted_service_is_judged_beside_pyro5_only_where_the_floor_is_as_good(hosted, floor, words):
    of = scenario()
    of.goals = [figures.FloorGoal("hosted", stock="theirs", least=1.0, of_floor=0.95)]
    servers = {"hosted": measured(of, "hosted", hosted), "theirs": measured(of, "theirs", 10)}
    if floor:
        servers["floor"] = measured(of, "floor", floor)
    assert [told for _, told, _, _ in figures.judged({of: servers})] == ([words] if words else [])


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


# Two versions


def recorded(tmp_path, *ours, name="calls", **more):
    """A record of one scenario, in which Pyro5 comes to 10 in each round."""
    of = scenario(**more)
    of.name = name
    results = {of: {"native": measured(of, "native", *ours), "theirs": measured(of, "theirs", *[10] * len(ours))}}
    file = tmp_path / "then.json"
    file.write_text(json.dumps(figures.as_json(results, {"date": "2026-01-02", "commit": "abc"})))
    return against.Record(file)


def results_now(*ours):
    of = scenario()
    of.servers = ["native", "hosted", "theirs"]
    native = measured(of, "native", *ours)
    return {of: {"native": native, "theirs": measured(of, "theirs", *[20] * len(ours))}}


def cells(table):
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_a_record_is_compared_by_its_ratios_to_pyro5(tmp_path):
    """Twice as fast a machine, and half as good a program."""
    record = recorded(tmp_path, 80, 78, 82, 80, 79)
    table = against.with_record(results_now(80, 80, 79, 81, 80), record)
    [row] = cells(table)
    assert row[:4] == ["calls", "native", "4.000 (4.000 to 4.000)", "8.000 (7.900 to 8.000)"]
    assert row[4:] == ["0.500 (0.500 to 0.506)", "worse", "-", "5 / 5"]
    assert "Recorded: date 2026-01-02, commit abc" in table
    assert "without a ratio to Pyro5 in this run: calls, hosted" in table
    assert "fewer than 15 cannot show a change of a few percent" in table


@pytest.mark.parametrize(
    ("then", "now", "verdict"),
    [
        ([40, 41, 42, 43], [80, 82, 84, 86], ""),
        ([40, 41, 42, 43], [82, 84, 86, 88], ""),
        ([40, 41, 42, 43], [100, 102, 104, 106], "better"),
        ([40, 80, 40, 80], [100, 102, 104, 106], ""),
        ([40], [20], ""),
    ],
)
def test_what_the_spread_explains_is_no_change(tmp_path, then, now, verdict):
    [row] = cells(against.with_record(results_now(*now), recorded(tmp_path, *then)))
    assert row[5] == verdict


def test_a_time_is_better_where_it_is_less(tmp_path):
    record = recorded(tmp_path, 5, 5, 5, lower_is_better=True)
    of = scenario(lower_is_better=True)
    of.servers = ["native"]
    results = {of: {"native": measured(of, "native", 4, 4, 4), "theirs": measured(of, "theirs", 16, 16, 16)}}
    [row] = cells(against.with_record(results, record))
    assert row[2].startswith("4.000") and row[3].startswith("2.000") and row[5] == "better"


def test_processor_time_is_compared_too(tmp_path):
    now = results_now(80, 80, 80)
    for measurement in next(iter(now.values())).values():
        for values in measurement.rounds:
            values |= {"cpu_seconds": 0.1, "calls": 1000 if measurement.server == "native" else 500}
    record = recorded(tmp_path, 80, 80, 80)
    for row in record.scenarios["calls"]["servers"].values():
        row["rounds"] = [{**values, "cpu_seconds": 0.1, "calls": 1000} for values in row["rounds"]]
    [row] = cells(against.with_record(now, record))
    assert row[6] == "2"


def test_scenarios_that_one_side_lacks_are_named(tmp_path):
    record = recorded(tmp_path, 8, 8, name="other")
    told = against.with_record(results_now(8, 8), record)
    assert "not in the record, or by another figure: calls" in told
    assert "only in the record: other" in told
    assert "only in the record" not in against.with_record(results_now(8, 8), record, "calls")
    record = recorded(tmp_path, 8, 8, figure="p50_us")
    assert "by another figure: calls" in against.with_record(results_now(8, 8), record)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read"),
        ("no JSON", "cannot read"),
        ("[]", "it has no `scenarios`"),
        ('{"scenarios": {}}', "it has no `scenarios`"),
        ('{"scenarios": {"calls": 5}}', "`calls` has no `servers`"),
        ('{"scenarios": {"calls": {"servers": {"native": {"median": 5}}}}}', "`calls`, native, has no `rounds`"),
        (
            '{"scenarios": {"calls": {"servers": {"native": {"rounds": [{"per_second": "many"}]}}}}}',
            "`calls`, native: `per_second` is not a number",
        ),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path, text, said):
    file = tmp_path / "then.json"
    if text is not None:
        file.write_text(text)
    script = [sys.executable, str(BENCH / "bench.py"), "--load", "none", "--against", str(file)]
    environment = {**os.environ, "FERROLAB_BIN": "none"}
    refused = subprocess.run(script, capture_output=True, encoding="utf-8", env=environment)
    assert refused.returncode == 1
    assert refused.stderr.startswith("bench: ") and said in refused.stderr and "Traceback" not in refused.stderr


def test_two_programs_are_compared_round_by_round():
    of = scenario()
    of.servers = ["native", "theirs"]
    bench.add_servers_before(of)
    assert of.servers == ["native", "native before", "theirs"]
    # A machine that is faster now and slower then.
    now, before = measured(of, "native", 11, 22, 5.5), measured(of, "native before", 10, 20, 5)
    for measurement, cpu in ((now, 0.1), (before, 0.2)):
        measurement.rounds = [{**values, "cpu_us": cpu} for values in measurement.rounds]
    [row] = cells(against.within_run({of: {"native": now, "native before": before}}))
    assert row[:6] == ["calls", "native", "11", "10", "1.100 (1.100 to 1.100)", "better"]
    assert row[6:] == ["2.000 (2.000 to 2.000)", "3"]


def test_every_server_is_first_in_some_round_and_in_front_of_each_other_as_often_as_behind():
    names = ["a", "b", "c"]
    rounds = ["".join(bench.order(names, number)) for number in range(7)]
    assert rounds == ["abc", "cba", "bca", "acb", "cab", "bac", "abc"]


def test_processor_time_is_that_of_the_process():
    before = time.process_time()
    assert processes.cpu_seconds(os.getpid()) >= before > 0


def test_scenarios_have_names_of_their_own_and_are_found_by_them():
    names = [scenario.name for scenario in scenarios.SCENARIOS]
    assert len(set(names)) == len(names)
    assert [found.name for found in bench.selected("oneway")] == ["oneway"]
    with pytest.raises(SystemExit, match="there is no scenario 'twoway'; there are"):
        bench.selected("twoway")
    for found in scenarios.SCENARIOS:
        assert all({goal.server, goal.against or goal.server} <= set(found.servers) for goal in found.goals)


def test_the_list_is_printed():
    script = [sys.executable, str(BENCH / "bench.py"), "--list", "--quick"]
    listed = subprocess.run(script, capture_output=True, encoding="utf-8", check=True).stdout
    titles = dict(line.split(maxsplit=1) for line in listed.splitlines())
    assert titles["idle-500"] == "memory with 500 connections that are idle"
    assert len(titles) == len(scenarios.SCENARIOS)


def test_a_stock_client_counts_its_calls():
    with stock_daemon({"loopback": Service("loopback", "Loopback")}) as server:
        name, _, address = server.uris["loopback"].partition(":")[2].partition("@")
        job = {"address": address, "object": name, "method": "echo", "args": [1.5], "seconds": 0.3}
        script = [sys.executable, str(measuring.CLIENT), json.dumps(job)]
        report = json.loads(subprocess.run(script, capture_output=True, check=True).stdout)
    assert report["calls"] >= 1
    assert report["p50_us"] <= report["p99_us"] <= report["max_us"]


@pytest.mark.skipif("FERROLAB_LOAD" not in os.environ, reason="the load generator is not built")
@pytest.mark.parametrize("name", ["connections-8", "oneway", "connects", "arrays-1m", "client-free", "floats-marshal"])
def test_a_small_scenario_runs(name):
    script = [sys.executable, str(BENCH / "bench.py"), name, "--rounds", "1", "--seconds", "2"]
    script += ["--json", "--load", os.environ["FERROLAB_LOAD"]]
    report = json.loads(subprocess.run(script, capture_output=True, check=True).stdout)
    [(found, results)] = report["scenarios"].items()
    assert found == name
    of = bench.selected(name)[0]
    assert set(results["servers"]) == set(of.servers)
    assert all(figures["median"] > 0 for figures in results["servers"].values())


@pytest.mark.skipif("FERROLAB_LOAD" not in os.environ, reason="the load generator is not built")
@pytest.mark.parametrize("name", ["start", "pinned-serpent", "lookups-memory"])
def test_a_run_with_another_program_and_a_record(tmp_path, name):
    script = [sys.executable, str(BENCH / "bench.py"), name, "--rounds", "2", "--seconds", "0.3"]
    script += ["--json", "--load", os.environ["FERROLAB_LOAD"], "--ferrolab", os.environ["FERROLAB_BIN"]]
    first = subprocess.run(script, capture_output=True, encoding="utf-8", check=True)
    assert "now / before" in first.stderr
    record = tmp_path / "then.json"
    record.write_text(first.stdout)
    second = subprocess.run([*script, "--against", str(record)], capture_output=True, encoding="utf-8", check=True)
    assert "x Pyro5 then" in second.stderr and "Recorded: date" in second.stderr
    servers = json.loads(second.stdout)["scenarios"][name]["servers"]
    ours = [server for server in servers if server in against.OURS]
    assert ours and all(server + against.BEFORE in servers for server in ours)
