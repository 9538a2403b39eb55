"""An instrument whose value is the text in a file."""

import os

import Pyro5.api


@Pyro5.api.expose
class Gauge:
    def __init__(self, folder):
        self._file = os.path.join(folder, "value")

    @property
    def value(self):
        """The number in the file; raises where the text is no number."""
        with open(self._file) as file:
            return float(file.read())

    @property
    def both(self):
        """The number, and twice the number."""
        return {"x": self.value, "y": 2 * self.value}
