"""A stage that moves until it is stopped."""

import os
import threading
import time
from pathlib import Path

from Pyro5.api import expose, oneway


class Mover:
    """It notes what happens to it, each with the time of the system's monotonic clock."""

    def __init__(self, record):
        self._record = Path(record)
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def _note(self, what):
        with self._lock, self._record.open("a") as file:
            file.write("{} {}\n".format(what, time.monotonic()))

    @expose
    def move(self):
        """Moves until it is stopped, and needs a moment to halt."""
        self._stopped.clear()
        self._note("begin")
        self._stopped.wait()
        time.sleep(0.02)
        self._note("end")
        return "stopped"

    @expose
    @oneway
    def drift(self):
        self.move()

    @expose
    def steps(self):
        """A stream of moves."""
        yield "ready"
        yield self.move()

    @expose
    def watch(self):
        """Looks on until the move is stopped."""
        self._note("watch")
        self._stopped.wait()

    @expose
    def ping(self):
        return threading.current_thread() is threading.main_thread()

    # Methods of the safe state need not be exposed.

    def stop(self):
        self._note("stop")
        self._stopped.set()
        time.sleep(0.04)
        self._note("stopped")

    def off(self):
        self._note("off")

    def fail(self):
        self._note("fail")
        raise RuntimeError("the controller does not listen")

    def hang(self):
        """Until there is a file beside the record."""
        self._note("hang")
        while not os.path.exists(str(self._record) + ".gate"):
            time.sleep(0.01)
        self._note("hung")
