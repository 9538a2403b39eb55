"""State that stays with the thread of a connection."""

import threading

from Pyro5.api import behavior, expose

local = threading.local()


@expose
@behavior(instance_mode="single")
class Handles:
    def __init__(self):
        self._inside = 0
        self._most = 0
        self._met = threading.Event()
        self._lock = threading.Lock()

    def open(self, name):
        local.name = name

    def name(self):
        return getattr(local, "name", None)

    def same_thread(self):
        before = getattr(local, "ident", None)
        local.ident = threading.get_ident()
        return before is None or before == local.ident

    def meet(self, others):
        """Returns when so many calls are in here at once, or it takes too long."""
        with self._lock:
            self._inside += 1
            self._most = max(self._most, self._inside)
            if self._most >= others:
                self._met.set()
        met = self._met.wait(10)
        with self._lock:
            self._inside -= 1
        return met

    def is_main(self):
        return threading.current_thread() is threading.main_thread()
