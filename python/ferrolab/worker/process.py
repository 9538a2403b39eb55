"""A worker: the process in which drivers live.

Owns the process: its start, the control socket, its end. `protocol.rs` of the daemon's crate
`py-worker` describes the messages of that socket.

One thread reads the control socket, whatever drivers do. The main thread imports drivers, since
some want that, and in a multiplex daemon it carries out all calls. In a threaded daemon every
channel has its own thread.
"""

import atexit
import errno
import faulthandler
import itertools
import logging
import os
import platform
import queue
import resource
import signal
import socket
import sys
import threading
import time
import traceback

from ..client import arrays
from . import exceptions, framing, logging_bridge, services, shutdown, stdio
from .calls import Channel
from .channel_threads import ChannelThreads
from .complaints import Complaints
from .daemon import HostedDaemon
from .logging_bridge import log
from .main_thread import QueueMain, SelectingMain
from .oneways import OnewayThreads
from .service_loads import ServiceLoads
from .streams import Streams

PROTOCOL = 1

# A worker whose daemon is gone is gone itself after this time, instruments released or not.
ORPHAN_SECONDS = 1.3

# Seconds before the deadline that exit handlers keep where the release of an instrument hangs.
_EXIT_SECONDS = 0.4

# Seconds for `abort` methods and the end of the calls, before instruments are released.
_ABORTED_SECONDS = 0.4

# Characters of the text of an exception that a oneway call has raised, in a message to the daemon.
_LONGEST_TEXT = 500

# At the last descriptor, every other client is refused.
_refusals = Complaints("refusals of new clients")


