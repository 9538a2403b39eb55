"""Whole programs, server classes and client scripts, run against Pyro5 and against a lab.

A program is a folder of `tests/programs`: `server.py` with its classes, `client.py` which prints
what it sees, and perhaps a `model.py` that both import. Neither knows which daemon serves it: the
client finds its services in the nameserver that its environment names.

Run as a script this is the stock side: a nameserver and a daemon with the services of one program.
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parent.parent
PROGRAMS = TESTS / "programs"


class Served(NamedTuple):
    """A class of a program, and what the nameserver knows of it."""

    classname: str
    description: str = ""


def _environment(**more):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYRO", "FERROLAB_"))}
    return environment | {"PYTHONDONTWRITEBYTECODE": "1"} | more


@contextlib.contextmanager
def stock_program(program, services):
    """Pyro5 serving a program; the port of its nameserver."""
    from .lab import interpreter

    rows = {name: tuple(served) for name, served in services.items()}
    process = subprocess.Popen(
        [interpreter(), "-P", __file__, program, json.dumps(rows)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        env=_environment(PYTHONPATH=str(TESTS)),
    )
    try:
        port = process.stdout.readline().strip()
        assert port, f"the stock server of {program} exited {process.wait()}"
        yield int(port)
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def run_client(program, ns_port, timeout=90):
    """The lines that a program's client prints against the nameserver at `ns_port`."""
    from .lab import interpreter
    from .outcome import scrub

    result = subprocess.run(
        [interpreter(), "client.py"],
        cwd=PROGRAMS / program,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=_environment(PYRO_NS_HOST="localhost", PYRO_NS_PORT=str(ns_port)),
        timeout=timeout,
    )
    lines = scrub(result.stdout).splitlines()
    return lines + [f"exit code {result.returncode}"]


def _serve(program, rows):
    import Pyro5.api
    import Pyro5.nameserver

    uri, ns_daemon, _ = Pyro5.nameserver.start_ns("localhost", 0, enableBroadcast=False)
    threading.Thread(target=ns_daemon.requestLoop, daemon=True).start()
    daemon = Pyro5.api.Daemon(host="localhost")
    module = importlib.import_module(f"programs.{program}.server")
    with Pyro5.api.Proxy(uri) as ns:
        for name, (classname, description) in rows.items():
            served = daemon.register(getattr(module, classname), name)
            ns.register(name, served, metadata={description} if description else None)
    print(uri.port, flush=True)
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1], json.loads(sys.argv[2]))
