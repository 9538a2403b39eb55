"""Whole programs, server classes and client scripts, run against Pyro5 and against a lab.

A program is a folder of `tests/programs`: `server.py` with its classes, `client.py` which prints
what it sees, and perhaps a `model.py` that both import. Neither knows which daemon serves it: the
client finds its services in the nameserver that its environment names.
"""

import subprocess
from pathlib import Path
from typing import NamedTuple

from .lab import interpreter
from .outcome import scrub
from .stock import plain_environment

TESTS = Path(__file__).resolve().parent.parent
PROGRAMS = TESTS / "programs"


class Served(NamedTuple):
    """A class of a program, and what the nameserver knows of it."""

    classname: str
    description: str = ""


def run_client(program, ns_port, timeout=90):
    """The lines that a program's client prints against the nameserver at `ns_port`."""
    result = subprocess.run(
        [interpreter(), "client.py"],
        cwd=PROGRAMS / program,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=plain_environment(PYRO_NS_HOST="localhost", PYRO_NS_PORT=str(ns_port)),
        timeout=timeout,
    )
    lines = scrub(result.stdout).splitlines()
    return lines + [f"exit code {result.returncode}"]
