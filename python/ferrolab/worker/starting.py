"""Instances that are made when the worker starts: by factories, and where they show what their
services expose.

Owns the order: one after the other, as in the configuration, since drivers share buses and
libraries. A constructor that hangs holds up the others for a while only. Knows nothing of how an
instance is made.
"""

import collections
import functools
import threading

# A constructor that takes longer than this holds up no other, in seconds.
_PATIENCE = 5


class Starter:
    """A thread that takes the steps of starts in turn; another one goes on while one hangs."""

    def __init__(self):
        self._lock = threading.Lock()
        self._waiting = collections.deque()
        # The thread that takes the next step; a thread that hangs is it no longer.
        self._thread = None

    def add(self, step, *args):
        """Calls a function, which must not raise, when those before it have returned."""
        with self._lock:
            self._waiting.append(functools.partial(step, *args))
            if self._thread is None:
                self._go_on()

    def _go_on(self):
        thread = threading.Thread(target=self._work, name="ferrolab-starter", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            self._thread = None  # out of threads: no client could be served either

    def _work(self):
        this = threading.current_thread()
        while True:
            with self._lock:
                if self._thread is not this:
                    return
                if not self._waiting:
                    self._thread = None
                    return
                step = self._waiting.popleft()
            overdue = threading.Timer(_PATIENCE, self._stand_in, (this,))
            overdue.daemon = True
            try:
                overdue.start()
                step()
            finally:
                overdue.cancel()

    def _stand_in(self, hanging):
        """Goes on with the rest in place of a thread that hangs."""
        with self._lock:
            if self._thread is hanging:
                self._go_on()
