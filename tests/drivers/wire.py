"""A driver that uses everything that Pyro5's wire can do."""

import itertools
import os
import threading
import time

from kept import kept
from Pyro5.api import (
    Proxy,
    SerializedBlob,
    callback,
    current_context,
    expose,
    oneway,
)


@expose
class Child:
    """Something that is registered while the daemon runs."""

    def __init__(self, name):
        self.name = name

    def who(self):
        return self.name


class Steps:
    """An iterator of the driver's own class, with attributes or without."""

    def __init__(self, *attributes):
        self._left = 2
        for name in attributes:
            setattr(self, name, 1)

    def __iter__(self):
        return self

    def __next__(self):
        self._left -= 1
        if self._left < 0:
            raise StopIteration("own end")
        return self._left


class SlotSteps(Steps):
    __slots__ = ()


def numbers_then(returned, *numbers):
    yield from numbers
    return returned


def summary():
    points = yield from numbers_then([1, 2], 1, 2)
    return {"points": points, "sum": sum(points)}


def raised():
    yield 1
    raise StopIteration("inside")


STREAMS = {
    "summary": summary,
    "early": lambda: numbers_then("limit switch", 1),
    "nothing": lambda: numbers_then(None, 1, 2),
    "array": lambda: numbers_then(bytearray(b"abc"), 1),
    "refused": lambda: numbers_then(object(), 1),
    "raised": raised,
    "lines": lambda: ((10 * y + x for x in range(3)) for y in range(2)),
    "iterators": lambda: iter([iter([1, 2]), map(str, [3, 4]), zip([5], [6]), 7]),
    "deep": lambda: iter([iter([iter([1]), numbers_then("deep", 2)])]),
    "objects": lambda: iter([[1, {"a": (2,)}], {3}, None]),
    "map": lambda: map(str, [1, 2]),
    "empty lines": lambda: iter([iter([]), iter([])]),
    "views": lambda: iter([iter({"a": 1}), iter({"a": 1}.values()), reversed([1, 2])]),
    "own": Steps,
    "own with a state": lambda: iter([Steps("a", "b"), SlotSteps()]),
}
WITHIN = {
    "list": lambda stream: [1, stream],
    "dict": lambda stream: {"stream": stream},
    "tuple": lambda stream: (stream, stream),
}


@expose
class Wire:
    def __init__(self):
        self._notes = []
        self._value = 1
        self._go_on = threading.Event()
        self._children = {}
        self._ends = threading.Semaphore(0)

    # what has happened

    def notes(self):
        return list(self._notes)

    def clear(self):
        self._notes.clear()
        self._go_on.clear()

    def streams(self, name):
        return STREAMS[name]()

    def streams_within(self, name, place):
        return WITHIN[place](STREAMS[name]())

    def hold(self, name):
        self._held = name

    @property
    def held_stream(self):
        return STREAMS[self._held]()

    def echo(self, *args, **kwargs):
        return [list(args), kwargs]

    def note(self, what):
        self._notes.append(what)
        return len(self._notes)

    def fail(self, text):
        raise ValueError(text, 5)

    value = kept("_value")

    # oneway

    @oneway
    def note_later(self, what):
        self._notes.append(("begun", what))
        self._go_on.wait(300)
        self._notes.append(("done", what))

    @oneway
    def note_oneway(self, what):
        self._notes.append(what)

    @oneway
    def slow_oneway(self, what):
        self.slow(what, 0.02)

    @oneway
    def fail_oneway(self):
        self._notes.append("failing")
        raise ValueError("nobody hears of it")

    def go_on(self):
        self._go_on.set()

    def slow(self, what, seconds=0.2):
        self._notes.append(("begin", what))
        time.sleep(seconds)
        self._notes.append(("end", what))

    def wait_with(self, what, seconds):
        """A call that has its argument for a while, and keeps nothing."""
        time.sleep(seconds)

    def hold(self, what, file):
        """A call that ends when the file is there."""
        self._notes.append(("begin", what))
        while not os.path.exists(file):
            time.sleep(0.01)
        self._notes.append(("end", what))

    # streams

    def numbers(self, count):
        try:
            for number in range(count):
                yield number
        finally:
            self._notes.append(("closed", count))

    def held(self, count):
        """A stream whose end waits for `let_end`."""
        try:
            yield from range(count)
        finally:
            self._notes.append("closing")
            self._ends.acquire(timeout=300)
            self._notes.append("closed")

    def let_end(self, count):
        for _ in range(count):
            self._ends.release()

    def failing(self, count):
        yield from range(count)
        raise ZeroDivisionError("in the stream")

    def letters(self):
        return iter("abc")

    def strange(self):
        yield (1, {2: b"three"})
        yield {4, 5}

    @property
    def stream(self):
        return iter([1, 2])

    # blobs

    def blob(self, blob):
        return [type(blob).__name__, blob.info, blob.deserialized()]

    def pass_on(self, blob):
        """As a dispatcher does: the blob goes to another object as it is."""
        with Proxy(blob.info) as target:
            target._pyroSerializer = {1: "serpent", 2: "marshal", 3: "json", 4: "msgpack"}[
                current_context.serializer_id
            ]
            return target.blob(SerializedBlob(blob.info, blob._data, is_blob=True))

    # the context of a call

    def context(self):
        context = current_context
        return {
            "annotations": {key: bytes(data) for key, data in context.annotations.items()},
            "correlation": str(context.correlation_id),
            "flags": context.msg_flags,
            "serializer": context.serializer_id,
            "seq": context.seq,
            "address": type(context.client_sock_addr).__name__,
        }

    def annotate(self, annotations):
        current_context.response_annotations = {
            key: bytes(data) for key, data in annotations.items()
        }

    def annotate_numbers(self):
        current_context.response_annotations = {"MINE": b"with a stream"}
        return iter([1])

    def contexts(self, fails_at=None):
        """The context that the body of a generator sees, once for each item."""
        for number in itertools.count():
            current_context.response_annotations = {"ITEM": b"item %d" % number}
            if number == fails_at:
                raise ValueError(sorted(current_context.annotations))
            peer = current_context.client.sock.getpeername()
            is_peer = tuple(current_context.client_sock_addr) == tuple(peer)
            yield self.context() | {"port": peer[1], "is peer": is_peer}

    # objects that come and go

    def adopt(self, name):
        child = self._children[name] = Child(name)
        self._pyroDaemon.register(child, f"child.{name}")
        return child

    def disown(self, name):
        self._pyroDaemon.unregister(self._children.pop(name))

    def child_of(self, name):
        return {"the child": [self._children[name]]}

    def call_back(self, target, what):
        target._pyroClaimOwnership()
        return target.hear(what)

    @callback
    def complain(self):
        raise ValueError("as a callback")

    def large(self, size):
        return "x" * size
