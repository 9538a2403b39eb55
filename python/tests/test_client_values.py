"""Watches and histories of the client, with answers that no server gave."""

import datetime

import pytest
from ferrolab.client.history import Query, seconds_of
from ferrolab.client.watch import Lost, Reading


def row(seq, value=1.5, member="level", **more):
    return {
        "service": "lab.gauge",
        "member": member,
        "t": 1e9 + seq,
        "seq": seq,
        "value": value,
        "quality": "good",
        "unit": "mm",
        "error": None,
        **more,
    }


def latest(epoch, following, *series):
    return {"epoch": epoch, "next": following, "series": list(series)}


def events(epoch, following, *rows, lost=0):
    found = [dict(each, kind="sample") for each in rows]
    return {"epoch": epoch, "next": following, "lost": lost, "events": found}


def shown(items):
    return [item if isinstance(item, Lost) else (item.member, item.seq, item.value) for item in items]


def test_samples_come_once_and_losses_are_items():
    reading = Reading("lab.gauge", "level")
    others = row(9, member="levels"), row(9, service="lab.other")
    assert shown(reading.begin(latest("a", 8, row(3), *others))) == [("level", 3, 1.5)]
    assert reading.after == 7
    assert shown(reading.events(events("a", 10, row(3), row(4, 2.0), *others))) == [("level", 4, 2.0)]
    assert reading.after == 9
    assert shown(reading.events(events("a", 30, row(9), lost=4))) == [Lost(4), ("level", 9, 1.5)]
    # Another process of the daemon counts anew.
    assert reading.events(events("b", 2)) is None
    assert shown(reading.begin(latest("b", 2, row(1)))) == [Lost(), ("level", 1, 1.5)]


def test_parts_are_of_their_member_and_a_daemon_that_is_away_has_no_data():
    reading = Reading("lab.gauge", "level")
    parts = row(1, member="level.x"), row(1, member="level.y")
    assert [item.member for item in reading.begin(latest("a", 2, *parts))] == ["level.x", "level.y"]
    gone = reading.away(OSError("no answer"))
    assert [(item.member, item.quality, item.value) for item in gone] == [
        ("level.x", "no data", None),
        ("level.y", "no data", None),
    ]
    assert gone[0].error == "no answer" and reading.away(OSError()) == []
    assert Reading("lab.gauge", "nothing").knows_nothing()


@pytest.mark.parametrize("answer", [None, [], {}, {"epoch": "a"}, {"epoch": "a", "events": [1]}])
def test_strange_answers_are_no_samples(answer):
    reading = Reading("lab.gauge", "level")
    assert reading.begin(answer) == []
    reading = Reading("lab.gauge", "level")
    reading.begin(latest("a", 2, row(1)))
    assert not reading.events(answer)


def test_pages_are_one_history():
    query = Query("lab.gauge", "level", 5, 9, None)
    assert query.call() == ("raw", ("lab.gauge", "level", 5.0, 9.0))
    query.take({"unit": "mm", "t": [5.0], "value": [1], "quality": ["good"], "next": 6.0})
    assert query.call() == ("raw", ("lab.gauge", "level", 6.0, 9.0)) and not query.is_done
    query.take({"unit": "mm", "t": [7.0], "value": [None], "quality": ["no data"], "next": None})
    found = query.result()
    assert query.is_done and len(found) == 2 and list(found.t) == [5.0, 7.0]
    assert found.value[0] == 1 and found.value[1] != found.value[1] and found.min is None
    curve = Query("lab.gauge", "state", None, 9, 10)
    assert curve.call() == ("query", ("lab.gauge", "state", None, 9.0, 10))
    curve.take(
        {
            "unit": "", "t": [5.0, 6.0], "mean": [None, None], "last": ["on", None],
            "quality": ["good", "no data"], "min": [None, None], "max": [None, None],
        }
    )  # fmt: skip
    assert list(curve.result().value) == ["on", None]


def test_times_are_what_people_write():
    now = 1e9
    noon = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.timezone.utc)
    for value, seconds in [
        (None, None),
        (5, 5.0),
        ("90s", now - 90),
        ("1.5h", now - 5400),
        (datetime.timedelta(days=1), now - 86400),
        (noon, noon.timestamp()),
        ("2026-05-01T12:00:00Z", noon.timestamp()),
        (datetime.date(2026, 5, 1), datetime.datetime(2026, 5, 1).timestamp()),
    ]:
        assert seconds_of("since", value, now) == seconds, value
    for wrong in ("", "soon", "3w"):
        with pytest.raises(ValueError, match="since is a time"):
            seconds_of("since", wrong, now)
    with pytest.raises(TypeError):
        seconds_of("since", True, now)
