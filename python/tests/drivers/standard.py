"""A driver that needs nothing but Python."""

import atexit
import logging
import os
import signal
import subprocess
import sys
import threading
import time

from ferrolab import behavior, callback, expose, oneway

log = logging.getLogger(__name__)
events = []


class ProbeError(Exception):
    def __init__(self, message, code):
        super().__init__(message, code)
        self.code = code


class Base:
    @expose
    def inherited(self):
        return "inherited"

    def hidden(self):
        return "hidden"


@expose
@behavior(instance_mode="session")
class Probe(Base):
    setting = 5

    def __init__(self):
        self._value = 1
        self.count = 0
        self.local = threading.local()

    @property
    def value(self):
        return self._value

    @value.setter
    def value(self, value):
        self._value = value

    @property
    def readings(self):
        return iter([1, 2])

    @property
    def fixed(self):
        return "fixed"

    @staticmethod
    def static(x):
        return x + 1

    @classmethod
    def clsmethod(cls):
        return cls.__name__

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index * 2

    def _private(self):
        return "private"

    def __private(self):
        return "private"

    def echo(self, *args, **kwargs):
        return args, kwargs

    def bump(self):
        self.count += 1
        return self.count

    def thread(self):
        return threading.get_ident(), threading.current_thread() is threading.main_thread()

    def whoami(self):
        return id(self)

    def open_files(self):
        return len(os.listdir("/dev/fd"))

    def fail(self, message="broken", code=7):
        raise ProbeError(message, code)

    def leave(self):
        sys.exit(3)

    def stream(self, n, fail_at=None):
        try:
            for i in range(n):
                if i == fail_at:
                    raise ValueError("at {}".format(i))
                yield {"n": i}
        finally:
            events.append("stream ended")

    def events(self):
        return list(events)

    @oneway
    def later(self, seconds=0, file="/"):
        time.sleep(seconds)
        self.wait_for(file)
        self.count += 100

    @callback
    def called_back(self):
        raise RuntimeError("in a callback")

    def odd(self):
        return {"object": object()}

    def talk(self, text, err=False):
        print(text, file=sys.stderr if err else sys.stdout)

    def mutter(self):
        print("no newline", end="")

    def log(self, text):
        log.warning("said %s", text)

    def log_error(self):
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("went wrong")

    def talk_in_thread(self, text):
        thread = threading.Thread(target=print, args=(text,))
        thread.start()
        thread.join()

    def write_binary(self):
        data = bytes(range(256)) * 40
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        os.write(1, data)
        os.write(2, b"\xff\n")

    def close_low(self):
        os.closerange(0, 11)

    def die(self, code=3):
        os._exit(code)

    def pid(self):
        return os.getpid()

    def kill_me(self, signal):
        os.kill(os.getpid(), signal)
        time.sleep(3600)

    def hold_the_lock(self, seconds):
        import ctypes

        ctypes.PyDLL(None).sleep(seconds)

    def surrogate(self):
        return "\udc80"

    def flood(self):
        for i in range(20000):
            print("flood", i)

    def spawn(self):
        return subprocess.Popen(["sleep", "600"]).pid

    def fork(self):
        pid = os.fork()
        if pid == 0:
            print("printed by the child")
            log.warning("logged by the child")
            os._exit(0)
        os.waitpid(pid, 0)
        return "parent"

    def wait_for(self, file):
        while not os.path.exists(file):
            time.sleep(0.01)

    def sleep(self, seconds):
        print("sleeping")
        events.append("sleeping")
        time.sleep(seconds)
        return "slept"


class Plain:
    """Without any decorators."""

    limit = 10

    def __init__(self, channel=1, name="plain"):
        self.channel = channel
        self.name = name
        self._secret = 1

    @property
    def voltage(self):
        return self.channel * 1.5

    @voltage.setter
    def voltage(self, value):
        self.channel = value / 1.5

    def measure(self):
        return self.name, self.channel

    def reset(self):
        self.channel = 0

    def __len__(self):
        return 2


@expose
class Picky:
    made = 0

    def __init__(self):
        Picky.made += 1
        if Picky.made < 3:
            raise OSError(5, "no device")

    def ok(self):
        return Picky.made


@behavior(instance_mode="single", instance_creator=lambda cls: cls("created"))
@expose
class Created:
    def __init__(self, how):
        self.how = how

    def get(self):
        return self.how


@behavior(instance_creator=lambda cls: object())
@expose
class WronglyCreated:
    def get(self):
        return 1


@expose
class Slow:
    made = []

    def __init__(self):
        time.sleep(0.2)
        self.made.append(1)

    def count(self):
        return len(self.made)


