"""Stock Pyro5 servers in processes of their own, to compare with.

Run as a script it is such a server: it prints its URIs as one line of JSON, serves, and ends when
its standard input closes, so that it never outlives its test.
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent


class StockServer:
    """A running stock server and the URIs of what it serves."""

    def __init__(self, specification):
        from .lab import interpreter

        path = os.pathsep.join([str(TESTS), str(TESTS / "drivers")])
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYRO")}
        self.process = subprocess.Popen(
            [interpreter(), "-P", __file__, json.dumps(specification)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=environment | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
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


@contextlib.contextmanager
def stock_daemon(services, **settings):
    """A Pyro5 daemon that serves `services` (name -> `Service`) under their names.

    `settings` are those of `Pyro5.config`.
    """
    rows = {name: service._asdict() for name, service in services.items()}
    specification = {"services": rows, "settings": settings}
    with contextlib.closing(StockServer(specification)) as server:
        yield server


@contextlib.contextmanager
def stock_nameserver(**settings):
    """Pyro5's own nameserver on localhost, in memory; `settings` are those of its `start_ns`.

    `config` in them is for Pyro5's own settings, by their names.
    """
    with contextlib.closing(StockServer({"nameserver": settings})) as server:
        yield server


def _serve(specification):
    import Pyro5.api
    import Pyro5.nameserver

    for key, value in specification.get("settings", {}).items():
        setattr(Pyro5.config, key, value)
    if "nameserver" in specification:
        settings = {"host": "localhost", "port": 0, "enableBroadcast": False}
        settings |= specification["nameserver"]
        for name, value in settings.pop("config", {}).items():
            setattr(Pyro5.config, name, value)
        uri, daemon, discovery = Pyro5.nameserver.start_ns(**settings)
        if discovery is not None:
            discovery.runInThread()
        uris = {"nameserver": str(uri)}
    else:
        daemon = Pyro5.api.Daemon(host="localhost")
        uris = {}
        for name, row in specification["services"].items():
            driver = getattr(importlib.import_module(row["module"]), row["classname"])
            # As PyroLab does it: a class of its own for each service, so that two services of
            # one driver do not share their settings.
            served = type(driver.__name__, (driver,), {"__module__": driver.__module__})
            served._pyroInstancing = (row["instancemode"], None)
            if row["parameters"]:
                served._autoconnect_params = row["parameters"]
            uris[name] = str(daemon.register(served, name))
    print(json.dumps(uris), flush=True)
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
