"""Bridge from drivers' `logging` to the daemon's log.

Sends records however a driver configures `logging`: the root logger has no handler of the worker's,
so the driver's `basicConfig` works as in a plain program, and `dictConfig` removes nothing.

A handler that writes to the standard streams is skipped: its output is in the log already.
"""

import logging
import sys
import traceback

from . import stdio

# Where records go; None before the start and in forked children.
_handler = None

_call_handlers = logging.Logger.callHandlers

# The worker's own logger. No other knows it, and none disables it.
log = logging.Logger("ferrolab")


class RecordHandler(logging.Handler):
    """Sends the records of `logging` to the daemon."""

    def __init__(self, writer, level):
        # Below DEBUG the daemon makes no difference.
        super().__init__(level if level > logging.DEBUG else logging.NOTSET)
        self._writer = writer

    def emit(self, record):
        """Sends one record."""
        try:
            message = record.getMessage()
        except Exception as error:
            message = "{!r} % {!r} ({})".format(record.msg, record.args, error)
        text = None
        if record.exc_info and record.exc_info[0]:
            text = "".join(traceback.format_exception(*record.exc_info))
        elif record.stack_info:
            text = record.stack_info
        try:
            # Levels may be enums, and names anything: only plain data goes into a frame.
            level, name = int(record.levelno), stdio.beginning(str(record.name))
            text = text and stdio.end(text)
            self._writer.write(
                ("log", stdio.service(), level, name, stdio.beginning(message), text)
            )
        except Exception:
            self.handleError(record)


def start(writer, level):
    """Sends all records to the daemon from now on."""
    global _handler
    _handler = RecordHandler(writer, level)
    logging.Logger.callHandlers = _call_ours_too
    logging.getLogger().setLevel(level)


def detach():
    """Sends nothing any more: in a forked child the daemon's end is the worker's."""
    global _handler
    _handler = None


def _call_ours_too(logger, record):
    """`Logger.callHandlers` with the daemon as a further handler of the root logger."""
    ours = _handler
    if ours is None:
        return _call_handlers(logger, record)
    is_ours, others = False, []
    current = logger
    while current is not None:
        for handler in current.handlers:
            if record.levelno < handler.level:
                continue
            if _prints(handler):
                is_ours = True
            else:
                others.append(handler)
        if not current.propagate:
            break
        current = current.parent
    if current is None:
        is_ours = True  # it has come up to the root
    elif not is_ours and not logger.hasHandlers():
        # as `logging` has it for what nobody wants, on standard error
        is_ours = record.levelno >= logging.WARNING
    if is_ours and record.levelno >= ours.level:
        ours.handle(record)
    for handler in others:
        handler.handle(record)


def _prints(handler):
    stream = getattr(handler, "stream", None)
    if not isinstance(handler, logging.StreamHandler) or stream is None:
        return False
    return isinstance(stream, stdio.ServiceStream) or stream in (sys.__stdout__, sys.__stderr__)
