"""Loops of the main thread: it runs submitted functions, and in a multiplex worker all calls.

Knows nothing of the functions, and of channels only that they are served when a request has
arrived.
"""

import queue
import selectors
import socket
import traceback

from . import framing


class QueueMain:
    """The main thread of a threaded daemon's worker: it imports, and waits."""

    def __init__(self):
        self._jobs = queue.SimpleQueue()

    def submit(self, function, *args):
        """Has a function carried out on the main thread."""
        self._jobs.put((function, args))

    def run(self):
        """Carries out what is submitted, for ever."""
        while True:
            try:
                function, args = self._jobs.get()
                function(*args)
            except (KeyboardInterrupt, SystemExit):
                pass
            except BaseException:
                traceback.print_exc()


class SelectingMain:
    """The main thread of a multiplex daemon's worker: it carries out all calls too."""

    def __init__(self):
        self._jobs = queue.SimpleQueue()
        # No file descriptor of the main loop may be among the low ones, which drivers close.
        receiver, waker = socket.socketpair()
        self._receiver = framing.take_socket(receiver.detach())
        self._waker = framing.take_socket(waker.detach())
        # A thread that submits must not wait for this one, which may wait for its answer.
        self._waker.setblocking(False)
        self._selector = selectors.PollSelector()
        self._selector.register(self._receiver, selectors.EVENT_READ, None)
        self._channels = set()

    def submit(self, function, *args):
        """Has a function carried out on the main thread."""
        self._jobs.put((function, args))
        self._wake()

    def _wake(self):
        try:
            self._waker.send(b"\0")
        except BlockingIOError:
            pass  # it has been woken often enough

    def add(self, channel):
        """Serves a channel."""
        self.submit(self._add, channel)

    def _add(self, channel):
        try:
            self._selector.register(channel, selectors.EVENT_READ, channel)
        except BaseException:
            channel.close()
            raise
        self._channels.add(channel)

    def channels(self):
        """The open channels."""
        return list(self._channels)

    unlocked = channels

    def run(self):
        """Serves channels and carries out what is submitted, for ever."""
        while True:
            try:
                for key, _ in self._selector.select():
                    if key.data is None:
                        self._run_jobs()
                    else:
                        self._serve(key.data)
            except (KeyboardInterrupt, SystemExit):
                self._wake()  # for the jobs that are left
            except BaseException:
                traceback.print_exc()

    def _serve(self, channel):
        going_on = False
        try:
            going_on = channel.serve_ready()
        finally:
            # one that raised has lost an answer, which somebody waits for
            if not going_on:
                self._channels.discard(channel)
                self._selector.unregister(channel)
                channel.close()

    def _run_jobs(self):
        """Carries out one of the submitted functions: calls have their turn between two of them, of
        which there are a thousand when a client with a thousand streams goes."""
        self._receiver.recv(4096)
        try:
            function, args = self._jobs.get_nowait()
        except queue.Empty:
            return
        if not self._jobs.empty():
            self._wake()
        try:
            function(*args)
        except BaseException:
            traceback.print_exc()
