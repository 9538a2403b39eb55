"""An instrument with item streams that drive it, also at their end."""

import os
import time

from ferrolab import expose


@expose
class Sweeper:
    def __init__(self, record, gate):
        self._record, self._gate = record, gate

    def _note(self, word):
        with open(self._record, "a") as file:
            file.write(word + "\n")

    def sweep(self, hangs=False):
        try:
            for number in range(9):
                self._note("driven")
                yield number
        finally:
            while hangs and not os.path.exists(self._gate):
                time.sleep(0.01)
            self._note("ended")

    def off(self):
        self._note("off")