class Worker:
    """The process."""

    def __init__(self, control):
        self._control = control
        self._out = framing.Writer(control)
        self._answers = {}
        self._numbers = itertools.count(1)
        self._ending = threading.Lock()
        # A forked child has a copy of all this, and no right to act on it.
        self._pid = os.getpid()
        self._fork = threading.local()
        self._follower = None
        # Why new channels are not served; None while they are.
        self._refuses = None
        self.max_answer_bytes = 1 << 30
        # Whether the process ends without having made an instance.
        self.imports_only = False
        self.services = {}
        self.sessions = services.Sessions()
        self.streams = Streams()
        self.daemon = HostedDaemon(self.services, self._ask)
        self.oneways = OnewayThreads(self)
        self._loads = ServiceLoads(self, self._out)
        self.main = None
        self.channels = self.beside = None

    def run(self):
        """Serves until the end of the process."""
        self._out.write(("hello", PROTOCOL, _facts()))
        reader = framing.ControlReader(self._control)
        first = reader.read()
        if first is None:
            os._exit(0)
        (_, settings), fds = first
        self._start(settings, fds)
        self._follower = threading.Thread(
            target=self._follow, args=(reader,), name="ferrolab-control", daemon=True
        )
        self._follower.start()
        self.main.run()

    def _start(self, settings, fds):
        sys.path[:0] = settings.get("path", ())
        writer = framing.Writer(framing.take_socket(fds[0]))
        stdio.start(writer)
        logging_bridge.start(writer, settings.get("log_level", logging.INFO))
        _mark(settings.get("mark"))
        self.max_answer_bytes = settings.get("max_answer_bytes", self.max_answer_bytes)
        self.imports_only = settings.get("imports_only", False)
        stdio.set_only_service(settings.get("only_service"))
        if settings.get("multiplex"):
            self.main = self.channels = SelectingMain()
        else:
            self.main = QueueMain()
            self.channels = ChannelThreads()
        # Channels whose requests are carried out beside all calls.
        self.beside = ChannelThreads()
        os.register_at_fork(
            before=self._forking, after_in_parent=self._unmask, after_in_child=self._forked
        )
        _enable_faulthandler()
        signal.signal(signal.SIGTERM, self._terminated)

    # -- the control socket -------------------------------------------------------------------

    def _follow(self, reader):
        try:
            while True:
                message = reader.read()
                if message is None:
                    break
                frame, fds = message
                try:
                    self._obey(frame, fds)
                except BaseException:
                    # The next message is as good as any: a thread less to read them, and
                    # nobody is answered any more.
                    traceback.print_exc()
        except ConnectionError:
            pass
        except BaseException:
            traceback.print_exc()
        finally:
            self._end(0.2, ORPHAN_SECONDS)

    def _obey(self, frame, fds):
        kind = frame[0]
        if kind == "load":
            _, specs = frame
            self._loads.submit(specs)
        elif kind == "channel":
            self._take_channel(fds, self.channels)
        elif kind == "beside":
            self._take_channel(fds, self.beside)
        elif kind == "close_stream":
            _, stream = frame
            if self.is_multiplex():
                self.main.submit(self.streams.close, stream)
            else:
                self.streams.close_aside(stream, self.main.submit)
        elif kind == "ping":
            _, number = frame
            self._out.write(("pong", number))
        elif kind == "answer":
            _, number, succeeded, value = frame
            waiting = self._answers.pop(number, None)
            if waiting is not None:
                waiting.put((succeeded, value))
        elif kind == "stop":
            _, seconds = frame
            self._begin_end(seconds)

    def _take_channel(self, fds, channels):
        """Serves the channel of these descriptors, or ends it and says why."""
        try:
            # The kernel drops those for which the process has no number left.
            sockets = [framing.take_socket(fd) for fd in fds]
            try:
                if len(sockets) != 2:
                    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
                channels.add(Channel(self, *sockets))
            except BaseException as error:
                # The reason comes before the end of the channel that it explains.
                self._refuse_channels(error)
                for sock in sockets:
                    sock.close()
                return
        except BaseException as error:
            self._refuse_channels(error)
        else:
            if self._refuses is not None:
                self._refuses = None
                if _refusals.is_told():
                    log.warning("new clients are served again")
                self._out.write(("refuses", None))

    def _refuse_channels(self, error):
        """Says why new channels are not served."""
        if self._refuses is None and _refusals.one_more():
            log.error("no new clients are served: %s", _reason(error))
        self._refuses = _reason(error)
        self._out.write(("refuses", self._refuses))

    def report_oneway_end(self, number, raised):
        """Tells the daemon that a oneway call has ended, and what it raised (or None)."""
        if raised is None:
            self._out.write(("ended", number))
            return
        kind = type(raised)
        name = "{}.{}".format(kind.__module__, kind.__qualname__)
        words = name, exceptions.text(raised)[:_LONGEST_TEXT]
        # Plain text, whatever the driver has put into it.
        name, text = [word.encode("utf-8", "replace").decode("utf-8") for word in words]
        self._out.write(("ended", number, name, text))

    def is_multiplex(self):
        """Whether the main thread carries out the calls."""
        return self.main is self.channels

    def on_calling_thread(self, function, *args):
        """Has a function carried out where this worker carries out calls: in a multiplex daemon on
        the main thread, else here."""
        if self.is_multiplex():
            self.main.submit(function, *args)
        else:
            function(*args)

    def _ask(self, what, *arguments):
        """The daemon's answer to a question."""
        number = next(self._numbers)
        if threading.current_thread() is self._follower:
            # A destructor that runs on the thread that reads answers: it gets none.
            self._out.write(("ask", number, what, list(arguments)))
            return None
        waiting = self._answers[number] = queue.SimpleQueue()
        self._out.write(("ask", number, what, list(arguments)))
        succeeded, value = waiting.get()
        if succeeded:
            return value
        from . import pyro

        raise pyro.error_class("DaemonError")(value)

    # -- services -----------------------------------------------------------------------------

    def service(self, name):
        """The service or part of that name; a part of a service that had no instance yet appears
        with that. None for an unknown name."""
        for owner in list(self.services.values()):
            is_below = name.startswith(owner.name + ".")
            if is_below and owner.mode == "single" and not owner.is_seen:
                owner.instance_for_call(None)
        return self.services.get(name)

    def has_instance(self, name, session):
        """Whether a call of `session` needs no new instance of the service or part of that name."""
        service = self.services.get(name)
        return service is not None and service.has_instance(session)

    # -- the end ------------------------------------------------------------------------------

    def _terminated(self, number, _frame):
        if os.getpid() != self._pid:
            # a forked child, before it has got its own handler back
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self._begin_end(0.5)

    def _begin_end(self, grace):
        """Ends the process on a new thread, or on this one if none can be started."""
        arguments = grace, grace + ORPHAN_SECONDS
        try:
            threading.Thread(target=self._end, args=arguments, daemon=True).start()
        except RuntimeError:
            self._end(*arguments)

    def _end(self, grace, deadline):
        """Ends the process: lets calls end, releases what there is, runs exit handlers."""
        if os.getpid() != self._pid or not self._ending.acquire(False):
            return
        try:
            self._bring_to_end(grace, deadline)
        finally:
            os._exit(1)

    def _bring_to_end(self, grace, deadline):
        killer = threading.Timer(deadline, os._exit, (0,))
        killer.daemon = True
        try:
            killer.start()
        except RuntimeError:
            # The kernel needs no thread for it.
            signal.setitimer(signal.ITIMER_REAL, deadline)
        self._signal_driver()
        services.unrested.clear()
        begun = time.monotonic()
        until = begun + grace
        submit = self.main.submit
        if threading.current_thread() is threading.main_thread():
            # The signal handler, where no other thread could be started: the main thread would
            # wait for itself.
            submit = _call
            if self.is_multiplex():
                until = begun
        for channel in self.channels.channels():
            channel.shut()
        self._wait_for_calls(until)
        if self._calls_run():
            self._abort_calls()
        releases = shutdown.Releases(self._releases())
        releases.carry_out(submit, begun + deadline - _EXIT_SECONDS)
        # A call that runs on may drive an instrument after its safe state.
        if releases.succeeded() and not (services.unrested.is_set() or self._is_in_use()):
            self._out.write(("released",))
        done = threading.Event()
        handlers = shutdown.Once(self._run_exit_handlers, done)
        submit(handlers)
        if not done.wait(0.1):
            handlers()  # the main thread is busy
            done.wait()
        os._exit(0)

    def _calls_run(self):
        return bool(self.channels.channels() or self.oneways.running())

    def _is_in_use(self):
        """Whether calls run, or sessions that have ended are being released on other threads."""
        return self._calls_run() or self.oneways.are_ending() or self.sessions.are_leaving()

    def _wait_for_calls(self, until):
        while self._is_in_use() and time.monotonic() < until:
            time.sleep(0.005)

    def _abort_calls(self):
        """Calls the methods that end running calls, beside them, and waits a moment for the end."""
        until = time.monotonic() + _ABORTED_SECONDS
        sessions = self.sessions.chosen(None)
        owners = list(self.services.values())
        aborts = [abort for owner in owners for abort in owner.aborts(sessions)]
        if aborts:
            shutdown.Releases(aborts).carry_out(_call_beside, until)
            self._wait_for_calls(until)

    def _signal_driver(self):
        """Runs a handler of the driver's for SIGTERM, as the signal would: between two steps of the
        main thread, before anything is released there."""
        handler = signal.getsignal(signal.SIGTERM)
        if callable(handler) and handler != self._terminated:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)

    def _releases(self):
        """Functions that release all instances; last those that must wait for a constructor."""
        found = self.sessions.releases()
        found += [(single.is_locked(), single.release_single)
                  for single in list(self.services.values())]
        return [release for _, release in sorted(found, key=lambda one: one[0])]

    def _run_exit_handlers(self):
        stdio.current.service = None
        try:
            atexit._run_exitfuncs()
        except BaseException:
            traceback.print_exc()
        for stream in (sys.stdout, sys.stderr):
            try:
                stdio.end_of_call()
                stream.flush()
            except Exception:
                pass

    def _forking(self):
        # A SIGTERM that came before the child has its own handler would be lost.
        self._fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))

    def _unmask(self):
        mask = getattr(self._fork, "mask", None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _forked(self):
        """In a forked child, which has no part in the worker's sockets and instruments."""
        try:
            if signal.getsignal(signal.SIGTERM) == self._terminated:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
        except ValueError:
            pass  # not the main thread to Python; the handler looks at the process itself
        self._unmask()
        stdio.detach()
        logging_bridge.detach()
        self.oneways.abandon()
        for thing in [self._control] + self.channels.unlocked() + self.beside.unlocked():
            try:
                (getattr(thing, "abandon", None) or thing.close)()
            except Exception:
                pass


# -- the process --------------------------------------------------------------------------------


def _reason(error):
    """Why a channel could not be taken, for its client and the log."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "no file descriptors left in the driver's process"
    if isinstance(error, RuntimeError):
        return "no further thread can be started in the driver's process"
    return "{} in the driver's process: {}".format(type(error).__name__, exceptions.text(error))


def _call(function):
    function()


def _call_beside(function):
    try:
        threading.Thread(target=function, name="ferrolab-abort", daemon=True).start()
    except RuntimeError:
        function()  # no further thread can be started


def _facts():
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable or "",
        "prefix": sys.prefix,
        "numpy": arrays.has_numpy(),
        "pid": os.getpid(),
    }


def _mark(number):
    """Marks the process and its descendants, so that the daemon finds those that left the session
    and the environment: a limit of real-time processes that is too high to limit anything."""
    try:
        limit = resource.RLIMIT_RTTIME
        if number and resource.getrlimit(limit) == (resource.RLIM_INFINITY,) * 2:
            resource.setrlimit(limit, (number, number))
    except (AttributeError, OSError, ValueError):
        pass  # not Linux


def _enable_faulthandler():
    try:
        faulthandler.enable(file=framing.high_fd(2))
    except (OSError, ValueError, RuntimeError):
        pass


def main():
    """Runs the worker whose control socket is the standard input."""
    control = socket.socket(fileno=framing.high_fd(0))
    control.setblocking(True)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.argv = ["ferrolab-worker"]
    Worker(control).run()
