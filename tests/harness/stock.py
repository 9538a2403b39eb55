"""Stock servers, Pyro5's and PyroLab's, in separate processes, to compare with.

Run as a script it is such a server: it prints its URIs as one line of JSON, serves, and ends when
its standard input closes, so that it never outlives its test.
"""

import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent


class StockServer:
    """A running stock server and the URIs of what it serves.

    `kind` is a function of this module that begins with `_serve_`, and `arguments` are its own.
    """

    def __init__(self, kind, *arguments, stderr=None, prefix=()):
        from .lab import interpreter

        path = os.pathsep.join([str(TESTS), str(TESTS / "drivers")])
        self.process = subprocess.Popen(
            [*prefix, interpreter(), "-P", __file__, kind, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
            env=plain_environment(PYTHONPATH=path),
        )
        line = self.process.stdout.readline()
        assert line, f"the stock server exited {self.process.wait()} before it was ready"
        self.uris = json.loads(line)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def plain_environment(**more):
    """Our own environment, without what would tell a child of another lab."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("PYRO", "FERROLAB_"))}
    return ours | {"PYTHONDONTWRITEBYTECODE": "1"} | more


@contextlib.contextmanager
def stock_daemon(services, address=None, **settings):
    """A Pyro5 daemon that serves `services` (name -> `Service`) under their names.

    `address` has the arguments of Pyro5's `Daemon`, `settings` are those of `Pyro5.config`.
    """
    rows = {name: service._asdict() for name, service in services.items()}
    address = address or {"host": "localhost"}
    with contextlib.closing(StockServer("daemon", rows, address, settings)) as server:
        yield server


@contextlib.contextmanager
def stock_nameserver(prefix=(), **settings):
    """Pyro5's own nameserver on localhost, in memory; `settings` are those of its `start_ns`.
    `prefix` is what to run it with, in another network namespace for example.

    `config` in them is for Pyro5's own settings, by their names; `pace` is how long, in seconds, it
    takes over each lookup and removal.
    """
    with contextlib.closing(StockServer("nameserver", settings, prefix=prefix)) as server:
        yield server


@contextlib.contextmanager
def stock_program(program, services):
    """Pyro5 serving a program of `tests/programs`; the port of its nameserver."""
    rows = {name: tuple(served) for name, served in services.items()}
    # The client prints the errors of its classes.
    server = StockServer("program", program, rows, stderr=subprocess.DEVNULL)
    with contextlib.closing(server):
        yield server.uris["port"]


@contextlib.contextmanager
def pyrolab_daemon(module, classname):
    """The URIs (object, daemon) of `module.classname`, served by PyroLab with one instance."""
    with contextlib.closing(StockServer("lockable", module, classname)) as server:
        yield server.uris["object"], server.uris["daemon"]


# In the server's own process: each tells what is served, and the daemons to serve it.


def _serve_daemon(services, address, settings):
    import Pyro5.api

    for key, value in settings.items():
        setattr(Pyro5.config, key, value)
    daemon = Pyro5.api.Daemon(**address)
    uris = {}
    for name, row in services.items():
        driver = getattr(importlib.import_module(row["module"]), row["classname"])
        # As PyroLab does it: a separate class for each service, so that two services of one
        # driver do not share their settings.
        served = type(driver.__name__, (driver,), {"__module__": driver.__module__})
        served._pyroInstancing = (row["instancemode"], None)
        if row["parameters"]:
            served._autoconnect_params = row["parameters"]
        uris[name] = str(daemon.register(served, name))
    return uris, [daemon]


def _slow_down(nameserver, seconds):
    """Makes it as slow as a busy host's disk does."""
    for name in ("lookup", "remove") if seconds else ():
        quick = getattr(nameserver, name)

        @functools.wraps(quick)
        def slow(*args, quick=quick, **kwargs):
            threading.Event().wait(seconds)
            return quick(*args, **kwargs)

        setattr(nameserver, name, slow)


def _serve_nameserver(settings):
    import Pyro5.api
    import Pyro5.nameserver

    settings = {"host": "localhost", "port": 0, "enableBroadcast": False, **settings}
    for name, value in settings.pop("config", {}).items():
        setattr(Pyro5.config, name, value)
    _slow_down(Pyro5.nameserver.NameServer, settings.pop("pace", 0))
    uri, daemon, discovery = Pyro5.nameserver.start_ns(**settings)
    told = {"nameserver": str(uri)}
    if discovery is not None:
        discovery.runInThread()
        told["broadcast"] = discovery.getPort()
    return told, [daemon]


def _serve_program(program, services):
    import Pyro5.api
    import Pyro5.nameserver

    uri, ns_daemon, _ = Pyro5.nameserver.start_ns("localhost", 0, enableBroadcast=False)
    threading.Thread(target=ns_daemon.requestLoop, daemon=True).start()
    daemon = Pyro5.api.Daemon(host="localhost")
    module = importlib.import_module(f"programs.{program}.server")
    with Pyro5.api.Proxy(uri) as ns:
        for name, (classname, description) in services.items():
            served = daemon.register(getattr(module, classname), name)
            ns.register(name, served, metadata={description} if description else None)
    return {"port": uri.port}, [daemon]


def _serve_lockable(module, classname):
    from pyrolab.server import LockableDaemon, change_behavior

    cls = getattr(importlib.import_module(module), classname)
    change_behavior(cls, "single")
    daemon = LockableDaemon()
    return {"object": str(daemon.register(cls)), "daemon": str(daemon.register(daemon))}, [daemon]


def _main(kind, arguments):
    told, daemons = globals()[f"_serve_{kind}"](*json.loads(arguments))
    for daemon in daemons:
        threading.Thread(target=daemon.requestLoop, daemon=True).start()
    print(json.dumps(told), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _main(*sys.argv[1:])
