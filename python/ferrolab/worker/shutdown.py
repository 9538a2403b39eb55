"""The release of what a worker holds, when it ends; and the end of a forked child.

Owns the way through a list of releases, one of which may hang: the others are due all the same.
Knows nothing of what is released.
"""

import collections
import os
import sys
import threading
import time
import traceback

# A release that takes longer than this holds up no other.
_PATIENCE = 0.2


class Releases:
    """Functions that are carried out one after the other, on the main thread while that gets on:
    drivers may share a bus, or have to be closed where they were made."""

    def __init__(self, functions):
        self._waiting = collections.deque(functions)
        self._undone = len(self._waiting)
        self._steps = 0
        self._raised = False
        self._changed = threading.Condition()

    def carry_out(self, submit, until):
        """Returns when all are done, or at `until`; by then, each has begun at least. `submit` has
        a function carried out on the main thread."""
        submit(self._work)
        while self._undone:
            left = until - time.monotonic()
            if left <= 0:
                return
            waiting = len(self._waiting)
            pause = min(_PATIENCE, left / (waiting + 1)) if waiting else left
            if not self._gets_on(pause) and waiting:
                self._stand_in()

    def succeeded(self):
        """Whether all are done, and none has raised."""
        return not (self._undone or self._raised)

    def _gets_on(self, pause):
        with self._changed:
            steps = self._steps
            return self._changed.wait_for(lambda: self._steps != steps or not self._undone, pause)

    def _stand_in(self):
        """Goes on with the rest in place of a thread that hangs."""
        try:
            threading.Thread(target=self._work, name="ferrolab-release", daemon=True).start()
        except RuntimeError:
            self._work()

    def _work(self):
        while True:
            try:
                function = self._waiting.popleft()
            except IndexError:
                return
            self._step(0)
            try:
                function()
            except BaseException:
                self._raised = True
                traceback.print_exc()
            finally:
                self._step(1)

    def _step(self, done):
        with self._changed:
            self._steps += 1
            self._undone -= done
            self._changed.notify_all()


class Once:
    """A function that is carried out by the first thread that calls it."""

    def __init__(self, function, done):
        self._function = function
        self._done = done
        self._first = threading.Lock()

    def __call__(self):
        if self._first.acquire(False):
            try:
                self._function()
            finally:
                self._done.set()


def leave():
    """Ends a forked child."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)
