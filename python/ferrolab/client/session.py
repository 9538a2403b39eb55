"""Sessions: several instruments locked for one block, all of them or none.

Locks are taken in one order over all clients (by the address of the object), so that two sessions
never wait for each other. At the end each instrument is brought to its safe state
(`on_disconnect`), in the order in which the session names them.
"""

import logging
import time

from .errors import LockError, LockLost
from .lock import Lock, user_name
from .proxy import remote_of

_log = logging.getLogger("ferrolab")


class Session:
    """`with lab.session("lab.laser", "lab.stage", wait=600, name="cooldown 7") as s:`

    `s["lab.laser"]` is the proxy, and `s.epochs` has the number of each lock's owner: data that is
    stamped with it can be told from what others measured.
    """

    def __init__(self, proxies, names, wait=None, name=None, user=None, ttl=None):
        if not names:
            raise ValueError("a session has one service at least")
        if len(set(names)) != len(names):
            raise ValueError("a session names each service once")
        self.name = name
        self._wait = wait
        who = user_name() if user is None else user
        label = "{}: {}".format(who, name) if name else who
        self._proxies = dict(zip(names, proxies))
        self._locks = {
            each: Lock(remote_of(proxy), user=label, ttl=ttl)
            for each, proxy in self._proxies.items()
        }
        self._taken = []

    def __enter__(self):
        deadline = None if self._wait is None else time.monotonic() + self._wait
        try:
            for name in self._order():
                left = None if deadline is None else max(deadline - time.monotonic(), 0)
                self._locks[name].take(left)
                self._taken.append(name)
        except BaseException:
            self._roll_back()
            raise
        return self

    def _order(self):
        """The names in the order that all clients have."""
        keys = {}
        for name, proxy in self._proxies.items():
            remote = remote_of(proxy)
            found = remote.found or remote.resolve()
            keys[name] = (found.object, found.location)
        return sorted(keys, key=keys.get)

    def _roll_back(self):
        for name in reversed(self._taken):
            try:
                self._locks[name].end(safe=False)
            except Exception as error:
                _log.warning("the lock of %s: %s", name, error)
        self._taken = []

    def __exit__(self, kind, error, traceback):
        lost = [lock.lost for lock in self._locks.values() if lock.lost is not None]
        failures = []
        for name in self._proxies:
            try:
                self._locks[name].end(safe=True)
            except Exception as failure:
                _log.warning("the end of the session at %s: %s", name, failure)
                failures.append(failure)
        self._taken = []
        if kind is None:
            if lost:
                raise LockLost("; ".join(str(each) for each in lost)) from lost[0]
            if failures:
                raise LockError("; ".join(map(str, failures))) from failures[0]

    @property
    def epochs(self):
        """The epoch of each lock, by the service's name."""
        return {name: lock.epoch for name, lock in self._locks.items()}

    def check(self):
        """Raises `LockLost` if one of the locks is gone."""
        for lock in self._locks.values():
            lock.check()

    def lock(self, name):
        """The lock of one service."""
        return self._locks[name]

    def __getitem__(self, name):
        return self._proxies[name]

    def __iter__(self):
        return iter(self._proxies)

    def __len__(self):
        return len(self._proxies)
