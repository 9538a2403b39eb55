"""Instrument of the soak: it writes down each call that it carries out, with one write each."""

import functools
import os
import threading

from Pyro5.api import expose, oneway


@functools.cache
def _opened(record):
    """One descriptor for all instances of a process."""
    return os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


@expose
class Instrument:
    """Its record is read by `soak.checks`."""

    def __init__(self, record):
        self._file = _opened(record)
        self._inside = 0
        self._lock = threading.Lock()
        self._level = 0
        self._write("made")

    def _write(self, *words):
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())

    def count(self, key):
        self._write("ran", key)
        return key

    def drive(self, who, epoch, key):
        """A call under a lock: another one beside it is a fault."""
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                self._write("overlap", key)
        self._write("drove", epoch, who, key)
        self._write("ran", key)
        with self._lock:
            self._inside -= 1
        return key

    @oneway
    def send(self, key):
        self._write("ran", key)

    def numbers(self, key, last):
        self._write("ran", key)
        yield from range(last)

    def pid(self):
        return os.getpid()

    @property
    def level(self):
        return self._level

    @level.setter
    def level(self, level):
        self._level = level

    def off(self):
        self._write("off")
