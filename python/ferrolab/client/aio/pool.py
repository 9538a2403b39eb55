"""Connections of one object for asyncio: a few, each for one call at a time.

Calls beyond them wait in order, unsent: such a call can be cancelled without a trace.
"""

import asyncio
from collections import deque

from ..errors import NOT_STARTED, TimeoutError
from .connection import open_connection

# Connections of one proxy, unless it is told otherwise.
MAX_CONNECTIONS = 8


class AioPool:
    """Connections to the object that `resolve()` names."""

    def __init__(self, resolve, settings, limit=MAX_CONNECTIONS):
        self.settings = settings
        self.limit = limit
        self.on_open = None
        self._resolve = resolve
        self._idle = []
        self._count = 0
        self._waiting = deque()
        # Rises when the pool is closed: connections of before are closed after their calls.
        self._generation = 0

    async def acquire(self, timeout=None):
        """A connection for one call."""
        generation = self._generation
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
            self._count -= 1
        if self._count >= self.limit:
            connection = await self._wait(timeout)
            if connection is not None:
                return connection
        else:
            self._count += 1
        try:
            connection = await self.open()
        except BaseException:
            self._hand_over(None)
            raise
        connection.generation = generation
        return connection

    async def open(self):
        """A new connection, which is not the pool's."""
        connection = await open_connection(await self._resolve(), self.settings)
        if self.on_open is not None:
            self.on_open(connection)
        return connection

    async def _wait(self, timeout):
        """A connection, or None for the right to open one."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiting.append(waiter)
        timer = None if timeout is None else loop.call_later(timeout, _expire, waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._hand_over(waiter.result())
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def release(self, connection):
        """Gives a connection back."""
        if connection.generation != self._generation:
            connection.close()
        self._hand_over(None if connection.closed else connection)

    def take_out(self):
        """A connection leaves the pool for good: it is a stream's. None: no other call waits."""
        self._hand_over(None)

    async def refused(self, error):
        """Nothing: a refused call is the caller's matter."""

    def _hand_over(self, connection):
        """Gives a connection, or the right to open one, to the first who waits."""
        if self._wake(connection):
            return
        if connection is None:
            self._count -= 1
        else:
            self._idle.append(connection)

    def _wake(self, connection):
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def close(self):
        """Closes the idle connections; those in use are closed after their calls."""
        self._generation += 1
        for connection in self._idle:
            connection.close()
            self._count -= 1
        self._idle.clear()

    def __del__(self):
        # The event loop keeps the sockets that it watches. Possibly in another thread.
        for connection in self._idle:
            connection.close_soon()


def _expire(waiter):
    if not waiter.done():
        text = "all connections were busy for the time of the call's limit; it has not started"
        waiter.set_exception(TimeoutError(text, outcome=NOT_STARTED))
