"""The Python twin of `simulated.loopback`: served by Pyro5's daemon and by a worker of ours."""

import threading
import time

import Pyro5.api

_lock = threading.Lock()
_GOLDEN = 0.6180339887498949


@Pyro5.api.expose
class Loopback:
    """Gives back what it is given."""

    _ticks = 0

    def echo(self, value):
        return value

    def nothing(self):
        pass

    def floats(self, count):
        return list(_floats(count))

    def array(self, count):
        return _array(count)

    def frame(self, rows, columns):
        return _frame(rows, columns)

    def rows(self, rows, columns):
        """The frame as a list of lists."""
        return _rows(rows, columns)

    def mean(self, values):
        return sum(values) / len(values)

    def block(self, size):
        return _block(size)

    def wait(self, seconds):
        time.sleep(seconds)

    @Pyro5.api.oneway
    def tick(self):
        with _lock:
            Loopback._ticks += 1

    def ticks(self):
        return Loopback._ticks


# Benchmarks measure the way of the data, not its making: it is made once.
_kept = {}


def _floats(count):
    if count not in _kept:
        _kept[count] = [i * _GOLDEN % 1.0 for i in range(count)]
    return _kept[count]


def _array(count):
    import numpy

    key = "array", count
    if key not in _kept:
        _kept[key] = numpy.array(_floats(count))
    return _kept[key]


def _frame(rows, columns):
    import numpy

    key = "frame", rows, columns
    if key not in _kept:
        _kept[key] = numpy.arange(rows * columns, dtype="u2").reshape(rows, columns)
    return _kept[key]


def _rows(rows, columns):
    key = "rows", rows, columns
    if key not in _kept:
        _kept[key] = _frame(rows, columns).tolist()
    return _kept[key]


def _block(size):
    key = "block", size
    if key not in _kept:
        _kept[key] = b"Z" * size
    return _kept[key]
