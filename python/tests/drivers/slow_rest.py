"""A driver whose safe state takes its time."""

import time

from ferrolab import expose


@expose
class SlowToRest:
    def __init__(self, record):
        self._record = record

    def use(self):
        return "used"

    def rest(self):
        self._note("begins")
        time.sleep(0.6)
        self._note("ends")

    def _note(self, word):
        with open(self._record, "a") as record:
            record.write(word + "\n")
