"""Recorded values: `lab.history("lab.laser", "power", since="3h")`."""

import datetime
import math
import re
import time

from .errors import NamingError
from .remote import RemoteObject
from .uri import URI, split_address

# The object of the history process of a host.
HISTORY = "ferrolab.History"
# Seconds for one answer.
ANSWER_TIMEOUT = 60.0
_AGO = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class History:
    """Recorded values of a member, in columns of one length.

    `t` has Unix seconds, `time` the same as datetimes, `value` the values, `quality` words such as
    "good"; with `points`, `min` and `max` have the bounds of each part, and `value` its mean. A
    gap is a row without a value (not a number, or None for texts). The columns are arrays of numpy
    where numpy is installed, lists elsewhere.
    """

    def __init__(self, service, member, unit, columns):
        self.service = service
        self.member = member
        self.unit = unit
        self.t = _array(columns["t"], True)
        self.value = _values(columns["value"])
        self.quality = _array(columns["quality"], False)
        self.min = _array(columns["min"], True) if "min" in columns else None
        self.max = _array(columns["max"], True) if "max" in columns else None

    @property
    def time(self):
        """The times in UTC: an array of `datetime64`, or a list of datetimes."""
        numpy = _numpy()
        if numpy is not None:
            return (numpy.asarray(self.t) * 1e6).round().astype("int64").astype("datetime64[us]")
        return [datetime.datetime.fromtimestamp(t, datetime.timezone.utc) for t in self.t]

    def frame(self):
        """The columns as a pandas DataFrame with the times as its index."""
        import pandas

        columns = {"value": self.value, "quality": self.quality}
        if self.min is not None:
            columns.update(min=self.min, max=self.max)
        index = pandas.DatetimeIndex(self.time, name="time", tz="UTC")
        return pandas.DataFrame(columns, index=index)

    def __len__(self):
        return len(self.t)

    def __repr__(self):
        return "<History of {}.{}: {} rows{}>".format(
            self.service, self.member, len(self), " in " + self.unit if self.unit else ""
        )


class Query:
    """One question, as calls of the history's object. It does no I/O: `aio` shares it."""

    def __init__(self, service, member, since, until, points):
        now = time.time()
        self.service = service
        self.member = member
        self.start = seconds_of("since", since, now)
        # One end for all pages.
        self.end = now if until is None else seconds_of("until", until, now)
        self.points = points
        self._columns = {"t": [], "value": [], "quality": []}
        self._unit = None
        self.is_done = False

    def call(self):
        """Name and arguments of the next call."""
        args = (self.service, self.member, self.start, self.end)
        return ("raw", args) if self.points is None else ("query", (*args, self.points))

    def take(self, answer):
        """Takes the answer of a call."""
        self._unit = answer["unit"]
        if self.points is not None:
            # Texts have no mean.
            values = [
                last if mean is None else mean
                for mean, last in zip(answer["mean"], answer["last"])
            ]
            self._columns = {
                "t": answer["t"], "value": values, "quality": answer["quality"],
                "min": answer["min"], "max": answer["max"],
            }  # fmt: skip
            self.is_done = True
            return
        for name, column in self._columns.items():
            column.extend(answer[name])
        self.start = answer["next"]
        self.is_done = self.start is None

    def result(self):
        """The rows of all answers."""
        return History(self.service, self.member, self._unit, self._columns)


def place(directory, at):
    """The URI of the history that is asked."""
    if at is None:
        return directory.history()
    host, port = split_address(at)
    host = "[{}]".format(host) if ":" in host else host
    return URI("PYRO:{}@{}:{}".format(HISTORY, host, port))


def place_of(labs, service, at):
    """The URI of the history of a service: that of another lab is on its own host."""
    is_elsewhere = labs.is_elsewhere(service)
    if at is None and is_elsewhere:
        raise NamingError(
            "the history of {} is on the host of its lab: say where, at='HOST:PORT', with the port "
            "of `history` in the configuration there".format(service)
        )
    uri = place(labs, at)
    uri.is_elsewhere = is_elsewhere
    return uri


def read(uri, settings, query):
    """The answer to a query, from the history at this URI."""
    remote = RemoteObject(uri, settings)
    try:
        while not query.is_done:
            method, args = query.call()
            query.take(remote.call(method, args, None, 0, settings.timeout or ANSWER_TIMEOUT))
    finally:
        remote.pool.close()
    return query.result()


def seconds_of(what, value, now):
    """A time in Unix seconds: of a number, a datetime, a timedelta or `3h` ago, an ISO text."""
    if value is None:
        return None
    if isinstance(value, bool):
        raise TypeError("{} is a time, not {!r}".format(what, value))
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, datetime.timedelta):
        return now - value.total_seconds()
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day).timestamp()
    if isinstance(value, str):
        ago = _AGO.match(value)
        if ago is not None:
            return now - float(ago.group(1)) * _UNITS[ago.group(2)]
        try:
            return datetime.datetime.fromisoformat(value.strip().replace("Z", "+00:00")).timestamp()
        except ValueError:
            pass
    raise ValueError(
        "{} is a time, not {!r}: a datetime, Unix seconds, a timedelta ago, or a text such as "
        "'3h', '2026-05-01' or '2026-05-01 08:30'".format(what, value)
    )


def _numpy():
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _array(column, has_numbers):
    numpy = _numpy()
    if has_numbers:
        column = [math.nan if number is None else number for number in column]
    return column if numpy is None else numpy.array(column)


def _values(column):
    """Numbers as numbers, with not a number for a gap; anything else as it is."""
    if all(value is None or isinstance(value, (int, float)) for value in column):
        return _array([None if v is None else float(v) for v in column], True)
    numpy = _numpy()
    return column if numpy is None else numpy.array(column, dtype=object)
