"""A logbook that is written oneway, while its writers go on."""

import threading

from Pyro5.api import behavior, expose, oneway


@expose
@behavior(instance_mode="single")
class Logbook:
    def __init__(self):
        self._lines = []
        self._gate = threading.Event()

    @oneway
    def write(self, line):
        if line == "wait":
            self._gate.wait(20)
        self._lines.append(line)
        return "nobody gets this"

    @oneway
    def fail(self):
        self._lines.append("failing")
        raise RuntimeError("nobody gets this either")

    def open_gate(self):
        self._gate.set()

    def count(self):
        return len(self._lines)

    def lines(self):
        return sorted(self._lines)
