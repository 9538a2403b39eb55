"""A remote object: its connections and the rules of its calls, apart from how a proxy shows them.

A call is made again by itself in two cases only: the service cannot have seen it, or its member was
declared safe (`safe=`) and the connection was lost.
"""

from time import monotonic

from . import logins, message
from .answer import StreamId
from .card import Card
from .class_dict import Failure
from .connection import DAEMON
from .errors import NOT_STARTED, CommunicationError, TimeoutError, time_left
from .members import Members
from .plain import SCALARS, plain_args, plain_kwargs
from .pool import Pool
from .streams import Stream
from .uri import URI


class RemoteObject:
    """The object of a URI. Any thread may call it.

    `resolve_name` looks up the name of a `PYRONAME:` URI.
    """

    def __init__(self, uri, settings, resolve_name=None):
        self.uri = URI(uri)
        self.settings = settings
        self.object_id = self.uri.object if self.uri.protocol == "PYRO" else None
        # Where the object was when it was last looked for.
        self.found = self.uri if self.object_id else None
        # Weak reference to the proxy, which keeps the methods that it has shown.
        self.shown_by = None
        self._members = None
        self._card = None
        self._texts = None
        self.resolve_name = resolve_name
        self.pool = Pool(self, settings)

    def resolve(self):
        """The URI to connect to; a name is looked up for each new connection."""
        if self.uri.protocol == "PYRO":
            return self.uri
        self.found = URI(self.resolve_name(self.uri.object))
        self.object_id = self.found.object
        return self.found

    def connected(self, connection):
        """Takes the members from a new connection: they may be others than before."""
        if self._members is not None and connection.members != self._members:
            self._card = self._texts = None
            proxy = self.shown_by and self.shown_by()
            if proxy is not None:
                proxy.__dict__.clear()
        self._members = connection.members

    @property
    def members(self):
        """Names of the service's members; connects where that is still to do."""
        if self._members is None:
            connection = None
            try:
                connection = self.pool.acquire()
            finally:
                self.pool.release(connection)
        return self._members or Members()

    def call(self, method, args, kwargs=None, flags=0, timeout=None, safe=False):
        """The result of a call."""
        for arg in args:
            if type(arg) not in SCALARS:
                args = plain_args(args)
                break
        kwargs = plain_kwargs(kwargs) if kwargs else {}
        again = False
        deadline = None if timeout is None else monotonic() + timeout
        left = timeout
        while True:
            pool = self.pool
            connection = None
            try:
                if again and deadline is not None:
                    left = time_left(deadline)
                connection = pool.acquire(left)
                if deadline is not None:
                    left = time_left(deadline)
                result = connection.call(self.object_id, method, args, kwargs, flags, left)
                if type(result) is StreamId:
                    connection.spare = False
                    return Stream(connection, result, timeout, pool)
                return result
            except CommunicationError as error:
                if connection is None or again or not connection.closed:
                    raise
                if not _may_repeat(error, safe):
                    raise
                again = True
            except ConnectionRefusedError as error:
                held = pool.lock_of_thread()
                if held is None or connection is None:
                    raise
                held.refused(error, connection)
                held.check()
                raise
            finally:
                if connection is None:
                    pool.release(None)
                else:
                    # Not by a function of Python: an interrupt may come as one begins.
                    connection.busy.release()
                    if connection.spare:
                        connection.close()

    def read_attribute(self, name, timeout=None):
        """The value of a property."""
        safe = name in self.settings.safe
        return self.call("__getattr__", (name,), None, 0, timeout or self.settings.timeout, safe)

    def write_attribute(self, name, value, timeout=None):
        """Sets a property."""
        self.call("__setattr__", (name, value), None, 0, timeout or self.settings.timeout)

    def call_batch(self, calls, oneway=False, timeout=None):
        """The results of several calls made at once; a `Failure` ends them."""
        calls = tuple(
            (name, plain_args(args), plain_kwargs(kwargs)) for name, args, kwargs in calls
        )
        flags = message.BATCH | (message.ONEWAY if oneway else 0)
        results = self.call("<batch>", calls, None, flags, timeout or self.settings.timeout)
        return [] if results is None else results

    def call_daemon(self, method, *args):
        """The result of a method of the object's daemon."""
        connection = None
        try:
            connection = self.pool.acquire()
            return connection.call(DAEMON, method, args, {}, 0, self.settings.connect_timeout)
        finally:
            self.pool.release(connection)

    def text_of(self, name):
        """The documentation of a member, as far as the daemon has it."""
        self.describe()
        return self._card.text(name) or self._texts.get(name)

    def signature_of(self, name):
        """The signature of a method; None where the daemon does not say it."""
        self.describe()
        return self._card.signature(name)

    @property
    def card_version(self):
        """A hash of the service's card; None from daemons that have none."""
        self.describe()
        return self._card.version

    def describe(self):
        """Asks the daemon for texts and signatures, where that is still to do."""
        if self._card is None:
            answer = _description(self)
            self._texts = _documentation(answer)
            self._card = Card(answer)


def _may_repeat(error, safe):
    if isinstance(error, TimeoutError):
        return False
    return error.outcome == NOT_STARTED or safe and isinstance(error, CommunicationError)


def _description(remote):
    """The daemon's description of the object; None where it gives none."""
    try:
        return remote.call_daemon("get_metadata", remote.object_id)
    except Exception:
        return None


def _documentation(answer):
    """Texts by member; nothing from daemons that have none."""
    texts = answer.get("docs") if isinstance(answer, dict) else None
    return {k: v for k, v in texts.items() if isinstance(v, str)} if isinstance(texts, dict) else {}


def first_failure(results):
    """The results before the first failure, and its exception or None."""
    values = []
    for result in results:
        if isinstance(result, Failure):
            return values, result.exception
        values.append(result)
    return values, None


def _ask_once(uri, settings, method, argument, timeout):
    remote = RemoteObject(uri, settings)
    try:
        return remote.call(method, (argument,), None, 0, timeout)
    finally:
        remote.pool.close()


# Connections ask for logins, and a login is renewed by a call.
logins.ask_once = _ask_once
