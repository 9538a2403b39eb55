"""Drivers that tell which of their instances answered."""

import itertools
import threading
import uuid

from kept import kept
from Pyro5.api import behavior, expose
from pyrolab.drivers import Instrument


@expose
class Counter:
    def __init__(self):
        self._identity = uuid.uuid4().hex
        self._count = 0

    def who(self):
        return self._identity

    def bump(self):
        self._count += 1
        return self._count

    count = kept("_count")


@behavior(instance_mode="single")
@expose
class SingleByDecorator(Counter):
    """The configuration says nothing of its mode, and PyroLab's default then wins."""


@expose
class SlowToMake:
    made = itertools.count(1)

    def __init__(self):
        number = next(SlowToMake.made)
        # A real wait: two constructors would overlap here if nothing kept them apart.
        threading.Event().wait(0.3)
        self._number = number

    def number(self):
        return self._number


@expose
class CannotBeMade:
    def __init__(self):
        raise ValueError("no instrument on this port", 7)

    def never(self):
        return None


@expose
class Closing(Instrument):
    """Its instances tell the class when they are closed."""

    closed = []

    def __init__(self):
        super().__init__()
        self._identity = uuid.uuid4().hex

    def who(self):
        return self._identity

    def connect(self, where="nowhere"):
        return "connected to " + where

    def closings(self):
        return list(Closing.closed)

    def close(self):
        Closing.closed.append(self._identity)


@expose
class Threads:
    """Tells how many calls run at the same time."""

    def __init__(self):
        self._changed = threading.Condition()
        self._running = 0
        self._most = 0

    def overlap(self, wanted, seconds):
        """Waits until `wanted` calls are inside at once, and returns how many there were."""
        with self._changed:
            self._running += 1
            self._most = max(self._most, self._running)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._most >= wanted, seconds)
            most = self._most
            self._running -= 1
            if not self._running:
                self._most = 0
            return most
