"""Locks for a block: `with ferrolab.locked(laser, wait=60):`.

In the block the calls of its thread go over the lock's connection. Where the daemon is ours, the
lock is kept by a token: when the connection is lost (a laptop sleeps, a network changes), the lock
is resumed on another one, by the next call or by the keeper's thread. A lock that cannot be resumed
is lost, and every further call in the block raises `LockLost`.
"""

import getpass
import json
import logging
import os
import secrets
import time

from .errors import NOT_STARTED, CommunicationError, LockError, LockLost, PyroError, TimeoutError
from .keeper import keep, let_go
from .locked_pool import LockedPool
from .pool import this_thread
from .proxy import made_proxy, offer, remote_of
from .remote import RemoteObject

_log = logging.getLogger("ferrolab")
# Seconds beyond `wait` for the daemon's answer: it waits up to 10 s for running calls.
GRACE = 20.0
# Seconds for the calls that resume and end a lock.
ANSWER_TIMEOUT = 20.0
# Seconds for a sign of life of a connection; calls wait for it meanwhile.
PING_TIMEOUT = 5.0
# Seconds that the safe state may take before a block no longer waits for it.
SAFE_STATE_TIMEOUT = 60.0
# Seconds between two looks whether the lock is free: of daemons without a queue, and at its end.
POLL = 0.1
# Seconds that the daemon keeps a lock without a connection, if nothing else was said.
DEFAULT_TTL = 60.0


def locked(proxy, wait=None, user=None, token=None, ttl=None, safe_on_error=True):
    """The lock of a service, for a `with` block.

    `wait` is how many seconds to wait for it; without it a lock that others hold raises `LockError`
    at once. An exception in the block ends the lock by its safe state (`on_disconnect`), as if the
    program had died there, unless `safe_on_error` is false. For a proxy of asyncio the block is an
    `async with`, and gets a proxy over the lock's connection.
    """
    for kind, make_lock in _KINDS:
        if isinstance(proxy, kind):
            return make_lock(proxy, wait, user, token, ttl, safe_on_error)
    return Lock(remote_of(proxy), wait, user, token, ttl, safe_on_error)


# Proxies of other kinds, and the functions that make their locks.
_KINDS = []


def offer_locks(kind, make_lock):
    """Has `locked` make the locks of these proxies by a function."""
    _KINDS.append((kind, make_lock))


