"""Processes that are measured: their cores, their processor time, their memory. Linux only."""

import contextlib
import os
import time
from pathlib import Path


def tree(pid):
    """A process and its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    return found


def pin(pid, cores):
    """Keeps every thread of a process and of its descendants on these cores."""
    for process in tree(pid):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{process}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(task.name), cores)


def cpu_seconds(pid):
    """Processor time of a process and its living descendants, threads that have ended included."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            # The kernel's number of a process's own clock, in nanoseconds: /proc counts in
            # hundredths of a second, which is a whole percent of a round.
            total += time.clock_gettime_ns(~process << 3 | 2)
    return total / 1e9


def rss_mib(pid):
    """Resident memory of one process."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return None
