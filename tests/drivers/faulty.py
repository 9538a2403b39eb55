"""A driver that fails in every way a driver can, and hides what must stay hidden."""

import sqlite3
import struct

import Pyro5.errors
from Pyro5.api import expose, oneway


class DriverError(Exception):
    """An exception of the driver's own, which no client has a class for."""


class DriverValueError(ValueError):
    """One with a built-in parent."""


class DriverPyroError(Pyro5.errors.PyroError):
    """One with a Pyro parent."""


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no repr")


def with_attributes():
    exception = ValueError("bad", 3)
    exception.code = 5
    exception.details = {"axis": "x", "limits": (1.5, 2.5)}
    return exception


RAISED = {
    "arithmetic": lambda: ZeroDivisionError("division by zero"),
    "assertion": AssertionError,
    "attributes": with_attributes,
    "base class": lambda: Exception("plain"),
    "bytes argument": lambda: ValueError(b"\x00\xff"),
    "connection": lambda: ConnectionRefusedError("the instrument is off"),
    "custom": lambda: DriverError("broken", 7),
    "custom pyro error": lambda: DriverPyroError("broken"),
    "custom value error": lambda: DriverValueError("broken"),
    "exception argument": lambda: RuntimeError(ValueError("inner")),
    "index": lambda: IndexError("list index out of range"),
    "key": lambda: KeyError("missing"),
    "many arguments": lambda: RuntimeError("a", 1, 2.5, None, [1], (2,), {"k": "v"}),
    "naming": lambda: Pyro5.errors.NamingError("unknown name: x"),
    "nested cause": lambda: RuntimeError("outer"),
    "no arguments": ValueError,
    "not implemented": lambda: NotImplementedError("later"),
    "os error": lambda: OSError(2, "No such file or directory"),
    "os error with a file": lambda: FileNotFoundError(2, "No such file or directory", "a.txt"),
    "serialize": lambda: Pyro5.errors.SerializeError("odd"),
    "sqlite": lambda: sqlite3.OperationalError("locked"),
    "struct": lambda: struct.error("too short"),
    "timeout": lambda: TimeoutError("no answer"),
    "type": lambda: TypeError("wrong type"),
    "unicode": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "unicode text": lambda: ValueError("Größe überschritten: 5 µm"),
    "unprintable argument": lambda: ValueError(Unprintable()),
    "unserializable argument": lambda: ValueError(object()),
    "value": lambda: ValueError("bad value"),
}


class Faulty:
    _secret_value = 1
    plain_attribute = 2

    @expose
    def fail(self, name):
        raise RAISED[name]()

    @expose
    def chained(self):
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise RuntimeError("outer") from inner

    @expose
    def two(self, a, b):
        return [a, b]

    @expose
    def defaults(self, a, b=2, *, c=3):
        return [a, b, c]

    @expose
    def fine(self):
        return "fine"

    @expose
    @oneway
    def quietly(self):
        raise RuntimeError("nobody hears this")

    @expose
    def __len__(self):
        return 3

    @property
    @expose
    def fixed(self):
        """A property without a setter."""
        return 5

    @property
    @expose
    def failing(self):
        raise RuntimeError("cannot be read")

    @failing.setter
    @expose
    def failing(self, value):
        raise ValueError("cannot be set", value)

    @property
    def hidden_property(self):
        return "hidden"

    def hidden(self):
        return "hidden"

    def _private(self):
        return "private"

    def __getitem__(self, index):
        return "not exposed"
