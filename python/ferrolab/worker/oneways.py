"""Oneway calls that run beside other calls, each on a thread for itself, as in Pyro5.

The thread that has read a call waits until it has begun: calls of one client begin in their order.
`calls.py` reads requests; the daemon hears of the end of each oneway call.
"""

import queue
import threading

from . import pyro, shutdown, stdio

# Idle threads that are kept for the next oneway calls.
_IDLE_THREADS = 4


class OnewayCall:
    """One oneway call, ready to be carried out."""

    def __init__(self, number, service, method, args, kwargs, session, context, raised):
        self.number = number
        # The session and its number.
        self.session_number, self.session = session
        self._service = service
        self._method, self._args, self._kwargs = method, args, kwargs
        self._context = context
        # Logs an exception of the method.
        self._raised = raised

    def run(self, begun):
        """Calls the method, on the thread that is to run it; `begun` is called just before.

        Returns what it raised, if anything.
        """
        current = stdio.current
        current.service = self._service
        try:
            pyro.fill_context(self.session.connection, self.session.address, *self._context)
            # A thread that releases a lock holds the interpreter's, and so enters the method
            # before the thread that waits for the lock.
            begun()
            self._method(*self._args, **self._kwargs)
        except BaseException as error:  # one that calls sys.exit() ends itself only
            self._raised(error)
            return error
        finally:
            if current.partial:
                stdio.end_of_call()
            current.service = None


class OnewayThreads:
    """The threads of oneway calls, and the calls that run on them."""

    def __init__(self, host):
        self._host = host
        # Queues of idle threads.
        self._idle = []
        self._running = {}
        # Numbers of calls that have returned and whose sessions may end with them.
        self._ending = set()
        self._abandoned = False

    def start(self, call):
        """Starts a call, and returns when it has begun.

        Raises `RuntimeError` where no thread can be started for it; it has not begun then.
        """
        begun = threading.Lock()
        begun.acquire()
        try:
            inbox = self._idle.pop()
        except IndexError:
            inbox = queue.SimpleQueue()
            threading.Thread(
                target=self._serve, args=(inbox,), name="ferrolab-oneway", daemon=True
            ).start()
        inbox.put((call, begun))
        begun.acquire()

    def run(self, call, begun):
        """Carries out a call on this thread; its session lasts as long as the call."""
        sessions, number, session = self._host.sessions, call.session_number, call.session
        sessions.hold(session)
        self._running[call.number] = call
        raised = None
        try:
            raised = call.run(begun)
        finally:
            if self._abandoned:
                # A call that has returned in a forked child: all that is open is the worker's.
                shutdown.leave()
            self._ending.add(call.number)
            del self._running[call.number]
            try:
                self._host.on_calling_thread(sessions.unbind, number, session)
            finally:
                self._ending.discard(call.number)
            self._host.report_oneway_end(call.number, raised)

    def running(self):
        """The calls that run."""
        return list(self._running.values())

    def are_ending(self):
        """Whether calls have returned whose sessions may just be released."""
        return bool(self._ending)

    def abandon(self):
        """In a forked child: calls are the worker's."""
        self._abandoned = True

    def _serve(self, inbox):
        while True:
            call, begun = inbox.get()
            self.run(call, begun.release)
            # The call's arguments must not live until the next call.
            del call, begun
            if len(self._idle) >= _IDLE_THREADS:
                return
            self._idle.append(inbox)