@expose
class Resting:
    def rest(self):
        print("resting")
        events.append("rest")

    def events(self):
        return list(events)

    def sweep(self):
        for number in range(9):
            print("driven")
            events.append("driven")
            yield number

    def fail(self):
        raise ValueError("cannot rest")


@expose
class Ends:
    """Streams whose generators hang at their end, or not."""

    def __init__(self, now):
        self._now = now

    def sweep(self, hangs):
        try:
            yield from range(9)
        finally:
            while hangs and not os.path.exists(self._now):
                time.sleep(0.01)
            print("ended")


@expose
class Rigid:
    __slots__ = ()


@expose
class Registering:
    def make(self):
        thing = Plain()
        expose(Plain)
        uri = self._pyroDaemon.register(thing, "thing")
        self.thing = thing
        return str(uri)

    def give(self):
        return self.thing

    def me(self):
        return [self], self._pyroId

    def drop(self):
        self._pyroDaemon.unregister(self.thing)

    def rigid(self):
        self._pyroDaemon.register(Rigid(), "rigid")


instance = Created("beforehand")


def function():
    return 1


class Held:
    """Holds something that only the worker may release."""

    def close(self):
        print("released in", "worker" if os.getpid() == self.pid else "child")
        with open(self.path, "a") as file:
            file.write("worker\n" if os.getpid() == self.pid else "child\n")

    def __init__(self, path=None):
        self.path, self.pid = path, os.getpid()

    def run_and_terminate(self, how):
        pid = os.fork()
        if pid == 0:
            if how == "raise":
                raise ValueError("in the child")
            while True:
                time.sleep(3600)
        if how == "terminate":
            os.kill(pid, signal.SIGTERM)
        return os.waitpid(pid, 0)[1]


class Unspeakable(BaseException):
    def __str__(self):
        raise RuntimeError("no text")


class Ending:
    """Raises what ends programs, wherever it can."""

    def exits(self):
        yield 1
        sys.exit(4)

    def unspeakable(self):
        raise Unspeakable()

    def exits_while_sent(self):
        return ExitsWhileSent()

    def fine(self):
        return "fine"


class ExitsWhileSent:
    def __getstate__(self):
        raise Unspeakable()


class UnspeakableError(Exception):
    def __str__(self):
        raise Unspeakable()


class Hopeless:
    """Its errors have no text either."""

    def fails(self):
        raise UnspeakableError(object())

    def fine(self):
        return "fine"


class Thing:
    pass


class Careless:
    """Loses what it has registered, on a thread that is in the middle of something."""

    def lose(self):
        expose(Thing)
        thing = Thing()
        self._pyroDaemon.register(thing, "thing", weak=True)
        daemon = self._pyroDaemon
        with daemon._lock:  # as if the collector ran there
            del thing
        return "lost"

    def register_later(self, file):
        """Registers an object once there is such a file."""
        print("waiting")
        Probe.wait_for(self, file)
        return str(self._pyroDaemon.register(expose(Plain)(), "late"))

    def register_many(self, count):
        for _ in range(count):
            self._pyroDaemon.register(Thing())
        return len(self._pyroDaemon.objectsById)

    def take_over(self, name):
        self._pyroDaemon.register(Plain(), name, force=True)

    def fine(self):
        return "fine"

    def give_much(self, size):
        return b"x" * size

    def log_much(self):
        try:
            raise ValueError("y" * (20 << 20))
        except ValueError:
            log.exception("x" * (20 << 20))
        log.warning("and on")

    def reconfigure(self):
        sys.stdout.reconfigure(line_buffering=True)
        return sys.stdout.line_buffering

    def wait_for_all(self):
        child = subprocess.Popen(["true"])
        count = 0
        while True:
            try:
                os.wait()
                count += 1
            except ChildProcessError:
                del child  # which would reap it when it goes
                return count


@expose
class Talkative:
    def __init__(self):
        raise ValueError("z" * (20 << 20))

    def ok(self):
        return 1


class Shutter:
    """Notes when it is closed, and hangs where it is told to."""

    def __init__(self, path, name, hangs=""):
        self._path, self._name, self._hangs = path, name, hangs
        # A busy machine needs more than the usual time, for exit handlers most of all.
        worker = sys.modules["_ferrolab_worker.worker.process"]
        worker.ORPHAN_SECONDS, worker._EXIT_SECONDS = 3, 2
        self._may_hang("constructor")
        if name == "a":
            atexit.register(self._note, "exit")

    def _may_hang(self, where):
        if self._hangs == where:
            print("hanging")
            while True:
                time.sleep(3600)

    def _note(self, what):
        with open(self._path, "a") as file:
            file.write(what + "\n")

    def close(self):
        self._may_hang("close")
        self._note(self._name)

    def fine(self):
        return "fine"
