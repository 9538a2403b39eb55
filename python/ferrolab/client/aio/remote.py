"""Remote objects for asyncio, and their proxies.

`await laser.measure(3)` calls a method, `await laser.power` reads a property, and
`await laser.power.set(5)` sets it. As in the other client, no public name of a proxy is ours.
"""

import asyncio
import weakref
from time import monotonic

from .. import message
from ..answer import StreamId
from ..class_dict import Failure
from ..connection import DAEMON
from ..errors import (
    NOT_STARTED,
    CommunicationError,
    ConnectionClosedError,
    TimeoutError,
    time_left,
)
from ..plain import plain_args, plain_kwargs
from ..proxy import uri_resolver
from ..remote import RemoteObject
from ..settings import Settings, check_seconds
from ..uri import URI
from .pool import AioPool

_set = object.__setattr__


class AioRemote:
    """The object of a URI, for the event loop that runs."""

    def __init__(self, uri, settings, look_up):
        self.uri = URI(uri)
        self.settings = settings
        self.object_id = self.uri.object if self.uri.protocol == "PYRO" else None
        self.members = None
        self.look_up = look_up
        # Connections belong to the event loop in which they were opened.
        self._pools = weakref.WeakKeyDictionary()
        self.fixed_pool = None
        self._description = None

    @property
    def pool(self):
        """The connections of the running event loop."""
        if self.fixed_pool is not None:
            return self.fixed_pool
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = self._pools[loop] = AioPool(self.resolve, self.settings)
            pool.on_open = self._connected
        return pool

    def _connected(self, connection):
        if self.members is not None and connection.members != self.members:
            self._description = None
        self.members = connection.members

    def describe(self):
        """The object with its texts and signatures, as the other client has them.

        It is asked for once, and waited for: `help` and completion cannot be awaited.
        """
        if self._description is None:
            remote = RemoteObject(self.uri, self.settings, self.look_up)
            try:
                # Connects: the object's id comes with its address.
                self.members = remote.members
                remote.describe()
            finally:
                remote.pool.close()
            self._description = remote
        return self._description

    async def resolve(self):
        """The URI to connect to; names are looked up in a thread."""
        if self.uri.protocol == "PYRO":
            return self.uri
        loop = asyncio.get_running_loop()
        found = URI(await loop.run_in_executor(None, self.look_up, self.uri.object))
        self.object_id = found.object
        return found

    async def call(self, method, args, kwargs, timeout=None):
        """The result of a call."""
        args, kwargs = plain_args(args), plain_kwargs(kwargs) if kwargs else {}
        timeout = timeout or self.settings.timeout
        again = False
        deadline = None if timeout is None else monotonic() + timeout
        left = timeout
        while True:
            pool = self.pool
            if again and deadline is not None:
                left = time_left(deadline)
            connection = await pool.acquire(left)
            taken = False
            try:
                if deadline is not None:
                    left = time_left(deadline)
                flags = message.ONEWAY if method in connection.members.oneway else 0
                result = await connection.call(self.object_id, method, args, kwargs, flags, left)
                if type(result) is StreamId:
                    turn = pool.take_out()
                    taken = turn is None
                    return AioStream(connection, result, timeout, turn)
                return result
            except CommunicationError as error:
                safe = method in self.settings.safe
                if again or not connection.closed or not _may_repeat(error, safe):
                    raise
                again = True
            except ConnectionRefusedError as error:
                await pool.refused(error)
                raise
            finally:
                if not taken:
                    pool.release(connection)

    async def call_batch(self, calls, timeout=None):
        """The results of several calls made at once."""
        calls = tuple(
            (name, plain_args(args), plain_kwargs(kwargs)) for name, args, kwargs in calls
        )
        connection = await self.pool.acquire(timeout)
        try:
            results = await connection.call(
                self.object_id, "<batch>", calls, {}, message.BATCH, timeout
            )
        finally:
            self.pool.release(connection)
        for result in results:
            if isinstance(result, Failure):
                raise result.exception
        return results

    def close(self):
        """Closes the idle connections of the running event loop."""
        self.pool.close()


def _may_repeat(error, safe):
    if isinstance(error, TimeoutError):
        return False
    return error.outcome == NOT_STARTED or safe


