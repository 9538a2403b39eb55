"""Instruments that know who drives them."""

import itertools
import os
import threading
import time
from pathlib import Path

from kept import kept
from Pyro5.api import expose, oneway


@expose
class Axis:
    """A part of a stage."""

    def turn(self):
        return "turned"


@expose
class Stage:
    """A stage with a position, a record of its moves, and an eye for two drivers at once."""

    instances = itertools.count(1)

    def __init__(self, record=None):
        self._record = Path(record) if record else None
        self._number = next(Stage.instances)
        self._inside = None
        self._overlaps = []
        self._moves = []
        self._position = 0
        self._axis = None
        self._lock = threading.Lock()
        self._write("made")

    def _write(self, what):
        if self._record is not None:
            with self._lock, self._record.open("a") as file:
                file.write(what + "\n")

    # Driving

    def move(self, by=1):
        self._position += by
        return self._position

    @oneway
    def kick(self):
        self._position += 1000

    def drive(self, who):
        """Two calls that overlap see each other here."""
        if self._inside is not None:
            self._overlaps.append((self._inside, who))
        self._inside = who
        time.sleep(0)
        self._inside = None
        self._moves.append(who)

    def overlaps(self):
        return self._overlaps

    def moves(self):
        return self._moves

    def axis(self):
        """An object that is registered at run time."""
        if self._axis is None:
            axis = Axis()
            self._pyroDaemon.register(axis)
            self._axis = axis
        return self._axis

    def count(self, last):
        yield from range(last)

    def lines(self, last):
        """A stream of streams: an image, line by line."""
        return map(self.count, range(1, last))

    def sweep(self):
        """Drives as long as it is read, and on its end."""
        try:
            yield from itertools.count()
        finally:
            self._write("sweep ends")

    def wait_for(self, file):
        """A long call: it ends when the file is there."""
        self._write("long call begins")
        while not Path(file).exists():
            time.sleep(0.01)
        self._write("long call ends")
        return "waited"

    @oneway
    def stroll(self, file):
        """The same for a caller who does not wait."""
        self.wait_for(file)

    # Looking

    position = kept("_position")

    def position_now(self):
        return self._position

    def temperature(self):
        return 21.5

    def number(self):
        return self._number

    # Safe states need not be exposed.

    def _nothing(self):
        pass


class Laser(Stage):
    """Beside that, it has safe states."""

    def fail(self):
        self._write("fail")
        raise RuntimeError("shutter is stuck")

    def off(self):
        self._write("off")

    def hang(self):
        self._write("hang")
        time.sleep(3600)

    @expose
    def beam(self):
        self._write("beam")
        return True

    @expose
    def crash(self):
        os._exit(3)
