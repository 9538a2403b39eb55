"""Live and recorded values in the Python client: `lab.watch`, `lab.history`, and their twins."""

import asyncio
import datetime

import ferrolab
import numpy
import pytest
from harness import NEVER, wait_for
from harness.lab import new_lab

SETTINGS = {"timeout": NEVER, "connect_timeout": NEVER}
CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers: {local: {host: localhost, ns_port: $port}}
daemons: {bench: {nameservers: [local]}}
services:
  lab.gauge:
    module: counted_gauge
    classname: Gauge
    expose: [level, state, pair, identify]
    arguments: ["$folder"]
    daemon: bench
    instancemode: single
    nameservers: [local]
    members: {level: {poll: 100ms, unit: mm}, state: {poll: 100ms}, pair: {poll: 200ms}}
autolaunch: {nameservers: [local], daemons: [bench]}
history: true
"""


@pytest.fixture
def home(tmp_path):
    with new_lab() as lab:
        lab.port = lab.free_port()
        lab.config(CONFIGURATION, folder=tmp_path, port=lab.port)
        lab.up()
        yield lab


def watched(home):
    """A lab once it has live values, and its watch of the gauge."""
    lab = ferrolab.connect(home.home, **SETTINGS)
    wait_for(lambda: next(lab.watch("lab.gauge", "level")), NEVER, "a live value", LookupError)
    return lab


def good(samples):
    """The next good sample. A reading that comes late on a busy machine is after a gap."""
    return next(sample for sample in samples if sample.quality == "good")


def test_a_watch_begins_with_the_value_now_and_goes_on(home):
    with watched(home) as lab, lab.watch("lab.gauge", "level") as samples:
        first = good(samples)
        assert first.unit == "mm" and first.service == "lab.gauge"
        rest = []
        while sum(sample.quality == "good" for sample in rest) < 6:
            rest.append(next(samples))
        values = [sample.value for sample in rest if sample.quality == "good"]
        assert values == [first.value + n for n in range(1, 7)]
        assert first.seq + 6 <= rest[-1].seq <= first.seq + len(rest)
        process = home.entry("daemons", "bench")["pid"]
        home.restart("daemon", "bench", "--force")
        while next(samples) != ferrolab.Lost():
            pass
        while getattr(next(samples), "quality", None) != "good":
            pass
        assert home.entry("daemons", "bench")["pid"] != process
    with pytest.raises(StopIteration):
        next(samples)


def test_parts_and_texts_are_watched_too(home):
    lab = watched(home)
    pairs = lab.watch("lab.gauge", "pair")
    found = {}
    while not {"pair.0", "pair.1"} <= set(found):
        sample = next(pairs)
        if sample.quality == "good":
            found[sample.member] = sample.value
        else:
            # Before the first reading it is not known to have parts.
            assert sample.value is None
    assert found == {"pair.0": 0.5, "pair.1": True}
    assert good(lab.watch("lab.gauge", "state")).value == "high"
    with pytest.raises(LookupError, match="no live values of 'identify'"):
        next(lab.watch("lab.gauge", "identify"))
    with pytest.raises(ferrolab.NamingError):
        next(lab.watch("lab.nothing", "level"))


def test_the_same_for_asyncio(home):
    lab = watched(home)

    async def read():
        async with lab.aio.watch("lab.gauge", "level") as samples:
            values = []
            async for sample in samples:
                if sample.quality == "good":
                    values.append(sample.value)
                if len(values) == 5:
                    break
        with pytest.raises(LookupError):
            await lab.aio.watch("lab.gauge", "identify").__anext__()
        recorded = lambda: set(values[:3]) <= set(lab.history("lab.gauge", "level", since="1h").value)
        await asyncio.to_thread(wait_for, recorded, NEVER, "they are recorded", LookupError)
        return values, await lab.aio.history("lab.gauge", "level", since="1h")

    values, recorded = asyncio.run(read())
    assert values == list(range(values[0], values[0] + 5))
    assert set(values[:3]) <= set(recorded.value)


def test_a_history_is_columns(home):
    lab = watched(home)

    def recorded():
        history = lab.history("lab.gauge", "level", since=datetime.timedelta(hours=1))
        return history if len(history) >= 10 else None

    history = wait_for(recorded, NEVER, "ten samples", LookupError)
    assert history.unit == "mm" and history.min is None
    assert isinstance(history.value, numpy.ndarray) and history.value.dtype == float
    # A reading that comes late on a busy machine is after a gap.
    read = history.quality == "good"
    assert list(numpy.diff(history.value[read])) == [1] * (read.sum() - 1)
    assert set(history.quality) <= {"good", "no data"} and numpy.isnan(history.value[~read]).all()
    assert history.time.dtype == "datetime64[us]" and (numpy.diff(history.t) > 0).all()
    middle = float(history.t[5])
    later = lab.history("lab.gauge", "level", since=middle, until=history.time[8].item().replace(tzinfo=datetime.timezone.utc))
    assert numpy.array_equal(later.value, history.value[5:8], equal_nan=True)
    parts = lab.history("lab.gauge", "level", since="1h", points=2)
    least, mean, most = (column[~numpy.isnan(parts.value)] for column in (parts.min, parts.value, parts.max))
    assert 1 <= len(mean) <= len(parts) <= 3 and (least <= mean).all() and (mean <= most).all()

    def texts():
        history = lab.history("lab.gauge", "state")
        return set(history.value[history.quality == "good"])

    assert wait_for(texts, NEVER, "a text", LookupError) == {"high"}
    for wrong in ("yesterday", True, "3 fortnights"):
        with pytest.raises((ValueError, TypeError), match="since is a time"):
            lab.history("lab.gauge", "level", since=wrong)
    with pytest.raises(LookupError, match="level"):
        lab.history("lab.gauge", "nothing")
