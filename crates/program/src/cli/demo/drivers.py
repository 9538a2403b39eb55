"""A driver that needs only Python's standard library: the demo's logbook."""

import time

from ferrolab import expose


@expose
class Logbook:
    """Notes of an experiment, each with the time since the logbook was opened."""

    def __init__(self):
        self._opened = time.monotonic()
        self._notes = []
        self._experiment = "untitled"

    @property
    def experiment(self):
        """The subject of the notes."""
        return self._experiment

    @experiment.setter
    def experiment(self, title):
        if not isinstance(title, str):
            raise TypeError("an experiment's title is a str, not " + type(title).__name__)
        self._experiment = title

    def write(self, text, *values, unit=""):
        """Adds a note with measured values; returns how many notes there are now."""
        seconds = time.monotonic() - self._opened
        self._notes.append((round(seconds, 3), text, list(values), unit))
        return len(self._notes)

    def read(self, last=10):
        """The last notes, the newest at the end."""
        return self._notes[-last:] if last > 0 else []

    def mean(self):
        """The mean of all the values in the notes."""
        values = [value for _, _, noted, _ in self._notes for value in noted]
        return sum(values) / len(values)
