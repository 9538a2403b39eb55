"""An instrument that counts its readings, in a folder that says how it is.

Files of the folder: `raise`, `hang` (until it is gone), `slow` (half a second each), `spin` (keeps
the interpreter lock in C for some seconds), `off` (the constructor raises). `readings` has a line
for each reading, `beside` one for each that began while another method ran.
"""

import enum
import os
import re
import threading
import time

try:
    import numpy
except ImportError:
    numpy = None


class Mode(enum.Enum):
    IDLE = "idle"
    RAMP = "ramp"


class Cryostat:
    def __init__(self, folder):
        self._folder = folder
        self._running = 0
        self._guard = threading.Lock()
        self._value = 4.5
        self._note("made")
        if self._has("off"):
            raise ConnectionError("no answer from COM4")

    def _has(self, name):
        return os.path.exists(os.path.join(self._folder, name))

    def _note(self, name, text=""):
        with open(os.path.join(self._folder, name), "a") as file:
            print(text, file=file)

    def _enter(self, what):
        with self._guard:
            if self._running:
                self._note("beside", what)
            self._running += 1

    def _leave(self):
        with self._guard:
            self._running -= 1

    def _read(self, what, value):
        self._enter(what)
        try:
            self._note("readings", what)
            while self._has("hang"):
                time.sleep(0.02)
            if self._has("slow"):
                time.sleep(0.5)
            if self._has("spin"):
                os.remove(os.path.join(self._folder, "spin"))
                # Backtracking in C, which does not give the interpreter lock up.
                re.match(r"(a+)+$", "a" * 27 + "b")
            if self._has("raise"):
                raise OSError("the bridge is open")
            return value
        finally:
            self._leave()

    @property
    def temperature(self):
        return self._read("temperature", self._value)

    @temperature.setter
    def temperature(self, value):
        self._value = value

    def read(self):
        return self._read("read", (1.5, True, "ok", None, float("nan")))

    def axes(self):
        return {"x": 1, "y": 2.5}

    def mode(self):
        return Mode.RAMP

    def scalar(self):
        return self._value if numpy is None else numpy.float32(self._value)

    def array(self):
        return [1.0, 2.0] if numpy is None else numpy.zeros(4)

    def thing(self):
        return self._guard

    def items(self):
        yield 1

    def at(self, place):
        return place

    def move(self):
        """A call that ends when the file `moved` is there."""
        self._enter("move")
        self._note("moves")
        while not self._has("moved"):
            time.sleep(0.02)
        self._leave()

    def close(self):
        self._note("closed")
