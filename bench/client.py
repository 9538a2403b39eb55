"""A client that calls one method over and over: `client.py JOB`, a line of JSON.

The client is Pyro5's; with `"client": "ours"` it is Ferrolab's, and with `"client": "raw"` a bare
socket, for a `raw_server`. It prints what `bench/load` prints of its calls.
"""

import contextlib
import json
import math
import os
import socket
import struct
import sys
import time
from pathlib import Path


@contextlib.contextmanager
def pyro5(job):
    """Pyro5's client."""
    import Pyro5.api

    Pyro5.config.SERIALIZER = job.get("serializer", "serpent")
    with Pyro5.api.Proxy(f"PYRO:{job['object']}@{job['address']}") as proxy:
        yield getattr(proxy, job["method"])


@contextlib.contextmanager
def ours(job):
    """Ferrolab's client."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
    import ferrolab

    with ferrolab.Proxy(f"PYRO:{job['object']}@{job['address']}") as proxy:
        yield getattr(proxy, job["method"])


@contextlib.contextmanager
def raw(job):
    """A bare socket that receives an answer into new memory, as an array has it."""
    import numpy

    host, port = job["address"].rsplit(":", 1)
    request, answer = bytes(job["raw"]["request"]), job["raw"]["answer"]
    with socket.create_connection((host, int(port))) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(struct.pack("!QQ", len(request), answer))

        def exchange(*_):
            sock.sendall(request)
            view, filled = memoryview(numpy.empty(answer, "u1")), 0
            while filled < answer:
                filled += sock.recv_into(view[filled:])

        yield exchange


CLIENTS = {"pyro5": pyro5, "ours": ours, "raw": raw}


def main():
    job = json.loads(sys.argv[1])
    if job.get("core") is not None:
        os.sched_setaffinity(0, {job["core"]})
    times = []
    with CLIENTS[job.get("client", "pyro5")](job) as method:
        args = job.get("args", [])
        warm = time.perf_counter() + job.get("warmup", 0.0)
        method(*args)
        while time.perf_counter() < warm:
            method(*args)
        started = now = time.perf_counter()
        end = started + job["seconds"]
        while now < end or not times:
            before = now
            method(*args)
            now = time.perf_counter()
            times.append(now - before)
    times.sort()

    def percentile(percent):
        return times[max(math.ceil(percent / 100 * len(times)) - 1, 0)] * 1e6

    report = {"calls": len(times), "seconds": now - started, "per_second": len(times) / (now - started)}
    report |= {"p50_us": percentile(50), "p99_us": percentile(99), "max_us": percentile(100)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