class Lock:
    """A lock of one service; `epoch` numbers its owners, `proxy` is for other threads."""

    def __init__(self, remote, wait=None, user=None, token=None, ttl=None, safe_on_error=True):
        self._remote = remote
        self._wait = wait
        self.user = user_name() if user is None else user
        self._has_own_token = token is not None
        self.token = token or secrets.token_hex(16)
        # Whether `ferrolab lock` or `session run` has the lock, and ends it after this program.
        self.inherited = False
        self.ttl = ttl
        self._safe_on_error = safe_on_error
        self._connection = self._thread = self._process = None
        self._kept = self._ended = False
        self._outer = None
        # Where the lock's daemon is.
        self.location = None
        self.epoch = None
        self.lost = None

    def __enter__(self):
        outer = self._remote.pool.lock_of_thread()
        if outer is not None:
            # A block inside a block has the lock already.
            self._outer = outer
            return outer
        self.take(self._wait)
        return self

    def __exit__(self, kind, error, traceback):
        if self._outer is not None:
            self._outer = None
            return
        if kind is None:
            self.end(safe=False)
            self.check()
        else:
            self.end(safe=self._safe_on_error)

    @property
    def proxy(self):
        """A proxy over the lock's connection, for other threads: they wait for each other."""
        remote = RemoteObject(self._remote.uri, self._remote.settings, self._remote.resolve_name)
        remote.object_id = self._remote.object_id
        remote.pool = LockedPool(self, self._remote.settings)
        remote._members = self._remote.members
        return made_proxy(remote)

    def check(self):
        """Raises `LockLost` if the lock is gone."""
        if self.lost is not None:
            raise LockLost(*self.lost.args) from self.lost

    # Taking

    def take(self, wait):
        """Takes the lock, for this thread."""
        pool = self._remote.pool
        if pool.lock_of_thread() is not None:
            # Its end would end the lock of the outer block too, over the same connection.
            raise LockError("an outer block of this thread has locked {}".format(self._remote.uri))
        connection = None
        try:
            connection = pool.acquire()
            self._kept = "lock_info" in connection.members.methods
            if not self._has_own_token:
                inherited = inherited_token(self._remote.found)
                self.token, self.inherited = inherited or self.token, inherited is not None
            self._request(connection, wait)
            if self._kept:
                self.epoch = self._call(connection, "lock_info").get("epoch")
            self._hold(connection)
        except LockError:
            pool.release(connection)
            raise
        except BaseException as error:
            if connection is None:
                pool.release(None)
                raise
            # It may have been granted in the meantime.
            connection.close()
            self._let_go()
            if connection.busy.locked():
                pool.release(connection)
            if self._kept and not self.inherited and not isinstance(error, CommunicationError):
                self._end_elsewhere()
            raise

    def _hold(self, connection):
        pool = self._remote.pool
        connection.spare = False
        pool.disown(connection)
        connection.user = self._thread = this_thread()
        self._connection, self._process, self._ended = connection, os.getpid(), False
        pool.held[self._thread] = self
        if self._kept:
            self.location = connection.uri.location
            keep(self)
        connection.busy.release()

    def _let_go(self):
        let_go(self)
        pool = self._remote.pool
        if pool.held.get(self._thread) is self:
            del pool.held[self._thread]

    def _request(self, connection, wait):
        if "lock" not in connection.members.methods:
            raise LockError(
                "{} cannot be locked: its daemon needs `classname: LockableDaemon`".format(
                    self._remote.uri
                )
            )
        if not self._kept:
            return self._request_in_turn(connection, wait)
        kwargs = {"token": self.token}
        if wait is not None:
            kwargs["wait"] = wait
        if self.ttl is not None:
            kwargs["ttl"] = self.ttl
        timeout = GRACE + (wait or 0)
        try:
            granted = connection.call(
                self._remote.object_id, "lock", (self.user,), kwargs, 0, timeout
            )
        except ConnectionRefusedError as error:
            raise LockError("{} is not free: {}".format(self._remote.uri.object, error)) from error
        if granted is not True:
            raise LockError(
                "{} was not free within {:g} s".format(self._remote.uri.object, wait or 0)
            )

    def _request_in_turn(self, connection, wait):
        """The lock of PyroLab's daemon, which has no queue: asks until it is free."""
        deadline = time.monotonic() + (wait or 0)
        while True:
            try:
                if self._call(connection, "lock", self.user) is not False:
                    return
                reason = "it is locked"
            except ConnectionRefusedError as error:
                reason = error
            if time.monotonic() >= deadline:
                raise LockError("{} is not free: {}".format(self._remote.uri.object, reason))
            time.sleep(POLL)

    def _call(self, connection, method, *args, **kwargs):
        return connection.call(self._remote.object_id, method, args, kwargs, 0, ANSWER_TIMEOUT)

    # Holding

    def acquire_connection(self, timeout=None):
        """The lock's connection, for one call; resumes the lock where the connection is lost."""
        self.check()
        connection = self._take_turn(timeout=timeout)
        try:
            if self._ended:
                raise LockError("the block of this lock has ended")
            self.check()
            return self._resume(connection) if connection.is_stale() else connection
        except BaseException:
            connection.busy.release()
            raise

    def own_connection(self):
        """The lock's connection where this thread was the last to take it."""
        connection = self._connection
        return connection if connection.user is this_thread() else None

    def _take_turn(self, waits=True, timeout=None):
        """The lock's connection, busy for this thread; None if another has it and `waits` is false.

        Only who has the turn may resume or end the lock: a token that is shown after the lock was
        given back would lock the service anew, for nobody.
        """
        while True:
            connection = self._connection
            if not connection.busy.acquire(False):
                if not waits:
                    return None
                if connection.user is this_thread():
                    raise LockError("a call within a call, on the connection of a lock")
                if not connection.busy.acquire(timeout=-1 if timeout is None else timeout):
                    raise TimeoutError("the lock's connection was busy", outcome=NOT_STARTED)
            # Another thread may have resumed the lock on another one in the meantime.
            if connection is self._connection:
                connection.user = this_thread()
                return connection
            connection.busy.release()

    def _resume(self, old):
        """Shows the token on a new connection, which is busy then; the old one is released."""
        old.close()
        name = self._remote.uri.object
        if not self._kept:
            self._lose("the connection of the lock of {} has ended".format(name))
        made = self._remote.pool.open_connection()
        made.busy.acquire()
        try:
            info = self._call(made, "lock_info", token=self.token)
            asked = time.monotonic()
            if info.get("yours") is not True:
                self._lose("the lock of {} has ended while its connection was lost".format(name))
            left = info.get("expires_in")
            kwargs = {"token": self.token}
            if self.ttl is not None:
                kwargs["ttl"] = self.ttl
            self._call(made, "lock", self.user, **kwargs)
            if isinstance(left, (int, float)) and time.monotonic() - asked >= left:
                self._call(made, "unlock")
                self._lose("the lock of {} has ended while its connection was lost".format(name))
            self.epoch = self._call(made, "lock_info").get("epoch")
        except ConnectionRefusedError as error:
            made.close()
            self._lose("the lock of {} is lost: {}".format(name, error))
        except BaseException:
            made.close()
            raise
        _log.info("resumed the lock of %s on a new connection", name)
        made.user = this_thread()
        self._connection = made
        old.busy.release()
        return made

    def _lose(self, text):
        self.lost = LockLost(text)
        _log.warning("%s", text)
        raise self.lost

    def refused(self, error, connection):
        """A call in the block was refused: by the lock, if that was broken, or by the driver."""
        if self.lost is not None or connection.closed:
            return
        if self._kept:
            gone = self._call(connection, "lock_info", token=self.token).get("yours") is not True
        else:
            gone = str(error).startswith("Pyro object is locked")
        if gone:
            self.lost = LockLost(
                "the lock of {} is lost: {}".format(self._remote.uri.object, error)
            )

    def look_after(self):
        """Looks whether the connection lives, and resumes the lock if not; for the keeper."""
        connection = self._take_turn(waits=False)
        if connection is None:
            return
        try:
            if self._ended or self.lost is not None:
                return
            if not connection.is_stale():
                try:
                    return connection.ping(PING_TIMEOUT)
                except CommunicationError:
                    pass
            connection = self._resume(connection)
        except Exception as error:
            _log.warning("the lock of %s: %s", self._remote.uri.object, error)
        finally:
            connection.busy.release()

    # The end

    def end(self, safe):
        """Gives the lock back; `safe` runs the safe state and waits for it."""
        if self._connection is None or self._process != os.getpid():
            # Never taken; or the block of a forked child, whose lock is the parent's.
            return
        self._let_go()
        pool = self._remote.pool
        try:
            connection = self._take_turn()
        except LockError:
            # An interrupted call of this thread has left it busy: the lock ends by its token.
            connection = self._connection
            connection.close()
        self._ended = True
        try:
            if self.lost is None and self.inherited:
                connection.has_lock = True
                pool.adopt(connection)
                return
            if self.lost is None and not safe and not connection.is_stale():
                self._call(connection, "unlock")
                connection.has_lock = False
                pool.adopt(connection)
                return
        except ConnectionRefusedError as error:
            self.refused(error, connection)
        except CommunicationError as error:
            _log.warning("the lock of %s: %s", self._remote.uri.object, error)
        finally:
            connection.busy.release()
        connection.close()
        if self._kept and self.lost is None:
            self._end_elsewhere()

    def _end_elsewhere(self):
        """Ends the lock with its token, and waits for the safe state."""
        name = self._remote.uri.object
        try:
            connection = self._remote.pool.open_connection()
            try:
                # Twice, where an interrupted request was still on its way.
                for _ in range(2):
                    if self._call(connection, "lock_info", token=self.token).get("yours") is True:
                        self._call(connection, "unlock", token=self.token)
                    self._wait_for_safe_state(connection)
            finally:
                connection.close()
        except (PyroError, OSError) as error:
            _log.warning(
                "the lock of %s could not be given back (%s): it ends after %g s",
                name,
                error,
                self.ttl or DEFAULT_TTL,
            )

    def _wait_for_safe_state(self, connection):
        deadline = time.monotonic() + SAFE_STATE_TIMEOUT
        while self._call(connection, "lock_info").get("state") in ("ending", "resting"):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    "its safe state takes more than {:g} s".format(SAFE_STATE_TIMEOUT)
                )
            time.sleep(POLL)


def inherited_token(uri):
    """The token of this object's lock, where `ferrolab lock` or `session run` has it for us."""
    if os.environ.get("FERROLAB_LOCK_URI") == str(uri):
        return os.environ.get("FERROLAB_LOCK_TOKEN") or None
    try:
        tokens = json.loads(os.environ.get("FERROLAB_SESSION", "{}"))
    except ValueError:
        return None
    token = tokens.get(str(uri)) if isinstance(tokens, dict) else None
    return token if isinstance(token, str) and token else None


def user_name():
    """The name that others see as the owner of a lock."""
    try:
        return getpass.getuser()
    except Exception:
        return ""


offer("locked", locked)
