"""The thread that looks after held locks: one for the whole process, while there are any.

Without it, a program that makes no call for long would not notice that its connection is gone
before the daemon has given the lock to others.
"""

import logging
import os
import threading

_log = logging.getLogger("ferrolab")

# Seconds between two looks at a lock: the daemon keeps a lock for a minute without a connection.
_INTERVAL = 5.0


class _Keeper:
    def __init__(self):
        self.locks = []
        self._thread = None
        self._changed = threading.Condition()

    def add(self, lock):
        with self._changed:
            self.locks.append(lock)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="ferrolab-locks", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    # Python starts no thread at its end, where `atexit` runs a safe state.
                    _log.warning("held locks are not looked after: %s", error)
                else:
                    self._thread = thread
            self._changed.notify()

    def remove(self, lock):
        with self._changed:
            if lock in self.locks:
                self.locks.remove(lock)
            self._changed.notify()

    def _run(self):
        while True:
            with self._changed:
                if not self.locks:
                    self._thread = None
                    return
                shortest = min([lock.ttl for lock in self.locks if lock.ttl] or [4 * _INTERVAL])
                self._changed.wait(min(_INTERVAL, max(shortest / 4, 0.1)))
                locks = list(self.locks)
            for lock in locks:
                lock.look_after()
            del locks


_keeper = _Keeper()


def keep(lock):
    """Has a held lock looked after."""
    _keeper.add(lock)


def let_go(lock):
    """No longer looks after a lock."""
    _keeper.remove(lock)


def _start_anew():
    global _keeper
    _keeper = _Keeper()


if hasattr(os, "register_at_fork"):
    # The locks of the parent are not the child's.
    os.register_at_fork(after_in_child=_start_anew)
