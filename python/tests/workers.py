"""A worker process with a daemon's side in Python, for tests."""

import array
import marshal
import os
import pathlib
import queue
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

DRIVERS = pathlib.Path(__file__).parent / "drivers"
SOURCES = pathlib.Path(__file__).parent.parent / "ferrolab"
BOOT = (
    "import os,marshal\n"
    "def read(n,b=b''):\n"
    " while len(b)<n:b+=os.read(0,n-len(b))or os._exit(3)\n"
    " return b\n"
    "exec(compile(marshal.loads(read(int.from_bytes(read(4),'big'))),'<ferrolab>/worker/boot.py','exec'))"
)

CALL, GET, SET, BATCH, NEXT, CLOSE, BIND, UNBIND, REST, UNPIN, FINISH, LEAVE = range(12)
VALUE, RAISED, STREAM, END, BEGUN = range(5)
SERPENT, MARSHAL, JSON, MSGPACK = 1, 2, 3, 4
FLAG_ONEWAY = 4
# Seconds after which what has not happened never will, on a machine however busy.
TIMEOUT = 120


def frame(content):
    data = marshal.dumps(content, 2)
    return struct.pack(">I", len(data)) + data


def read_frame(sock):
    head = read_exactly(sock, 4)
    return marshal.loads(read_exactly(sock, struct.unpack(">I", head)[0]))


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


class Raised(Exception):
    """A call has raised; `.state` is the class dict."""

    def __init__(self, state):
        super().__init__("{}: {}".format(state.get("__class__"), state.get("args")))
        self.state = state


class Channel:
    """A session's channel."""

    def __init__(self, requests, answers, session, address=("127.0.0.1", 5555)):
        self.requests, self.answers, self.session = requests, answers, session
        self.requests.settimeout(TIMEOUT)
        self.answers.settimeout(TIMEOUT)
        self.send(BIND, session, address, ("127.0.0.1", 7777), "obj")

    def send(self, *content):
        self.requests.sendall(frame(content))

    def request(self, *content):
        self.send(*content)
        return self.answer()

    def answer(self):
        return read_frame(self.answers)

    def operation(self, kind, service, member, args=(), kwargs=None, serializer=SERPENT, flags=0,
                  annotations=(), classes=False, oneway=0):
        answer = self.request(kind, service, member, list(args), kwargs or {}, serializer, flags, 1,
                              b"\1" * 16, list(annotations), classes, 0, oneway)
        if answer[0] == RAISED:
            raise Raised(answer[1])
        return answer

    def oneway(self, service, member, number=0):
        """The answer to a oneway call; one with a number runs beside the next calls."""
        return self.operation(CALL, service, member, flags=FLAG_ONEWAY, oneway=number)

    def call(self, service, member, *args, **kwargs):
        kind, value, *_ = self.operation(CALL, service, member, args, kwargs)
        return value

    def next(self, number, serializer=SERPENT, annotations=()):
        """The answer to a request for a stream's next item."""
        return self.request(NEXT, number, serializer, 0, 1, b"\2" * 16, list(annotations))

    def close(self):
        self.requests.close()
        self.answers.close()


