"""Locks and sessions for asyncio: `async with lab.aio.locked("lab.laser", wait=60) as laser:`.

The block gets a proxy whose calls go over the lock's own connection, one at a time. The rules are
those of the other client: kept by a token, resumed on a new connection, and `LockLost` where that
fails.
"""

import asyncio
import logging
import secrets

from ..errors import NOT_STARTED, CommunicationError, LockError, LockLost, PyroError, TimeoutError
from ..lock import (
    ANSWER_TIMEOUT,
    DEFAULT_TTL,
    GRACE,
    PING_TIMEOUT,
    POLL,
    SAFE_STATE_TIMEOUT,
    inherited_token,
    offer_locks,
    user_name,
)
from . import abort as abort  # has `ferrolab.abort` take proxies of asyncio
from .remote import AioProxy, AioRemote, shown

_log = logging.getLogger("ferrolab")
# Seconds between two signs of life of a lock's connection.
_INTERVAL = 5.0


class AioLock:
    """A lock of one service. In its block `epoch` numbers the owner."""

    def __init__(self, remote, wait=None, user=None, token=None, ttl=None, safe_on_error=True):
        self._remote = remote
        self._wait = wait
        self.user = user_name() if user is None else user
        self._has_own_token = token is not None
        self.token = token or secrets.token_hex(16)
        # Whether `ferrolab lock` or `session run` has the lock, and ends it after this program.
        self.inherited = False
        self.ttl = ttl
        self.epoch = None
        self.lost = None
        self._safe_on_error = safe_on_error
        self._connection = None
        self._turn = None
        self._kept = False
        self._keeper = None
        self._resuming = None

    async def __aenter__(self):
        if self._remote.fixed_pool is not None:
            # A block inside a block has the lock already.
            return shown(self._remote)
        await self.take(self._wait)
        return self.proxy()

    async def __aexit__(self, kind, error, traceback):
        # Cancelling the task must not leave the instrument as it is.
        await asyncio.shield(self.end(safe=kind is not None and self._safe_on_error))
        if kind is None:
            self.check()

    def check(self):
        """Raises `LockLost` if the lock is gone."""
        if self.lost is not None:
            raise LockLost(*self.lost.args) from self.lost

    def proxy(self):
        """A proxy over the lock's connection."""
        remote = AioRemote(self._remote.uri, self._remote.settings, self._remote.look_up)
        remote.object_id = self._remote.object_id
        remote.members = self._connection.members
        remote.fixed_pool = _LockedPool(self)
        return shown(remote)

    # Taking

    async def take(self, wait):
        """Takes the lock on a separate connection."""
        self._turn = asyncio.Lock()
        connection = await self._remote.pool.open()
        try:
            self._kept = "lock_info" in connection.members.methods
            if not self._has_own_token:
                inherited = inherited_token(connection.uri)
                self.token, self.inherited = inherited or self.token, inherited is not None
            await self._request(connection, wait)
            if self._kept:
                self.epoch = (await self._call(connection, "lock_info")).get("epoch")
        except BaseException as error:
            connection.close()
            if self._kept and isinstance(error, asyncio.CancelledError):
                # It may have been granted in the meantime.
                await asyncio.shield(self._end_elsewhere())
            raise
        self._connection = connection
        if self._kept:
            self._keeper = asyncio.ensure_future(self._keep())

    async def _request(self, connection, wait):
        name = self._remote.uri.object
        if "lock" not in connection.members.methods:
            raise LockError(
                "{} cannot be locked: its daemon needs `classname: LockableDaemon`".format(name)
            )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (wait or 0)
        while True:
            try:
                granted = await self._ask(connection, wait)
                reason = "it was not within {:g} s".format(wait or 0)
            except ConnectionRefusedError as error:
                granted, reason = False, error
            if granted is not False:
                return
            if self._kept or loop.time() >= deadline:
                raise LockError("{} is not free: {}".format(name, reason))
            # PyroLab's daemon has no queue.
            await asyncio.sleep(POLL)

    async def _ask(self, connection, wait):
        kwargs = {}
        if self._kept:
            kwargs["token"] = self.token
            if wait is not None:
                kwargs["wait"] = wait
            if self.ttl is not None:
                kwargs["ttl"] = self.ttl
        timeout = GRACE + (wait or 0)
        return await connection.call(
            self._remote.object_id, "lock", (self.user,), kwargs, 0, timeout
        )

    async def _call(self, connection, method, *args, **kwargs):
        return await connection.call(
            self._remote.object_id, method, args, kwargs, 0, ANSWER_TIMEOUT
        )

    # Holding

    async def acquire_connection(self, timeout=None):
        """The lock's connection, for one call; resumes the lock where the connection is lost."""
        try:
            await asyncio.wait_for(self._turn.acquire(), timeout)
        except asyncio.TimeoutError:
            text = "the lock's connection was busy with other calls"
            raise TimeoutError(text, outcome=NOT_STARTED) from None
        try:
            if self._connection is None:
                raise LockError("the block of this lock has ended")
            self.check()
            if self._connection.closed:
                await self._resume_whole()
            return self._connection
        except BaseException:
            self._turn.release()
            raise

    async def _resume_whole(self):
        """Resumes the lock, to the end where the caller is cancelled: a token that is shown after
        the lock was given back would lock the service anew, for nobody."""
        if self._resuming is None or self._resuming.done():
            self._resuming = asyncio.ensure_future(self._resume())
        await asyncio.shield(self._resuming)

    def release_connection(self):
        """Lets the next call have the connection."""
        self._turn.release()

    async def _resume(self):
        name = self._remote.uri.object
        if not self._kept:
            self._lose("the connection of the lock of {} has ended".format(name))
        connection = await self._remote.pool.open()
        try:
            loop = asyncio.get_running_loop()
            info = await self._call(connection, "lock_info", token=self.token)
            asked, left = loop.time(), info.get("expires_in")
            if info.get("yours") is not True:
                self._lose("the lock of {} has ended while its connection was lost".format(name))
            await self._ask(connection, None)
            if isinstance(left, (int, float)) and loop.time() - asked >= left:
                await self._call(connection, "unlock")
                self._lose("the lock of {} has ended while its connection was lost".format(name))
            self.epoch = (await self._call(connection, "lock_info")).get("epoch")
        except ConnectionRefusedError as error:
            connection.close()
            self._lose("the lock of {} is lost: {}".format(name, error))
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _lose(self, text):
        self.lost = LockLost(text)
        _log.warning("%s", text)
        raise self.lost

    async def refused(self, error):
        """A call was refused: by the lock, if that was broken, or by the driver."""
        if self.lost is None and self._kept and not self._connection.closed:
            info = await self._call(self._connection, "lock_info", token=self.token)
            if info.get("yours") is not True:
                self.lost = LockLost(
                    "the lock of {} is lost: {}".format(self._remote.uri.object, error)
                )
        self.check()

    async def _keep(self):
        """Looks after the connection while no calls are made."""
        pause = min(_INTERVAL, max((self.ttl or DEFAULT_TTL) / 4, 0.1))
        while self.lost is None:
            await asyncio.sleep(pause)
            if self._turn.locked():
                continue
            async with self._turn:
                try:
                    if not self._connection.closed:
                        await self._connection.ping(PING_TIMEOUT)
                except PyroError:
                    pass
                try:
                    if self._connection.closed:
                        await self._resume_whole()
                except (PyroError, OSError) as error:
                    _log.warning("the lock of %s: %s", self._remote.uri.object, error)

    # The end

    async def end(self, safe):
        """Gives the lock back; `safe` runs the safe state and waits for it."""
        if self._turn is None:
            return
        async with self._turn:
            # No resumption is under way now, or it ends first.
            if self._resuming is not None:
                await asyncio.wait([self._resuming])
            if self._keeper is not None:
                self._keeper.cancel()
                self._keeper = None
            connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if self.lost is not None or self.inherited:
                return
            if not safe and not connection.closed:
                await self._call(connection, "unlock")
                return
        except ConnectionRefusedError as error:
            self.lost = LockLost(
                "the lock of {} is lost: {}".format(self._remote.uri.object, error)
            )
            return
        except CommunicationError as error:
            _log.warning("the lock of %s: %s", self._remote.uri.object, error)
        finally:
            connection.close()
        if self._kept:
            await self._end_elsewhere()

    async def _end_elsewhere(self):
        name = self._remote.uri.object
        try:
            connection = await self._remote.pool.open()
            try:
                # Twice, where a cancelled request was still on its way.
                for _ in range(2):
                    if (await self._call(connection, "lock_info", token=self.token)).get(
                        "yours"
                    ) is True:
                        await self._call(connection, "unlock", token=self.token)
                    await self._wait_for_safe_state(connection)
            finally:
                connection.close()
        except (PyroError, OSError) as error:
            _log.warning(
                "the lock of %s could not be given back (%s): it ends after %g s",
                name,
                error,
                self.ttl or DEFAULT_TTL,
            )

    async def _wait_for_safe_state(self, connection):
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SAFE_STATE_TIMEOUT
        while (await self._call(connection, "lock_info")).get("state") in ("ending", "resting"):
            if loop.time() > deadline:
                raise CommunicationError("its safe state takes too long")
            await asyncio.sleep(POLL)