class AioMember:
    """A member of a service: called as a method, awaited as a property."""

    __slots__ = ("_name", "_remote", "_timeout")

    def __init__(self, remote, name, timeout):
        self._remote = remote
        self._name = name
        self._timeout = timeout

    def __call__(self, *args, **kwargs):
        return self._remote.call(self._name, args, kwargs, self._timeout)

    def __await__(self):
        call = self._remote.call("__getattr__", (self._name,), None, self._timeout)
        return call.__await__()

    def set(self, value):
        """Sets the property: to be awaited."""
        return self._remote.call("__setattr__", (self._name, value), None, self._timeout)

    def with_timeout(self, seconds):
        """The same member; a call raises `TimeoutError` after this many seconds."""
        return AioMember(self._remote, self._name, check_seconds("timeout", seconds))

    @property
    def __name__(self):
        return self._name

    @property
    def __doc__(self):
        return self._remote.describe().text_of(self._name)

    @property
    def __signature__(self):
        signature = self._remote.describe().signature_of(self._name)
        if signature is None:
            raise AttributeError("__signature__")  # any arguments, as __call__ has them
        return signature

    def __repr__(self):
        return "<remote member {} of {}>".format(self._name, self._remote.uri)


class AioProxy:
    """A remote object. Any number of tasks may call it. Its settings are those of `Proxy`."""

    __slots__ = ("__dict__", "__weakref__", "_remote")

    def __init__(self, uri, **settings):
        uri, settings = URI(uri), Settings(**settings)
        settings.make_proxy = lambda uri, settings: shown(
            AioRemote(uri, settings, uri_resolver(uri, settings))
        )
        _set(self, "_remote", AioRemote(uri, settings, uri_resolver(uri, settings)))

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        member = self.__dict__[name] = AioMember(self._remote, name, None)
        return member

    def __setattr__(self, name, value):
        raise AttributeError("set a property with `await proxy.{}.set(value)`".format(name))

    def __dir__(self):
        members = self._remote.members or self._remote.describe().members
        return sorted(set(object.__dir__(self)) | set(members.names()))

    def __repr__(self):
        return "<ferrolab.aio proxy of {}>".format(self._remote.uri)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self._remote.close()


def shown(remote):
    """The proxy of a remote object."""
    proxy = AioProxy.__new__(AioProxy)
    _set(proxy, "_remote", remote)
    return proxy


class AioStream:
    """Asynchronous iterator of a remote generator's items.

    It has a connection to itself, or takes `turn` for each item where it shares one with a lock.
    """

    def __init__(self, connection, stream_id, timeout, turn, lease=None):
        self._connection = connection
        self._turn = turn
        self._lease = lease or _Lease(connection, turn)
        self._lease.streams += 1
        self._id = str(stream_id)
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()

    def __aiter__(self):
        return self

    async def __anext__(self):
        connection = self._connection
        if connection is None:
            raise StopAsyncIteration
        if connection.closed:
            raise ConnectionClosedError(
                "the connection of the stream has ended", outcome=NOT_STARTED
            )
        try:
            item = await self._call(connection, "get_next_stream_item")
        except BaseException:
            self._drop()
            raise
        if type(item) is StreamId:
            # An iterator among the items is a stream as well, over the same connection.
            return AioStream(connection, item, self._timeout, self._turn, self._lease)
        return item

    async def aclose(self):
        """Ends the generator at the daemon."""
        connection = self._connection
        if connection is not None and not connection.closed:
            try:
                await self._call(connection, "close_stream")
            finally:
                self._drop()

    async def _call(self, connection, method):
        if self._turn is None:
            return await connection.call(DAEMON, method, (self._id,), {}, 0, self._timeout)
        async with self._turn:
            return await connection.call(DAEMON, method, (self._id,), {}, 0, self._timeout)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.aclose()

    def _drop(self):
        connection, self._connection = self._connection, None
        if connection is not None:
            self._lease.release()

    def __del__(self):
        if getattr(self, "_connection", None) is not None and not self._loop.is_closed():
            # Possibly in another thread; the daemon closes the streams of a connection that ends.
            self._loop.call_soon_threadsafe(self._lease.release)


class _Lease:
    """A stream's connection, which its items may read too; it is closed after the last of them."""

    def __init__(self, connection, turn):
        self._connection = connection
        self._is_own = turn is None
        self.streams = 0

    def release(self):
        """One of the streams has ended."""
        self.streams -= 1
        if not self.streams and self._is_own:
            self._connection.close()
