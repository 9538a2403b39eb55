"""Live values for asyncio: `async for sample in lab.aio.watch("lab.laser", "power"):`."""

import asyncio

from ..uri import URI
from ..watch import ANSWER_TIMEOUT, AWAY, WAIT, WatchBase, feed_of
from .remote import AioRemote


class AioWatch(WatchBase):
    """The same as `Watch`, for `async for`."""

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
                reading.own = URI(found).object
                self._remote = AioRemote(feed_of(found), self._settings, None)
            if reading.epoch is not None:
                asked = ("events", (reading.after, WAIT), WAIT + ANSWER_TIMEOUT)
                items = self._went_on(await self._call(*asked))
                if items is not None:
                    return items
            latest = await self._call("latest", (), ANSWER_TIMEOUT)
        except AWAY as error:
            items, pause = self._failed(error)
            await asyncio.sleep(pause)
            return items
        return self._began(latest)

    async def _call(self, method, args, timeout):
        return await self._remote.call(method, args, None, timeout)

    def _release(self):
        remote, self._remote = self._remote, None
        if remote is not None:
            remote.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()
        # Sockets are closed by the loop's next round.
        await asyncio.sleep(0)
