"""Item streams: results of generators, read item by item from the daemon.

A stream lives in the session of the connection that opened it, and every item comes over that one.
"""

from .answer import StreamId
from .connection import DAEMON
from .errors import ConnectionClosedError, TimeoutError
from .pool import this_thread


class Stream:
    """Iterator of a remote generator's items. Any thread may read it, one item at a time."""

    def __init__(self, connection, stream_id, timeout, owner=None):
        self._connection = connection
        # A pool closes its connections when it is dropped: `for item in Proxy(uri).items():`
        self._owner = owner
        self._id = str(stream_id)
        self._timeout = timeout
        self._open = True

    def __iter__(self):
        return self

    def __next__(self):
        if not self._open:
            raise StopIteration
        try:
            item = self._call("get_next_stream_item")
        except BaseException:
            # An item that raises ends its generator.
            self._open = False
            raise
        # An iterator among the items is a stream as well, over the same connection.
        if type(item) is StreamId:
            return Stream(self._connection, item, self._timeout, self._owner)
        return item

    def _call(self, method):
        connection = self._connection
        if not connection.busy.acquire(timeout=-1 if self._timeout is None else self._timeout):
            raise TimeoutError(
                "the stream's connection is busy with another call", outcome="not started"
            )
        try:
            connection.user = this_thread()
            if connection.closed:
                raise ConnectionClosedError(
                    "the connection of the stream has ended", outcome="not started"
                )
            return connection.call(DAEMON, method, (self._id,), {}, 0, self._timeout)
        finally:
            connection.busy.release()

    def close(self):
        """Ends the generator at the daemon."""
        if self._open:
            self._open = False
            if not self._connection.closed:
                self._call("close_stream")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        # No call from a finalizer: it may run in the middle of another call, in any thread.
        if getattr(self, "_open", False) and not self._connection.closed:
            self._connection.dropped_streams.append(self._id)
