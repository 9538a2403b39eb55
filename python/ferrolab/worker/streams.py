"""Item streams: the iterators whose items clients fetch one by one.

Each item drives the instrument as a call does, and so does what a generator has to do at its end.
"""

import collections
import itertools
import threading
from collections.abc import Iterator

from . import convert, exceptions, pyro, stdio
from .exception_log import log_unreadable
from .frame_kinds import (
    END,
    FLAG_ARRAYS,
    FLAG_SERPENT_RULES,
    MARSHAL,
    RAISED,
    REFUSED,
    SERPENT,
    STREAM,
    VALUE,
)
from .logging_bridge import log


class _Stream:
    """An iterator, and what it drives."""

    __slots__ = ("service", "instance", "member", "iterator")

    def __init__(self, service, instance, member, iterator):
        self.service, self.instance = service, instance
        self.member, self.iterator = member, iterator


class Streams:
    """The open item streams of a worker, by number."""

    def __init__(self):
        self._numbers = itertools.count(1)
        self._open = {}
        self._lock = threading.Lock()
        # Streams that are to end on a thread of their service, by its name.
        self._ending = {}

    def add(self, service, instance, member, iterator):
        """Keeps the iterator that a member of an instance has returned, and returns its number."""
        number = next(self._numbers)
        self._open[number] = _Stream(service, instance, member, iterator)
        return number

    def next(self, session, hosted, number, serializer, *asked):
        """The answer to a request of `session` for the next item. The body of a generator sees the
        context of that request, and what it leaves there goes along with the item."""
        stream = self._open.get(number)
        if stream is None:
            error = pyro.error_class("PyroError")("item stream terminated")
            return RAISED, exceptions.exception(error, serializer)
        service, member = stream.service.name, stream.member
        stdio.current.service = service
        try:
            context = pyro.fill_context(
                session.connection, session.address, serializer, *asked
            )
            keeps_arrays = asked[0] & FLAG_ARRAYS and serializer == MARSHAL
            if asked[0] & FLAG_SERPENT_RULES:
                serializer = SERPENT
            stream.service.mark_driven(session, stream.instance)
            item = next(stream.iterator)
            if isinstance(item, Iterator):
                answer = STREAM, self.add(stream.service, stream.instance, member, item)
            else:
                try:
                    made = convert.result(item, serializer, hosted, service, member, keeps_arrays)
                    answer = VALUE, made
                except Exception as error:
                    return REFUSED, exceptions.exception(error, serializer, None, hosted)
            left = context is not None and pyro.response_annotations(context)
            return answer + (left,) if left else answer
        except StopIteration as end:
            self._open.pop(number, None)
            if not end.args:
                return (END,)
            # what a generator returns
            return RAISED, exceptions.exception(end, serializer, None, hosted)
        except Exception as error:
            self._open.pop(number, None)
            log_unreadable(error, member, session.address)
            return RAISED, exceptions.exception(error, serializer, None, hosted)
        except BaseException as error:
            # it would end a client's program too
            self._open.pop(number, None)
            wrapped = pyro.error_class("DaemonError")(
                "an item stream of service '{}' raised {}: {}".format(
                    service, type(error).__name__, exceptions.text(error)
                )
            )
            wrapped.__cause__ = error
            return RAISED, exceptions.exception(wrapped, serializer, None, hosted)
        finally:
            if stdio.current.partial:
                stdio.end_of_call()

    def close(self, number):
        """Forgets an iterator, which runs what its generator has to do at its end."""
        stream = self._open.pop(number, None)
        close = getattr(stream and stream.iterator, "close", None)
        if close is None:
            return
        stdio.current.service = stream.service.name
        try:
            close()
        except BaseException:
            log.warning("an error at the end of an item stream", exc_info=True)

    def close_aside(self, number, submit):
        """Closes a stream on a thread of its service: one that hangs holds up no other service's.
        Where no thread can be started, `submit` takes the work."""
        stream = self._open.get(number)
        if stream is None:
            return
        name = stream.service.name
        with self._lock:
            waiting = self._ending.get(name)
            if waiting is not None:
                waiting.append(number)
                return
            self._ending[name] = collections.deque([number])
        thread = threading.Thread(
            target=self._close_all, args=(name,), name="ferrolab-stream-ends", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            submit(self._close_all, name)

    def _close_all(self, name):
        while True:
            with self._lock:
                waiting = self._ending[name]
                if not waiting:
                    del self._ending[name]
                    return
                number = waiting.popleft()
            self.close(number)
