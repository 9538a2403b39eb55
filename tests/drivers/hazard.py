"""A driver that harms the process it lives in, in every way that has been seen in a lab."""

import ctypes
import logging
import os
import resource
import subprocess
import sys
import threading
import time

from Pyro5.api import behavior, expose

log = logging.getLogger("hazard")


@expose
@behavior(instance_mode="single")
class Hazard:
    def pid(self):
        return os.getpid()

    # The end of the process

    def exit(self, code):
        os._exit(code)

    def leave(self, code):
        sys.exit(code)

    def signal(self, number):
        os.kill(os.getpid(), number)
        time.sleep(3600)

    def segfault(self):
        ctypes.string_at(0)

    def abort(self):
        os.abort()

    def exhaust_memory(self, megabytes):
        """Fills its memory, of which it has so many megabytes more than it uses now."""
        self._limit_memory(megabytes)
        hoard = []
        while True:
            hoard.append(bytearray(1 << 20))

    def exhaust_memory_in_c(self, megabytes):
        """As C code does that does not look at what malloc returns."""
        self._limit_memory(megabytes)
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        while True:
            ctypes.memset(libc.malloc(ctypes.c_size_t(1 << 20)), 1, 1 << 20)

    def _limit_memory(self, megabytes):
        with open("/proc/self/statm") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
        limit = used + (megabytes << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

    def give_memory_back(self):
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return True

    def recurse_in_c(self):
        sys.setrecursionlimit(10**9)
        value = []
        for _ in range(10**6):
            value = [value]
        return repr(value)

    # Harm that the process survives

    def print_binary(self):
        os.write(1, bytes(range(256)) * 64 + b"\n")
        os.write(2, b"\xff\xfe\0no text\n")
        sys.stdout.buffer.write(b"\x80\x81\n")
        sys.stdout.buffer.flush()
        return "printed"

    def close_descriptors(self):
        for fd in range(11):
            try:
                os.close(fd)
            except OSError:
                pass
        return "closed"

    def wait_for_children(self):
        """Waits for all children, as a driver does that wants to end last."""
        child = subprocess.Popen([sys.executable, "-c", ""])
        ended = 0
        while True:
            try:
                os.wait()
            except ChildProcessError:
                del child  # which would reap it when it goes
                return ended
            ended += 1

    def spawn(self, count):
        """Children that ignore every request to end; some in their own sessions, and of those some
        with an empty environment."""
        script = "import signal,time; signal.signal(15, 1); signal.signal(1, 1); time.sleep(3600)"
        children = [
            subprocess.Popen(
                [sys.executable, "-c", script],
                start_new_session=bool(index % 2),
                env={} if index % 4 == 3 else None,
            )
            for index in range(count)
        ]
        return [child.pid for child in children]

    def hold_the_interpreter(self, seconds):
        """Blocks in C without giving the interpreter lock away."""
        ctypes.PyDLL(None).sleep(seconds)

    def spin(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        return "done"

    def break_the_streams(self):
        sys.stdout = sys.stderr = None
        return "broken"

    def disable_signals(self):
        import signal

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            libc = ctypes.CDLL(None)
            libc.signal(int(number), 1)
        return "deaf"

    def stop_the_daemon(self):
        self._pyroDaemon.shutdown()

    def look_into_the_daemon(self):
        return self._pyroDaemon.transportServer

    # Output

    def talk(self, word):
        print(f"on stdout: {word}")
        print(f"on stderr: {word}", file=sys.stderr)
        os.write(1, f"past python: {word}\n".encode())
        log.debug("debug: %s", word)
        log.info("info: %s", word)
        log.warning("warning: %s", word)
        log.error("error: %s", word)
        try:
            raise KeyError(word)
        except KeyError:
            log.exception("exception: %s", word)
        logging.getLogger("hazard.inner").critical("critical: %s", word)
        print(f"a line without an end: {word}", end="")

    def talk_later(self, word):
        threading.Timer(0.05, print, [f"later: {word}"]).start()


class FailsToStart:
    def __init__(self):
        raise OSError(19, "the instrument is off")

    @expose
    def read(self):
        return 1


class StartsLater:
    """Its constructor works as soon as a file is there."""

    def __init__(self):
        if not os.path.exists(os.environ["HAZARD_FILE"]):
            raise OSError(19, "the instrument is off")

    @expose
    def read(self):
        return 1


class ExitsAtStart:
    def __init__(self):
        sys.exit(3)

    @expose
    def read(self):
        return 1
