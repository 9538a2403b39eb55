"""Live values: `for sample in lab.watch("lab.laser", "power"):`."""

import time

from .errors import CommunicationError, DaemonError, NamingError
from .remote import RemoteObject
from .uri import URI

# The object of every daemon that tells what happens there.
FEED = "ferrolab.Feed"
# Seconds that one call waits for events, and that its answer may take beyond.
WAIT = 20.0
ANSWER_TIMEOUT = 10.0
# Seconds between attempts to reach a daemon that is away: the first pause, and the longest.
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
# Errors that mean that the daemon is away, or starting again. A daemon that stops removes its names
# first.
AWAY = (CommunicationError, DaemonError, NamingError, ConnectionRefusedError)


class Sample:
    """A value at a time; None where `quality` is not "good" or "stale".

    `t` is in Unix seconds; `seq` rises from sample to sample of a series while its daemon runs.
    """

    __slots__ = ("error", "member", "quality", "seq", "service", "t", "unit", "value")

    def __init__(self, service, member, t, seq, value, quality, unit=None, error=None):
        self.service = service
        self.member = member
        self.t = t
        self.seq = seq
        self.value = value
        self.quality = quality
        self.unit = unit
        self.error = error

    def __repr__(self):
        shown = self.value if self.quality == "good" else self.error or self.quality
        return "<Sample {}.{} at {:.3f}: {}{}>".format(
            self.service, self.member, self.t, shown, " " + self.unit if self.unit else ""
        )


class Lost:
    """Samples that this reader has missed: it was too slow, or the daemon was away.

    Where nobody knows how many, the `count` is `None`.
    """

    __slots__ = ("count",)

    def __init__(self, count=None):
        self.count = count

    def __eq__(self, other):
        return isinstance(other, Lost) and self.count == other.count

    def __hash__(self):
        return hash((Lost, self.count))

    def __repr__(self):
        return "Lost({})".format("" if self.count is None else self.count)


class Reading:
    """State of a reader of one member's series. It does no I/O: `aio.watch` shares it."""

    def __init__(self, service, member):
        self.service = service
        # The name that its daemon has for it, without the name of another lab.
        self.own = service
        self.member = member
        self.epoch = None
        self.after = 0
        self._seqs = {}
        self._units = {}
        self._is_away = False

    def _is_of(self, row):
        """Whether a row is about the member, or about a part of its value."""
        member = row.get("member")
        return row.get("service") == self.own and (
            member == self.member or str(member).startswith(self.member + ".")
        )

    def begin(self, latest):
        """The items after an answer of `latest`: what was missed, and the values as they stand."""
        latest = _dict(latest)
        items = []
        if self.epoch is not None:
            # Another process, or events that the ring of the daemon no longer has.
            items.append(Lost())
        if latest.get("epoch") != self.epoch:
            self._seqs.clear()
        self.epoch = latest.get("epoch")
        self.after = max(0, int(latest.get("next") or 1) - 1)
        self._is_away = False
        for row in _dicts(latest.get("series")):
            if self._is_of(row):
                self._units[row.get("member")] = row.get("unit")
                items.extend(self._sample(row))
        return items

    def knows_nothing(self):
        """Whether the daemon has no such series."""
        return not self._units

    def events(self, answer):
        """The items of an answer of `events`; None where `latest` must be asked for."""
        answer = _dict(answer)
        if answer.get("epoch") != self.epoch:
            return None
        items = []
        if answer.get("lost"):
            items.append(Lost(int(answer["lost"])))
        for event in _dicts(answer.get("events")):
            if event.get("kind") == "sample" and self._is_of(event):
                items.extend(self._sample(event))
        self.after = max(self.after, int(answer.get("next") or 1) - 1)
        self._is_away = False
        return items

    def away(self, error):
        """The items of a daemon that cannot be reached: once that nothing is known."""
        if self._is_away:
            return []
        self._is_away = True
        now = time.time()
        return [
            Sample(
                self.service, member, now, self._seqs.get(member, 0), None, "no data", unit,
                str(error),
            )
            for member, unit in (self._units or {self.member: None}).items()
        ]  # fmt: skip

    def _sample(self, row):
        member, seq = row.get("member"), int(row.get("seq") or 0)
        if seq <= self._seqs.get(member, 0):
            return
        self._seqs[member] = seq
        yield Sample(
            self.service,
            member,
            row.get("t"),
            seq,
            row.get("value"),
            row.get("quality"),
            self._units.get(member),
            row.get("error"),
        )


class WatchBase:
    """State of a `Watch`, and what follows from an answer. `aio.AioWatch` shares it."""

    def __init__(self, look_up, settings, service, member):
        self._look_up = look_up
        self._settings = settings
        self._reading = Reading(service, member)
        self._items = []
        self._remote = None
        self._closed = False
        self._pause = FIRST_PAUSE

    def _began(self, latest):
        """The items after an answer of `latest`."""
        items = self._reading.begin(latest)
        if self._reading.knows_nothing():
            self.close()
            raise LookupError(no_series(self._reading))
        return items

    def _went_on(self, answer):
        """The items after an answer of `events`; None where `latest` must be asked for."""
        items = self._reading.events(answer)
        if items is not None:
            self._pause = FIRST_PAUSE
        return items

    def _failed(self, error):
        """The items after an error, and the seconds to wait before the next attempt."""
        if self._closed:
            return [], 0
        if self._reading.epoch is None:
            self.close()
            raise error
        self._release()
        items = self._reading.away(error)
        if items:
            return items, 0
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        return items, pause

    def close(self):
        """Ends the iteration. Another thread may call it where the client is not asyncio's."""
        self._closed = True
        self._release()


class Watch(WatchBase):
    """Iterator of a member's samples, from its value now on, until it is closed.

    A daemon that is away is waited for; meanwhile the quality is "no data".
    """

    def __iter__(self):
        return self

    def __next__(self):
        while not self._items:
            if self._closed:
                raise StopIteration
            self._items = self._read()
        return self._items.pop(0)

    def _read(self):
        reading = self._reading
        try:
            if self._remote is None:
                found = URI(self._look_up(reading.service))
                reading.own = found.object
                self._remote = RemoteObject(feed_of(found), self._settings)
            if reading.epoch is not None:
                asked = ("events", (reading.after, WAIT), WAIT + ANSWER_TIMEOUT)
                items = self._went_on(self._call(*asked))
                if items is not None:
                    return items
            latest = self._call("latest", (), ANSWER_TIMEOUT)
        except AWAY as error:
            items, pause = self._failed(error)
            time.sleep(pause)
            return items
        return self._began(latest)

    def _call(self, method, args, timeout):
        return self._remote.call(method, args, None, 0, timeout)

    def _release(self):
        remote, self._remote = self._remote, None
        if remote is not None:
            remote.pool.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def feed_of(uri):
    """The URI of the feed of the daemon that serves an object."""
    return URI(uri).beside(FEED)


def no_series(reading):
    """Why there is nothing to watch."""
    return (
        "{0.service} has no live values of {0.member!r}: its configuration needs `members: "
        "{{{0.member}: {{poll: 1s}}}}`; `ferrolab values {0.service}` lists those that there are"
    ).format(reading)


def _dict(value):
    return value if isinstance(value, dict) else {}


def _dicts(value):
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
