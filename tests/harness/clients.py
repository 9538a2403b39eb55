"""Our Python client against every server that it has to get on with.

`every_server` runs a test against Pyro5's daemon, PyroLab's and ours, over TCP and a Unix socket.
"""

import contextlib
import itertools
import os
import shutil
import signal
import tempfile
from pathlib import Path

import ferrolab
import pytest

from .lab import SHORT_TMP
from .sides import Service, Side, both_sides
from .stock import pyrolab_daemon
from .wait import NEVER

SERVICES = {"t.wire": Service("wire", "Wire", "single")}
SERVERS = ["Pyro5 tcp", "Pyro5 unix", "PyroLab tcp", "Ferrolab tcp", "Ferrolab unix"]
every_server = pytest.mark.parametrize("server", SERVERS, indirect=True)


class Server:
    """One server: `connect()` is a proxy of ours for its service, `stock()` one of Pyro5's."""

    def __init__(self, name, side):
        self.name = name
        self.ours = name.startswith("Ferrolab")
        # Whether a driver may register objects while it runs.
        self.registers = not name.startswith("PyroLab")
        self.side = side
        self.uri = side.uris["t.wire"]

    def connect(self, **settings):
        return ferrolab.Proxy(self.uri, **{"timeout": NEVER, "connect_timeout": NEVER, **settings})

    def stock(self, **settings):
        return self.side.proxy("t.wire", **settings)


@contextlib.contextmanager
def every_server_running():
    """The servers by their names."""
    folder = tempfile.mkdtemp(prefix="fl-", dir=SHORT_TMP)
    number = itertools.count()

    def socket_address():
        return {"unixsocket": str(Path(folder) / f"{next(number)}.sock")}

    try:
        with both_sides(SERVICES) as tcp, both_sides(SERVICES, socket_address) as unix:
            with pyrolab_daemon("wire", "Wire") as (uri, _):
                running = [("tcp", tcp.stock), ("tcp", tcp.ours), ("unix", unix.stock), ("unix", unix.ours)]
                running.append(("tcp", Side("PyroLab", {"t.wire": uri})))
                yield {f"{side.name} {kind}": Server(f"{side.name} {kind}", side) for kind, side in running}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def interrupted_by_alarm():
    """SIGALRM raises KeyboardInterrupt, as Ctrl-C does; yields a function that sends it soon."""

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def in_a_fork(function):
    """Runs `function` in a forked child; its exit code is what `function` returned."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = function()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
