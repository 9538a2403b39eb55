"""A driver of arrays: takes them, makes them, returns them."""

import threading

import numpy
from Pyro5.api import callback, current_context, expose, oneway


class Celsius:
    def __init__(self, values):
        self.values = values


@expose
class Matrices:
    def __init__(self):
        self._table = numpy.zeros(3)
        self._noted = None
        self._has_noted = threading.Event()

    def echo(self, *args, **kwargs):
        return [list(args), kwargs]

    def same(self, value):
        return value

    def describe(self, value):
        """How an argument has arrived."""
        if not isinstance(value, numpy.ndarray):
            return type(value).__name__
        writeable = value.flags.writeable and value.flags.aligned
        return [value.dtype.str, list(value.shape), writeable, value.flags.f_contiguous]

    def double(self, value):
        value *= 2
        return value

    def frame(self, rows=1024, columns=1024):
        return numpy.arange(rows * columns, dtype="u2").reshape(rows, columns)

    def mixed(self):
        return {"trace": numpy.arange(4.0), "rows": [(1, numpy.arange(3)), "text"], "empty": numpy.zeros((0, 2))}

    @property
    def table(self):
        return self._table

    @table.setter
    def table(self, value):
        self._table = value

    @oneway
    def note(self, value):
        self._noted = value
        self._has_noted.set()

    def noted(self):
        self._has_noted.wait()
        return self._noted

    def frames(self, count):
        for number in range(count):
            yield numpy.full(4, number)

    def annotated(self):
        current_context.response_annotations = {"XYZZ": b"left"}
        return numpy.arange(5)

    def objects(self):
        return numpy.array([object()])

    def labelled(self):
        return numpy.zeros(1, dtype=[("count", "i4"), ("label", "O")])

    @callback
    def fail(self, value):
        raise ValueError("not like this", value.tolist())
