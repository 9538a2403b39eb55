"""A lab for asyncio: `lab.aio["lab.laser"]`."""

import asyncio

from .. import history
from ..labs import MARK
from ..proxy import uri_resolver
from ..uri import URI
from .lock import AioLock, AioSession
from .remote import AioRemote, shown
from .watch import AioWatch


class AioLab:
    """Services by name, as proxies whose calls are awaited."""

    def __init__(self, directory, settings):
        self._directory = directory
        self._settings = settings.replaced()
        self._settings.make_proxy = lambda uri, settings: shown(self._remote(uri, settings))
        self._proxies = {}

    def __getitem__(self, name):
        proxy = self._proxies.get(name)
        if proxy is None:
            proxy = self._proxies[name] = shown(self._remote(name, self._settings))
        return proxy

    def _remote(self, name, settings):
        if not str(name).startswith(("PYRO:", "PYRONAME:")):
            return AioRemote(URI("PYRONAME:" + name), settings, self._directory.look_up)
        return AioRemote(URI(name), settings, uri_resolver(URI(name), settings))

    def locked(self, name, wait=None, user=None, token=None, ttl=None, safe_on_error=True):
        """A lock of a service, for `async with`: the block gets a proxy over its connection."""
        return AioLock(self[name]._remote, wait, user, token, ttl, safe_on_error)

    def session(self, *names, wait=None, name=None, user=None, ttl=None):
        """Several services locked for one block: all of them or none."""
        return AioSession({each: self[each]._remote for each in names}, wait, name, user, ttl)

    def watch(self, service, member):
        """Samples of a member's live value, for `async for`."""
        return AioWatch(self._directory.uri_of, self._settings, service, member)

    async def history(self, service, member, since=None, until=None, points=None, at=None):
        """Recorded values of a member, as `Lab.history` returns them."""
        labs = self._directory
        # Texts that are no times are refused before anybody is asked.
        query = history.Query(service, member, since, until, points)

        def read():
            where = history.place_of(labs, service, at)
            query.service = labs.own_name(service)
            return history.read(where, self._settings, query)

        return await asyncio.get_running_loop().run_in_executor(None, read)

    async def services(self, labs=False):
        """URIs by name of what the lab has now; with `labs` also of the other labs that answer."""
        found = await asyncio.get_running_loop().run_in_executor(None, self._directory.names)
        found = dict(sorted(found.items()))
        if labs:
            for lab in (await self.labs()).values():
                found.update((lab.name + MARK + name, uri) for name, uri in lab.services.items())
        return found

    async def labs(self):
        """The other labs by name, as `Lab.labs` returns them."""
        return await asyncio.get_running_loop().run_in_executor(None, self._directory.labs)

    async def close(self):
        """Closes the idle connections of the running event loop."""
        for proxy in self._proxies.values():
            proxy._remote.close()
        # Sockets are closed by the loop's next round.
        await asyncio.sleep(0)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()
