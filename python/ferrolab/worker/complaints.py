"""Limits of log lines that clients can cause as fast as they can send."""

import threading
import time

from .logging_bridge import log


class Complaints:
    """How much is told in full, so that no client washes everything else out of the log."""

    IN_FULL, SECONDS = 20, 10

    def __init__(self, what):
        self._what = what
        self._lock = threading.Lock()
        self._since, self._count = 0.0, 0

    def one_more(self):
        """Whether one more is to be told."""
        with self._lock:
            now = time.monotonic()
            kept_back = 0
            if now - self._since >= self.SECONDS:
                kept_back = self._count - self.IN_FULL
                self._since, self._count = now, 0
            self._count += 1
            count = self._count
        if kept_back > 0:
            log.warning("%d more %s were not told", kept_back, self._what)
        if count == self.IN_FULL + 1:
            log.warning("more %s: counted for %d s, and not told", self._what, self.SECONDS)
        return count <= self.IN_FULL

    def is_told(self):
        """Whether the last one was told."""
        return self._count <= self.IN_FULL
