"""Processes that are measured: their cores, their processor time, their memory. Linux only."""

import contextlib
import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


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
            # Behind the command's name, which may hold anything.
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / _TICK


def rss_mib(pid):
    """Resident memory of one process."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return None
