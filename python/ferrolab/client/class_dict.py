"""Objects that travel as class dicts: exceptions, URIs, proxies, floats without a literal.

Classes are never imported on a server's word, and no constructor of a program's class runs.
"""

import base64
import binascii
import builtins

from . import errors
from .uri import URI

# Class of exceptions by the name that servers have for it: see `register_exception`.
_registered = {}


def register_exception(cls, name=None):
    """Has remote exceptions called `name` (`module.Class`) raised as `cls`."""
    if not (isinstance(cls, type) and issubclass(cls, Exception)):
        raise TypeError("not a class of exceptions: {!r}".format(cls))
    _registered[name or "{}.{}".format(cls.__module__, cls.__qualname__)] = cls
    return cls


class Failure:
    """An exception that came among results: in a batch, it stands in the place of one."""

    __slots__ = ("exception",)

    def __init__(self, exception):
        self.exception = exception


def revive(value, make_proxy=None):
    """`value` with its class dicts as objects. `make_proxy` gets the URI of a proxy."""
    kind = type(value)
    if kind is dict:
        name = value.get("__class__")
        if type(name) is str:
            return _instance(name, value, make_proxy)
        if len(value) == 2 and value.get("encoding") == "base64" and type(value.get("data")) is str:
            try:
                return base64.b64decode(value["data"], validate=True)
            except (binascii.Error, ValueError):
                return value
        return {k: revive(v, make_proxy) for k, v in value.items()}
    if kind is list or kind is tuple:
        return kind([revive(item, make_proxy) for item in value])
    return value


def _instance(name, value, make_proxy):
    if name == "float":
        return float(value.get("value", "nan"))
    if name == "Pyro5.core._ExceptionWrapper":
        inner = revive(value.get("exception"), make_proxy)
        return Failure(inner if isinstance(inner, BaseException) else errors.PyroError(inner))
    if value.get("__exception__") or name.startswith("Pyro5.errors."):
        return exception(name, value, make_proxy)
    state = value.get("state")
    if name == "Pyro5.core.URI" and type(state) in (list, tuple) and len(state) == 5:
        return _uri(state)
    if name == "Pyro5.client.Proxy" and type(state) in (list, tuple) and state:
        if make_proxy is not None:
            return make_proxy(str(state[0]))
        return URI(str(state[0]))
    return {k: revive(v, make_proxy) for k, v in value.items()}


def _uri(state):
    protocol, name, sockname, host, port = state
    if sockname:
        return URI("{}:{}@./u:{}".format(protocol, name, sockname))
    if not host:
        return URI("{}:{}".format(protocol, name))
    return URI("{}:{}@{}:{}".format(protocol, name, "[%s]" % host if ":" in host else host, port))


def exception(name, value, make_proxy=None):
    """The exception of a class dict, with the remote traceback in its attributes."""
    args = value.get("args")
    args = tuple(revive(args, make_proxy)) if type(args) in (list, tuple) else ()
    attributes = value.get("attributes")
    attributes = revive(attributes, make_proxy) if type(attributes) is dict else {}
    cls = _exception_class(name)
    if cls is None:
        made = errors.RemoteError(*args)
        made.class_name = name
    else:
        try:
            made = cls.__new__(cls, *args)
            made.args = args
            # An OSError has its number and text beside its arguments; its own `__init__` sets them.
            if cls.__module__ == "builtins":
                cls.__init__(made, *args)
        except Exception:
            made = errors.RemoteError(*args)
            made.class_name = name
    for key, attribute in attributes.items():
        if type(key) is str and not key.startswith("__"):
            try:
                setattr(made, key, attribute)
            except (AttributeError, TypeError):
                continue
    if isinstance(made, errors.CommunicationError):
        # The service was the client there: this call has run.
        made.outcome = errors.RAN
    _show_traceback(made)
    return made


def _exception_class(name):
    cls = _registered.get(name)
    if cls is not None:
        return cls
    module, _, short = name.rpartition(".")
    if module in ("builtins", "exceptions"):
        cls = getattr(builtins, short, None)
        # SystemExit and its like would end the client's program.
        if isinstance(cls, type) and issubclass(cls, Exception):
            return cls
        return None
    if module == "Pyro5.errors":
        return errors.class_of(short)
    return None


class _RemoteTraceback(Exception):
    """The remote traceback, shown as the cause of an exception."""

    def __init__(self, lines):
        super().__init__(lines)
        self._lines = lines

    def __str__(self):
        return "\n" + "".join(self._lines).rstrip()


def _show_traceback(made):
    lines = getattr(made, "_pyroTraceback", None)
    if type(lines) in (list, tuple) and lines and all(type(line) is str for line in lines):
        made._pyroTraceback = list(lines)
        made.__cause__ = _RemoteTraceback(list(lines))
