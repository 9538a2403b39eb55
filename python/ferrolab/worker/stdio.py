"""Printed output of drivers, on its way to the daemon's log, with its service.

Owns the stream of records. A record says which service it belongs to, where that can be known:
each call runs on one thread, and the thread knows the service of its call.

A driver's C code prints to the file descriptors 1 and 2, which the daemon reads as lines.
Records have a separate socket, so a driver that floods it holds up no other call.
"""

import functools
import io
import sys
import threading

# A line longer than this is cut into several records.
_LONGEST = 8 * 1024
# Of a message or a traceback that is longer than this, a part is sent.
LONGEST_TEXT = 64 * 1024


class _Current(threading.local):
    """Service of a thread's call. `partial`: the thread has printed something without a newline."""

    service = None
    partial = False


current = _Current()
_only_service = None


def service():
    """The service that the current thread works for, or None."""
    return current.service or _only_service or _inherited()


def _inherited():
    """The service of the thread that has started this one."""
    return getattr(threading.current_thread(), "_ferrolab_service", None)


_thread_start = threading.Thread.start


@functools.wraps(_thread_start)
def _start_thread(thread):
    thread._ferrolab_service = service()
    return _thread_start(thread)


def set_only_service(name):
    """Says that whatever is printed belongs to the one service there is; None: to nobody."""
    global _only_service
    _only_service = name


class ServiceStream(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr`, and sends lines with the name of their service."""

    def __init__(self, kind, original, writer):
        super().__init__()
        self._kind = kind
        self.original = original
        self._writer = writer
        self._local = threading.local()

    # what drivers ask of a stream besides writing is the original's
    buffer = property(lambda self: self.original.buffer)
    encoding = property(lambda self: self.original.encoding)
    errors = property(lambda self: self.original.errors)
    name = property(lambda self: self.original.name)
    mode = "w"
    is_detached = False

    def __getattr__(self, name):
        # `reconfigure` and whatever else a text file has beyond its base class
        if name == "original":
            raise AttributeError(name)  # not made yet
        return getattr(self.original, name)

    def fileno(self):
        """The number of the file descriptor."""
        return self.original.fileno()

    def isatty(self):
        """Whether this is a terminal: it is not."""
        return False

    def writable(self):
        """Whether this can be written to."""
        return True

    def write(self, text):
        """Takes text; whole lines are sent."""
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not " + type(text).__name__)
        owner = None if self.is_detached else service()
        if owner is None:
            return self.original.write(text)
        parts = getattr(self._local, "parts", None)
        if parts is None:
            parts = self._local.parts = []
        head, newline, rest = text.rpartition("\n")
        if newline:
            parts.append(head)
            lines = "".join(parts).split("\n")
            parts.clear()
            for line in lines:
                self._send(owner, line)
        if rest:
            parts.append(rest)
            if len(parts) > 1024 or len(rest) > _LONGEST:
                self._send(owner, "".join(parts))
                parts.clear()
            current.partial = True
        return len(text)

    def flush(self):
        """Sends what has no newline yet and is worth it: nothing, for a line stays a line."""
        try:
            self.original.flush()
        except (OSError, ValueError):
            pass  # a driver may have closed the descriptor

    def send_rest(self):
        """Sends what the current thread has printed without a newline."""
        parts = getattr(self._local, "parts", None)
        if parts:
            self._send(service(), "".join(parts))
            parts.clear()

    def _send(self, owner, line):
        if line.endswith("\r"):
            line = line[:-1]
        for start in range(0, len(line) or 1, _LONGEST):
            self._writer.write((self._kind, owner, clean(line[start : start + _LONGEST])))


def beginning(text):
    """The beginning of a text, as much as a record holds."""
    if len(text) <= LONGEST_TEXT:
        return clean(text)
    return "{}... ({} characters)".format(clean(text[:LONGEST_TEXT]), len(text))


def end(text):
    """The end of a text, as much as a record holds: of a traceback it says what happened."""
    if len(text) <= LONGEST_TEXT:
        return clean(text)
    return "({} characters) ...{}".format(len(text), clean(text[-LONGEST_TEXT:]))


def clean(text):
    """`text` with escapes for what has no place in Unicode."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def start(writer):
    """Sends what is printed to the daemon from now on."""
    threading.Thread.start = _start_thread
    for kind, name in (("out", "stdout"), ("err", "stderr")):
        original = getattr(sys, name)
        try:
            original.reconfigure(
                encoding="utf-8", errors="backslashreplace", line_buffering=True
            )
        except (AttributeError, ValueError):
            pass
        setattr(sys, name, ServiceStream(kind, original, writer))


def detach():
    """Gives a forked child its plain streams back: the records are the worker's."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, ServiceStream):
            setattr(sys, name, stream.original)
    # Kept references to the replaced streams write to the original too.
    ServiceStream.is_detached = True


def end_of_call():
    """Sends what a call printed without a newline at its end."""
    current.partial = False
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, ServiceStream):
            stream.send_rest()
