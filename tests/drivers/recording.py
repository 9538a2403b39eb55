"""An instrument that leaves a mark when it is closed."""

from pathlib import Path

from pyrolab.api import expose
from pyrolab.drivers import Instrument


@expose
class Recording(Instrument):
    def connect(self, file=""):
        self._file = Path(file)
        return True

    def close(self):
        if hasattr(self, "_file"):
            self._file.write_text("closed")
