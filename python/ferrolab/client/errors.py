"""Exceptions of the client, with the names that Pyro5 has for them.

A script that has imported Pyro5 as well may catch either library's class: see `class_of`.
"""

import builtins
import sys
from time import monotonic

# The outcomes of a call whose answer is missing.
NOT_STARTED = "not started"
RAN = "ran"
UNKNOWN = "unknown"


class PyroError(Exception):
    """Base of all errors that concern the connection or the protocol."""


class CommunicationError(PyroError):
    """The connection failed. `outcome` says what became of the call.

    `not started`: the service has not seen it, and it may be made again. `ran`: it has run, and
    its result is lost. `unknown`: the request was sent, and no answer came.
    """

    outcome = UNKNOWN

    def __init__(self, *args, outcome=None):
        super().__init__(*args)
        if outcome is not None:
            self.outcome = outcome


class ConnectionClosedError(CommunicationError):
    """The connection ended before the answer was complete."""


class TimeoutError(CommunicationError, builtins.TimeoutError):
    """No answer within the call's timeout. Its connection is closed: no later call can get it."""


class ProtocolError(CommunicationError):
    """The server sent something that is no answer to the call."""


class MessageTooLargeError(ProtocolError):
    """A message is larger than `max_message`."""


class NamingError(PyroError):
    """The nameserver does not know the name, or there is no nameserver."""


class DaemonError(PyroError):
    """The daemon refused a request that concerns itself."""


class SecurityError(PyroError):
    """Something that is refused for safety."""


class SerializeError(ProtocolError):
    """A value that cannot be sent, or bytes that are no value."""


class RemoteError(PyroError):
    """An exception of a class that this process does not have; `class_name` is its name there."""

    class_name = ""


class LockError(PyroError):
    """A lock was not granted."""


class LockLost(LockError):
    """The lock of this block is gone: others may have used the instrument since."""


def time_left(deadline):
    """Seconds until a call's deadline; `TimeoutError` where it has passed before the call began."""
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError(
            "the time of the call was over before it could be sent; it has not started",
            outcome=NOT_STARTED,
        )
    return left


_NAMES = {
    cls.__name__: cls
    for cls in (
        PyroError, CommunicationError, ConnectionClosedError, TimeoutError, ProtocolError,
        MessageTooLargeError, NamingError, DaemonError, SecurityError, SerializeError,
    )
}  # fmt: skip
_TWINS = {}


def class_of(name):
    """The class for an error of Pyro5's name, or None.

    Where the program has imported Pyro5 too, the class is a subclass of both libraries', so that
    `except` catches it with the names of either.
    """
    ours = _NAMES.get(name)
    theirs = getattr(sys.modules.get("Pyro5.errors"), name, None)
    if ours is None or not isinstance(theirs, type):
        return ours
    twin = _TWINS.get(ours)
    if twin is None:
        twin = _TWINS[ours] = type(name, (ours, theirs), {"__module__": ours.__module__})
    return twin
