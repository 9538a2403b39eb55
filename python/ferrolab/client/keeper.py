"""The threads that look after held locks: one for each daemon, while it has any.

Without them, a program that makes no call for long would not notice that its connection is gone
before the daemon has given the lock to others. A host that does not answer delays the locks of no
other one.
"""

import logging
import os
import threading

_log = logging.getLogger("ferrolab")

# Seconds between two looks at a lock: the daemon keeps a lock for a minute without a connection.
_INTERVAL = 5.0


class _Keeper:
    """Looks after the locks of one daemon."""

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


# By the daemon's location.
_keepers = {}
# A signal handler may take a lock while its thread does.
_keepers_lock = threading.RLock()


def keep(lock):
    """Has a held lock looked after."""
    with _keepers_lock:
        keeper = _keepers.setdefault(lock.location, _Keeper())
        keeper.add(lock)


def let_go(lock):
    """No longer looks after a lock."""
    with _keepers_lock:
        keeper = _keepers.get(lock.location)
        if keeper is not None:
            keeper.remove(lock)
            if not keeper.locks:
                # Its thread ends by itself.
                del _keepers[lock.location]


def _start_anew():
    global _keepers_lock
    _keepers.clear()
    _keepers_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    # The locks of the parent are not the child's.
    os.register_at_fork(after_in_child=_start_anew)
