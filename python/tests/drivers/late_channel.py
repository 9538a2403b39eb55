"""A driver that delays a thread of its worker's."""

import sys
import threading

from ferrolab import behavior, expose


@behavior(instance_mode="single")
@expose
class LateChannel:
    """Holds up the next channel that begins to serve a session."""

    def __init__(self):
        self._waits, self._goes_on = threading.Event(), threading.Event()

    def hold_next(self):
        sessions = sys.modules["_ferrolab_worker.worker.services"].Sessions
        bind, first = sessions.bind, threading.Lock()

        def bind_late(*args):
            if first.acquire(False):
                self._waits.set()
                self._goes_on.wait()
            return bind(*args)

        sessions.bind = bind_late

    def wait_for_it(self):
        self._waits.wait()

    def let_go(self):
        self._goes_on.set()
