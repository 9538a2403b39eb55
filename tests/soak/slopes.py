"""Growth of the lab's processes: memory, file descriptors and threads, as slopes over time."""

import os
import time
from pathlib import Path

from harness import processes

# Samples from which a slope is told.
FEWEST = 5


class Slopes:
    """Samples of each process. One that was killed begins anew."""

    def __init__(self, lab):
        self._lab = lab
        self._samples = {}
        self._first = {}

    def look(self, is_warm=False):
        """Takes a sample of each process; only warm ones count for slopes."""
        now = time.monotonic()
        for process in self._lab.processes():
            key = (_role(process.command), process.pid)
            try:
                sample = (now, *_sizes(process.pid))
            except (OSError, ValueError, IndexError):
                continue  # it has ended
            self._first.setdefault(key, sample)
            if is_warm:
                self._samples.setdefault(key, []).append(sample)

    def report(self):
        """A line for each process that has lived long enough."""
        yield f"{'process':34} {'MiB':>8} {'MiB/h':>8} {'fds':>6} {'fds/h':>8} {'threads':>8} {'thr/h':>8} {'s':>6}"
        for (role, pid), samples in sorted(self._samples.items()):
            if len(samples) < FEWEST:
                continue
            last = samples[-1]
            memory, files, threads = (3600 * _slope(samples, place) for place in (1, 2, 3))
            seconds = last[0] - samples[0][0]
            yield (
                f"{role + ' ' + str(pid):34} {last[1]:8.1f} {memory:8.1f} {last[2]:6} {files:8.1f}"
                f" {last[3]:8} {threads:8.1f} {seconds:6.0f}"
            )


def _role(command):
    words = command.split()
    if "run" in words:
        return " ".join(words[words.index("run") + 1 :][:2])
    return "python worker" if " -c " in command else words[0].rpartition("/")[2][:20]


def _sizes(pid):
    """MiB, open files and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    threads = int(status.partition("Threads:")[2].split()[0])
    return processes.memory(pid), len(os.listdir(f"/proc/{pid}/fd")), threads


def _slope(samples, place):
    """Per second, by least squares."""
    count = len(samples)
    times = sum(sample[0] for sample in samples) / count
    values = sum(sample[place] for sample in samples) / count
    spread = sum((sample[0] - times) ** 2 for sample in samples)
    if not spread:
        return 0.0
    return sum((sample[0] - times) * (sample[place] - values) for sample in samples) / spread
