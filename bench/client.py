"""A stock Pyro5 client that calls one method over and over: `client.py JOB`, a line of JSON.

It prints what `bench/load` prints of its calls.
"""

import json
import math
import os
import sys
import time

import Pyro5.api


def main():
    job = json.loads(sys.argv[1])
    if job.get("core") is not None:
        os.sched_setaffinity(0, {job["core"]})
    Pyro5.config.SERIALIZER = job.get("serializer", "serpent")
    times = []
    with Pyro5.api.Proxy(f"PYRO:{job['object']}@{job['address']}") as proxy:
        method, args = getattr(proxy, job["method"]), job.get("args", [])
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
