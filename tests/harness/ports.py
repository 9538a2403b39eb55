"""TCP ports that nobody listens on.

Below the ranges from which the kernel and our daemons take free ports, so that nothing takes one
between the look and the use, and apart for each pytest worker.
"""

import itertools
import os
import random
import socket

FIRST, PER_WORKER, WORKERS = 12000, 500, 16


def _candidates():
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").lstrip("gw") or 0) % WORKERS
    start = random.SystemRandom().randrange(PER_WORKER)
    for offset in itertools.count(start):
        yield FIRST + worker * PER_WORKER + offset % PER_WORKER


_next = _candidates()


def free_port():
    """A port of localhost that is free in IPv4 and has not been handed out before."""
    for port in itertools.islice(_next, PER_WORKER):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port in this worker's range")
