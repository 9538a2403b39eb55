"""Connections of one proxy: one for each thread that uses it.

A slow call of one thread delays no other, and each thread has one session at the daemon, with its
instances, streams and locks. The connection of a thread that has ended goes to the next thread that
needs one.
"""

import logging
import os
import threading
import weakref
from threading import get_ident

from .connection import Connection
from .errors import NOT_STARTED, ConnectionClosedError

_log = logging.getLogger("ferrolab")
_pools = weakref.WeakSet()
_local = threading.local()


def this_thread():
    """An object that stands for this thread only: the number of a thread that has ended is given
    to another one, and a lock must not go with it."""
    try:
        return _local.token
    except AttributeError:
        _local.token = object()
        return _local.token


class Pool:
    """Connections to the object that `owner.resolve()` names; `owner.connected` gets each."""

    def __init__(self, owner, settings):
        self.settings = settings
        # Weak, so that a proxy that is dropped closes its connections at once.
        self._owner = weakref.ref(owner)
        self._by_thread = {}
        # The held lock of a thread: its calls go over the lock's connection only.
        self.held = {}
        _pools.add(self)

    def acquire(self, timeout=None):
        """A connection that is this thread's until `release`; `timeout` is for that of a lock."""
        connection = self._by_thread.get(get_ident())
        if connection is not None and connection.busy.acquire(False):
            if not connection.is_stale():
                return connection
            connection.busy.release()
        return self._acquire_other(connection, timeout)

    def release(self, connection):
        """Gives a connection back; None where `acquire` did not return."""
        if connection is None:
            self._free_own()
            return
        connection.busy.release()
        if connection.spare:
            connection.close()

    def _free_own(self):
        """Frees this thread's connection where an interrupt came between taking it and its call:
        it would be busy for ever, and each later call would open a connection."""
        held = self.held.get(this_thread())
        connection = self._by_thread.get(get_ident()) if held is None else held.own_connection()
        if connection is not None and connection.busy.locked() and not connection.in_call:
            connection.busy.release()

    def _acquire_other(self, connection, timeout):
        ident = get_ident()
        held = self.held.get(this_thread())
        if held is not None:
            return held.acquire_connection(timeout)
        if connection is not None:
            if not connection.closed and connection.busy.locked():
                # In use: by a signal handler's or finalizer's victim, or by a stream's reader.
                return self._open(spare=True)
            self._forget(ident, connection)
        taken = self._take_over()
        made = taken if taken is not None else self._open()
        self._by_thread[ident] = made
        return made

    def _forget(self, ident, connection):
        if self._by_thread.get(ident) is connection:
            del self._by_thread[ident]
        connection.close()
        if connection.has_lock:
            # Another connection has no lock: the program must hear of it.
            raise ConnectionClosedError(
                "the connection that had locked {} has ended, and the lock with it".format(
                    connection.uri
                ),
                outcome=NOT_STARTED,
            )

    def _take_over(self):
        """The idle connection of a thread that has ended."""
        if not self._by_thread:
            return None
        living = {thread.ident for thread in threading.enumerate()}
        for ident in [ident for ident in list(self._by_thread) if ident not in living]:
            connection = self._by_thread.get(ident)
            if connection is None or not connection.busy.acquire(False):
                continue
            if self._by_thread.pop(ident, None) is connection and not connection.has_lock:
                if not connection.is_stale():
                    return connection
            connection.busy.release()
            connection.close()
        return None

    def _open(self, spare=False):
        connection = self.open_connection()
        connection.spare = spare
        connection.busy.acquire()
        return connection

    def open_connection(self):
        """A new connection, which belongs to no thread yet."""
        owner = self._owner()
        connection = Connection(owner.resolve(), self.settings)
        _log.debug("connected to %s", connection.uri)
        owner.connected(connection)
        return connection

    def adopt(self, connection):
        """Makes an idle connection this thread's; the one before it is closed."""
        before = self._by_thread.get(get_ident())
        self._by_thread[get_ident()] = connection
        if before is not None and before is not connection and before.busy.acquire(False):
            before.close()

    def lock_of_thread(self):
        """The lock that this thread holds, if any."""
        return self.held.get(this_thread())

    def own(self):
        """This thread's connection, if it has one."""
        return self._by_thread.get(get_ident())

    def disown(self, connection):
        """Takes a connection that is in use out of the pool: it is a lock's now."""
        ident = get_ident()
        if self._by_thread.get(ident) is connection:
            del self._by_thread[ident]

    def close(self):
        """Closes all connections; the next call opens another."""
        connections = list(self._by_thread.values())
        self._by_thread = {}
        for connection in connections:
            connection.close()

    def __del__(self):
        # Possibly in another thread: closing needs none in particular.
        self.close()


def _leave_locks():
    # The locks of the parent are not the child's. `connection` drops the connections.
    for pool in list(_pools):
        pool.held = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_locks)
