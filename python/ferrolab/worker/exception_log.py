"""The log of exceptions that reach a client without their text.

A stock client reads classes of `builtins` and `Pyro5.errors`, and few others. Any other class of a
driver or a library arrives as "unsupported serialized class", so the log is the only place for what
the instrument said.
"""

import traceback

from . import exceptions, pyro
from .complaints import Complaints
from .logging_bridge import log
from .rules import class_name

_READABLE_MODULES = ("builtins", "Pyro5.errors")

unreadable = Complaints("exceptions that clients cannot read")


def _is_readable(error):
    module, _, name = class_name(error).rpartition(".")
    if module in _READABLE_MODULES or (module, name) == ("struct", "error"):
        return True
    if module == "sqlite3" and name.endswith("Error"):
        return True
    # The driver has its own form for the class, which its clients know.
    return isinstance(error, tuple(pyro.class_converters()))


def _shown(address):
    # Of a Unix socket it is a text.
    return "{}:{}".format(*address[:2]) if isinstance(address, (tuple, list)) else address


def log_unreadable(error, member, address):
    """Logs an exception of `member` whose class the client at `address` cannot read."""
    try:
        if _is_readable(error) or not unreadable.one_more():
            return
        log.warning(
            "'%s' raised %s: %s (the client %s cannot read this class, and gets neither text nor "
            "traceback)",
            member,
            class_name(error),
            exceptions.text(error),
            _shown(address),
            exc_info=(type(error), error, exceptions.driver_frames(error)),
        )
    except Exception:
        # An exception whose class or text breaks everything still reaches the client somehow.
        traceback.print_exc()
