"""Live values and their history through the web process."""

import contextlib

import pytest
from harness import NEVER, new_lab, wait_for
from harness.processes import kill
from harness.web import Page

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {classname: LockableDaemon}}
services:
  lab.typed:
    module: typed
    classname: Typed
    daemon: bench
    instancemode: single
    members: {reads: {poll: 200ms, unit: "1", keep: 1h}, volts: {poll: 200ms}}
autolaunch: {daemons: [bench]}
history: true
web: {port: 0}
"""


@pytest.fixture(scope="module")
def lab():
    with new_lab() as lab:
        lab.config(CONFIGURATION)
        lab.up()
        yield lab


@pytest.fixture
def page(lab):
    page = Page.of(lab)
    good = lambda: all(value(page, member)["quality"] == "good" for member in ("reads", "volts"))
    wait_for(good, NEVER, "values", (KeyError, AssertionError))
    return page


def value(page, member):
    rows = {row["member"]: row for row in page.get("/api/values")["values"] if row["service"] == "lab.typed"}
    return rows[member]


def samples(stream, member, count, wanted=lambda sample: True):
    """The next samples of a series, at least so many: all of the last event."""
    found = []
    while len(found) < count:
        event = stream.next(lambda event: event.kind == "sample", "a sample")
        of_it = [sample for sample in event.data if (sample["service"], sample["member"]) == ("lab.typed", member)]
        found += filter(wanted, of_it)
    return found


def test_values_have_an_age_a_quality_and_a_unit(page):
    # A busy machine may miss the time of a reading.
    good = lambda: (row := value(page, "reads"))["quality"] == "good" and row
    row = wait_for(good, NEVER, "a value")
    assert (row["quality"], row["unit"], row["poll"], row["error"]) == ("good", "1", 0.2, None)
    assert row["t"] > 0 and isinstance(row["value"], int)
    [service] = page.get("/api/lab")["services"]
    assert {series["member"] for series in service["series"]} == {"reads", "volts"}


def test_a_set_value_comes_as_a_sample(page):
    with page.stream() as stream:
        stream.wait_for_tick()
        assert page.change("PUT", "/api/services/lab.typed/members/volts", {"value": 4.5}).status == 204
        stream.next(lambda e: e.kind == "sample" and any(s["value"] == 4.5 for s in e.data), "the value")


def test_tabs_read_nothing_themselves(lab, page):
    with contextlib.ExitStack() as tabs:
        first = tabs.enter_context(page.stream())
        others = [tabs.enter_context(Page.of(lab).stream()) for _ in range(49)]
        for stream in others:
            stream.wait_for_tick()
        got = samples(first, "reads", 5, lambda sample: sample["quality"] == "good")[:5]
    # Each reading of the driver counts: nobody but the poll has read it.
    counts = [sample["value"] for sample in got]
    assert counts == list(range(counts[0], counts[0] + 5)), got


def test_a_stream_that_comes_back_has_missed_no_sample(page):
    with page.stream() as stream:
        before = samples(stream, "reads", 2)[-1]
        last = stream.seen[-1].id
    with page.stream(**{"Last-Event-ID": last}) as stream:
        after = samples(stream, "reads", 2)[:2]
    assert [sample["seq"] for sample in after] == [before["seq"] + 1, before["seq"] + 2]


def test_the_values_of_a_killed_daemon_are_gone_until_it_is_back(lab, page):
    with page.stream() as stream:
        stream.wait_for_tick()
        kill(lab.entry("daemons", "bench")["pid"])

        def volts(quality):
            return lambda event: event.kind == "sample" and any(
                (sample["member"], sample["quality"]) == ("volts", quality) for sample in event.data
            )

        gone = stream.next(volts("no data"), "the end of the values")
        assert all(sample["value"] is None for sample in gone.data if sample["quality"] == "no data")
        stream.next(volts("good"), "values again")


def test_the_history_of_a_series(page):
    path = "/api/history?service=lab.typed&member=reads"

    def recorded():
        answer = page.request("GET", path)
        return answer.status == 200 and len(answer.json["t"]) > 2 and answer.json

    curve = wait_for(recorded, NEVER, "recorded values")
    assert len({len(curve[key]) for key in ("t", "min", "max", "mean", "quality")}) == 1
    assert curve["t"] == sorted(curve["t"])
    file = page.request("GET", path + "&format=csv")
    assert file.headers["Content-Type"].startswith("text/csv")
    assert file.body.startswith(b"t,min,max,mean,last,quality\r\n")
    names = [(row["service"], row["member"]) for row in page.get("/api/history")["series"]]
    assert ("lab.typed", "reads") in names
    answer = page.request("GET", "/api/history?service=lab.typed&member=nosuch")
    assert (answer.status, answer.json["type"]) == (404, "urn:ferrolab:unknown-series")
