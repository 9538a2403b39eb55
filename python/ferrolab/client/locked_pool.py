"""The connection of a held lock in place of a pool, for the proxy that other threads use."""


class LockedPool:
    """Connections of a proxy for other threads: the lock's own, for one of them at a time."""

    def __init__(self, lock, settings):
        self.held = {}
        self.settings = settings
        self._lock = lock

    def acquire(self, timeout=None):
        return self._lock.acquire_connection(timeout)

    def release(self, connection):
        if connection is None:
            connection = self._lock.own_connection()
            if connection is None or connection.in_call or not connection.busy.locked():
                return
        connection.busy.release()

    def own(self):
        """Nothing: the connection is the lock's, whatever `lock` and `unlock` answer."""

    def lock_of_thread(self):
        return self._lock

    def close(self):
        """Nothing: the connection is the lock's."""
