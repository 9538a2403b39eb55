"""An instrument whose value rises by one each time it is read: a lost reading is seen."""

import itertools
import time
from pathlib import Path


class Gauge:
    def __init__(self, folder):
        self.folder = Path(folder)
        self._counts = itertools.count(1)

    @property
    def level(self):
        """Rises by one each time; hangs while a file `hang` exists, raises while `broken` does."""
        while (self.folder / "hang").exists():
            time.sleep(0.01)
        if (self.folder / "broken").exists():
            raise OSError("the gauge is off")
        return next(self._counts)

    @property
    def state(self):
        return "low" if (self.folder / "low").exists() else "high"

    def pair(self):
        return (0.5, True)

    def identify(self):
        return "a gauge"
