"""A separate host for clients: a network namespace, whose cable can be pulled.

Needs Linux, root and iproute2; `network` skips the test elsewhere, saying so.
"""

import contextlib
import itertools
import os
import random
import shutil
import subprocess

import pytest


# Networks apart for each pytest worker, as ports are.
PER_WORKER, WORKERS = 15, 16


def _numbers():
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").lstrip("gw") or 0) % WORKERS
    start = random.SystemRandom().randrange(PER_WORKER)
    for offset in itertools.count(start):
        yield 1 + worker * PER_WORKER + offset % PER_WORKER


_number = _numbers()


class Network:
    """A namespace and the cable to it."""

    def __init__(self, name, number):
        self.name = name
        self.here = f"10.213.{number}.1"
        self.there = f"10.213.{number}.2"
        self.prefix = ["ip", "netns", "exec", name]

    def pull(self):
        """From now on no packet goes through, and neither side is told."""
        self._there("link", "set", f"{self.name}t", "down")

    def plug(self):
        self._there("link", "set", f"{self.name}t", "up")

    def _there(self, *words):
        ip("-n", self.name, *words)


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


def require_namespaces():
    """Skips the test where network namespaces cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if shutil.which("ip") is None and shutil.which("apt-get") is not None:
        subprocess.run(["apt-get", "install", "-y", "iproute2"], capture_output=True)
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need iproute2: apt-get install iproute2")
    probe = f"fl-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, encoding="utf-8")
    if made.returncode != 0:
        pytest.skip(f"network namespaces are not allowed here: {made.stderr.strip()}")
    ip("netns", "del", probe)


@contextlib.contextmanager
def network():
    require_namespaces()
    number = next(_number)
    name = f"fl{number}x{os.getpid() % 10000}"
    ip("netns", "add", name)
    try:
        net = Network(name, number)
        ip("link", "add", f"{name}h", "type", "veth", "peer", "name", f"{name}t")
        ip("link", "set", f"{name}t", "netns", name)
        ip("addr", "add", f"{net.here}/24", "dev", f"{name}h")
        ip("link", "set", f"{name}h", "up")
        ip("-n", name, "addr", "add", f"{net.there}/24", "dev", f"{name}t")
        net.plug()
        yield net
    finally:
        # That removes the cable as well.
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
