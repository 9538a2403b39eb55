"""PyroLab's own LockableDaemon in a process of its own, to compare with.

Run as a script it serves one class, prints the URIs of its object and of itself, and ends when its
standard input closes, so that it never outlives its test.
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


@contextlib.contextmanager
def pyrolab_daemon(module, classname):
    """The URIs (object, daemon) of `module.classname`, served by PyroLab with one instance."""
    from .lab import interpreter

    path = os.pathsep.join([str(TESTS), str(TESTS / "drivers")])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYRO")}
    process = subprocess.Popen(
        [interpreter(), "-P", __file__, module, classname],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=environment | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        line = process.stdout.readline()
        assert line, f"PyroLab's daemon exited {process.wait()} before it was ready"
        yield json.loads(line)
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def serve(module, classname):
    from pyrolab.server import LockableDaemon, change_behavior

    cls = getattr(importlib.import_module(module), classname)
    change_behavior(cls, "single")
    daemon = LockableDaemon()
    uris = [str(daemon.register(cls)), str(daemon.register(daemon))]
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    print(json.dumps(uris), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(*sys.argv[1:])
