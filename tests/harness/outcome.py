"""Outcomes of calls, in a form that can be compared across two servers."""

import re

import Pyro5.api
import Pyro5.errors
from shape import shape

from .wait import NEVER

# Addresses, ports and random ids differ between two servers that behave alike.
SCRUBBED = [
    (re.compile(r"0x[0-9a-f]+"), "0x…"),
    (re.compile(r"(localhost|127\.0\.0\.1|\[::1\]):\d+"), "HOST:PORT"),
    (re.compile(r"\./u:[^\s,'\"]+"), "./u:SOCKET"),
    (re.compile(r"\('(localhost|127\.0\.0\.1)', \d+\)"), "(HOST, PORT)"),
    (re.compile(r"obj_[0-9a-f]{32}"), "obj_…"),
]


def proxy(uri, serializer=None, timeout=NEVER):
    """A stock Pyro5 proxy that never waits for ever."""
    made = Pyro5.api.Proxy(str(uri))
    made._pyroTimeout = timeout
    if serializer is not None:
        made._pyroSerializer = serializer
    return made


def outcome(function):
    """The shape of what `function()` returns or raises.

    An exception comes with its class, arguments and attributes, and with whether a remote
    traceback is there: everything that client code can depend on.
    """
    try:
        return ("returned", scrub(shape(function())))
    except Exception as exception:
        return raised(exception)


def raised(exception):
    """The shape of an exception that a call has raised."""
    attributes = dict(vars(exception))
    traceback = attributes.pop("_pyroTraceback", None)
    remote = bool(traceback) and all(isinstance(line, str) for line in traceback)
    return (
        "raised",
        f"{type(exception).__module__}.{type(exception).__qualname__}",
        scrub(shape(exception.args)),
        scrub(shape(attributes)),
        "with a remote traceback" if remote else "without a remote traceback",
    )


def class_and_own_words(outcome):
    """A value as it is; of an error its class, and its text where the text is Pyro5's own.

    Texts of Python's built-in errors tell how Python found out, which is nobody's promise. Ours go
    on with the call that they are about, in brackets.
    """
    if outcome[0] == "returned":
        return outcome
    own = outcome[2].partition(" (in the ")[0].replace("\\'", "'").replace('"', "'").rstrip("',)]")
    return (*outcome[:2], own) if outcome[1].startswith("Pyro5.errors.") else outcome[:2]


def scrub(text):
    for pattern, replacement in SCRUBBED:
        text = pattern.sub(replacement, text)
    return text
