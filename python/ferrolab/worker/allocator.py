"""Freed memory of large calls, which goes back to the system a moment after them.

The C library keeps freed blocks for its next callers: without this a worker stays as large as its
largest calls have made it.
"""

import threading

# Seconds after a large call: calls that follow each other are not slowed down.
_DELAY = 1.0

_is_pending = False


def trim_later():
    """Returns freed memory to the system in a moment."""
    global _is_pending
    if _is_pending:
        return
    _is_pending = True
    timer = threading.Timer(_DELAY, _trim)
    timer.name, timer.daemon = "ferrolab-memory", True
    try:
        timer.start()
    except RuntimeError:
        # No further thread: the next large call tries again.
        _is_pending = False


def _trim():
    global _is_pending
    _is_pending = False
    try:
        import ctypes

        trim = ctypes.CDLL(None).malloc_trim
    except (ImportError, OSError, AttributeError):
        # Another C library, which has no such function.
        return
    trim(0)