class _LockedPool:
    """The lock's own connection in place of a pool."""

    def __init__(self, lock):
        self._lock = lock

    async def acquire(self, timeout=None):
        return await self._lock.acquire_connection(timeout)

    def release(self, connection):
        self._lock.release_connection()

    def take_out(self):
        """The turn that a stream's items wait for: it shares the connection with other calls."""
        return self._lock._turn

    async def refused(self, error):
        await self._lock.refused(error)

    def close(self):
        """Nothing: the connection is the lock's."""


class AioSession:
    """Several services locked for one block, all of them or none: as `Session`."""

    def __init__(self, remotes, wait=None, name=None, user=None, ttl=None):
        if not remotes:
            raise ValueError("a session has one service at least")
        self.name = name
        self._wait = wait
        who = user_name() if user is None else user
        label = "{}: {}".format(who, name) if name else who
        self._remotes = remotes
        self._locks = {
            each: AioLock(remote, user=label, ttl=ttl) for each, remote in remotes.items()
        }
        self._proxies = {}

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        deadline = None if self._wait is None else loop.time() + self._wait
        taken = []
        try:
            for name in await self._order():
                left = None if deadline is None else max(deadline - loop.time(), 0)
                await self._locks[name].take(left)
                taken.append(name)
                self._proxies[name] = self._locks[name].proxy()
        except BaseException:
            await asyncio.shield(self._end(reversed(taken), safe=False))
            raise
        return self

    async def _order(self):
        keys = {}
        for name, remote in self._remotes.items():
            found = await remote.resolve()
            keys[name] = (found.object, found.location)
        return sorted(keys, key=keys.get)

    async def __aexit__(self, kind, error, traceback):
        lost = [lock.lost for lock in self._locks.values() if lock.lost is not None]
        await asyncio.shield(self._end(self._remotes, safe=True))
        if kind is None and lost:
            raise LockLost("; ".join(map(str, lost))) from lost[0]

    async def _end(self, names, safe):
        for name in names:
            try:
                await self._locks[name].end(safe)
            except Exception as error:
                _log.warning("the end of the session at %s: %s", name, error)

    @property
    def epochs(self):
        """The epoch of each lock, by the service's name."""
        return {name: lock.epoch for name, lock in self._locks.items()}

    def __getitem__(self, name):
        return self._proxies[name]

    def __iter__(self):
        return iter(self._remotes)


def _lock_of(proxy, *settings):
    return AioLock(proxy._remote, *settings)


offer_locks(AioProxy, _lock_of)
