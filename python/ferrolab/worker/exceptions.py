"""Drivers' exceptions as class dicts, and their tracebacks.

Owns the form of exceptions and the texts of tracebacks. The attributes of an exception become plain
data by the rules of `convert`.
"""

import importlib
import os
import traceback

from . import convert, pyro, stdio
from .rules import exception_state

# The directory of the worker's files in tracebacks; see boot.py.
OWN_FILES = __file__.rsplit("/", 2)[0] + "/"


def exception(error, serializer, lines=None, hosted=None):
    """The class dict of an exception, with its traceback as `_pyroTraceback`."""
    if lines is None:
        lines = traceback_lines(error)
    try:
        if convert.is_registered(error, serializer):
            error._pyroTraceback = lines
            state = error
        else:
            state = exception_state(error, _pyroTraceback=lines)
        made = convert.plain(state, serializer, hosted)
    except BaseException as problem:  # also one of a converter that calls sys.exit()
        made = exception_state(
            pyro.error_class("PyroError")(
                "Error serializing exception: {}. Original exception: {}: {}".format(
                    text(problem), type(error), text(error)
                )
            ),
            _pyroTraceback=lines,
        )
    cleaned = _clean(made)
    attributes = cleaned.get("attributes") if cleaned != made else None
    if isinstance(attributes, dict) and isinstance(attributes.get("_pyroTraceback"), list):
        attributes["_pyroTraceback"].append(_ESCAPED)
    return cleaned


# The end of a traceback whose exception is not sent letter by letter.
_ESCAPED = "(its text has lone surrogates, which are sent as escapes such as \\udc80)\n"


def _clean(value):
    """Plain data with escapes for lone surrogates (from a file name that is not UTF-8, for
    example): no frame holds them, and an error is worth more than the letter of its text."""
    kind = type(value)
    if kind is str:
        return stdio.clean(value)
    if kind is dict:
        return {_clean(key): _clean(item) for key, item in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind(map(_clean, value))
    return value


def text(error):
    """The text of an exception, whose `__str__` may be broken in any way."""
    try:
        return str(error)
    except BaseException:
        return "<no text>"


def traceback_lines(error):
    """The traceback of an exception as a list of texts, without the worker's own frames."""
    lines = pyro.detailed_traceback(error)
    if lines is None:
        lines = traceback.format_exception(type(error), error, driver_frames(error))
    return [line.encode("utf-8", "backslashreplace").decode("utf-8") for line in lines]


def place(error):
    """The place in the driver's code that raised an exception, as `FILE line N`. Empty where none
    of it is in the traceback, and for a syntax error, whose text names the place."""
    if isinstance(error, SyntaxError):
        return ""
    found, own = "", ""
    frames = error.__traceback__
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if not _is_machinery(file) and not file.startswith("<frozen"):
            found = "{} line {}".format(os.path.normpath(file), frames.tb_lineno)
            if not _is_library(file):
                own = found
        frames = frames.tb_next
    return own or found


def _is_library(file):
    return "site-packages" in file or file.startswith(os.path.dirname(os.__file__) + os.sep)


def driver_frames(error):
    """The traceback object from the first frame on that is the driver's; else the whole."""
    frames = error.__traceback__
    while frames is not None and _is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames or error.__traceback__


def _is_machinery(file):
    return file.startswith((OWN_FILES, "<frozen importlib")) or file == importlib.__file__
