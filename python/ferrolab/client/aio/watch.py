"""Live values for asyncio: `async for sample in lab.aio.watch("lab.laser", "power"):`."""

import asyncio

from ..watch import (
    ANSWER_TIMEOUT,
    AWAY,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    WAIT,
    Reading,
    feed_of,
    no_series,
)
from .remote import AioRemote


class AioWatch:
    """The same as `Watch`, for `async for`."""

    def __init__(self, look_up, settings, service, member):
        self._look_up = look_up
        self._settings = settings
        self._reading = Reading(service, member)
        self._items = []
        self._remote = None
        self._closed = False
        self._pause = FIRST_PAUSE

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._items = await self._read()
        return self._items.pop(0)

    async def _read(self):
        reading = self._reading
        try:
            if self._remote is None:
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(None, self._look_up, reading.service)
                self._remote = AioRemote(feed_of(found), self._settings, None)
            if reading.epoch is not None:
                items = reading.events(
                    await self._call("events", (reading.after, WAIT), WAIT + ANSWER_TIMEOUT)
                )
                if items is not None:
                    self._pause = FIRST_PAUSE
                    return items
            items = reading.begin(await self._call("latest", (), ANSWER_TIMEOUT))
        except AWAY as error:
            if self._closed:
                return []
            if reading.epoch is None:
                self.close()
                raise
            self._release()
            items = reading.away(error)
            if not items:
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)
            return items
        if reading.knows_nothing():
            self.close()
            raise LookupError(no_series(reading))
        return items

    async def _call(self, method, args, timeout):
        return await self._remote.call(method, args, None, timeout)

    def _release(self):
        remote, self._remote = self._remote, None
        if remote is not None:
            remote.close()

    def close(self):
        """Ends the iteration."""
        self._closed = True
        self._release()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()
        # Sockets are closed by the loop's next round.
        await asyncio.sleep(0)