class Worker:
    """A worker process."""

    def __init__(self, services, python=sys.executable, path=(), multiplex=False, **settings):
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            [python, "-c", BOOT, "ferrolab-worker", "test"], stdin=theirs, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        theirs.close()
        self.control = ours
        self.control.settimeout(TIMEOUT)
        self.records = queue.Queue()
        self.messages = queue.Queue()
        self.sessions = 0
        self.printed = []
        self._log, log = socket.socketpair()
        sources = {file.relative_to(SOURCES).with_suffix("").as_posix(): file.read_text()
                   for file in SOURCES.rglob("*.py")}
        boot = sources["worker/boot"]
        self.control.sendall(frame(boot) + frame(sources))
        self.hello = read_frame(self.control)
        self.send(("start", dict(settings, path=[str(p) for p in path], multiplex=multiplex)),
                  log)
        # The files of drivers, which come after each load.
        self.sources = {}
        threading.Thread(target=self._collect, args=(self._log, self.records), daemon=True).start()
        threading.Thread(target=self._collect, args=(self.control, self.messages),
                         daemon=True).start()
        threading.Thread(target=self._print, daemon=True).start()
        self.loaded = {}
        if services:
            self.send(("load", services))
            for _ in services:
                message = self.message()
                self.loaded[message[1]] = message

    def _print(self):
        for line in self.process.stdout:
            self.printed.append(line.decode("utf-8", "replace"))

    def _collect(self, sock, target):
        sock.settimeout(None)
        try:
            while True:
                message = read_frame(sock)
                if message[0] == "sources":
                    self.sources[message[1]] = message[2]
                else:
                    target.put(message)
        except (EOFError, OSError):
            pass

    def send(self, content, *socks):
        fds = array.array("i", [s.fileno() for s in socks])
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if socks else []
        self.control.sendmsg([frame(content)], extra)
        for sock in socks:
            sock.close()

    def message(self):
        return self.messages.get(timeout=TIMEOUT)

    def channel(self, session=None):
        if session is None:
            self.sessions += 1
            session = self.sessions
        requests, their_requests = socket.socketpair()
        answers, their_answers = socket.socketpair()
        self.send(("channel",), their_answers, their_requests)
        return Channel(requests, answers, session)

    def record(self, wanted):
        """The first record for which `wanted` is true."""
        while True:
            record = self.records.get(timeout=TIMEOUT)
            if wanted(record):
                return record

    def close(self):
        for sock in (self.control, self._log):
            try:
                sock.shutdown(2)
            except OSError:
                pass
            sock.close()
        self.process.wait(timeout=TIMEOUT)
        try:
            os.killpg(self.process.pid, 9)
        except ProcessLookupError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def service(name, module, classname, **more):
    return dict(name=name, module=module, classname=classname, **more)


def start(*services, **settings):
    return Worker(services, path=[DRIVERS], **settings)


def probe(**more):
    return service("lab.probe", "standard", "Probe", **more)


def wait_for(condition, seconds=TIMEOUT):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "in vain"
        time.sleep(0.01)


def raises(cls, channel, member, *args, service="lab.probe", kind=CALL, **more):
    with pytest.raises(Raised) as caught:
        channel.operation(kind, service, member, args, **more)
    state = caught.value.state
    assert state["__class__"] == cls
    return state["args"][0] if state["args"] else ""


# -- services of members.py -----------------------------------------------------------------------


def loaded(worker, name="lab.x"):
    kind, _, members, remarks = worker.loaded[name]
    assert kind == "loaded"
    return set(members["methods"]), set(members["attrs"]), remarks


def single(classname, expose="all", **more):
    more.setdefault("instancemode", "single")
    return service("lab.x", "members", classname, expose=expose, **more)


class PartsDaemon:
    """The daemon's part in the serving of parts."""

    def __init__(self, worker, refused=()):
        self.worker, self.refused, self.parts, self.asked, self.told = worker, refused, {}, [], []
        self.fails = False
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self):
        while True:
            message = self.worker.messages.get()
            if message[0] != "ask":
                self.told.append(message)
                if message[0] in ("loaded", "failed"):
                    self.worker.loaded.setdefault(message[1], message)
                continue
            _, number, what, arguments = message
            if what == "location":
                value = ["localhost:77", None, None]
            else:
                self.asked.append(arguments)
                listed = arguments[1]
                self.parts = {name: listed[name] for name in listed if name not in self.refused}
                value = [["lock"], {name: "taken" for name in self.refused if name in listed}]
            self.worker.send(("answer", number, not self.fails, "it fails" if self.fails else value))


def served(spec, refused=()):
    worker = start()
    daemon = PartsDaemon(worker, refused)
    worker.send(("load", [spec]))
    wait_for(lambda: spec["name"] in worker.loaded)
    return worker, daemon


def wait_for_members(daemon):
    """The members that an instance has shown since its service was loaded."""
    found = lambda: [message for message in daemon.told if message[0] == "members"]
    wait_for(found)
    return found()[-1][2]
