"""The processes of a test, found by what they carry in their environment.

All processes of a lab inherit the variable that its test set, so that a new session, a double fork
or a dead parent hides none.
"""

import contextlib
import os
import random
import signal
from pathlib import Path
from typing import NamedTuple

from .wait import wait_for

# Seconds between two looks at files that change quickly.
BRIEF = 0.001


class Process(NamedTuple):
    pid: int
    parent: int
    command: str

    def __str__(self):
        return f"{self.pid} (child of {self.parent}): {self.command}"


def carrying(*variables):
    """The living processes with one of `variables` ("NAME=value") in their environment."""
    wanted = {variable.encode() for variable in variables}
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            if wanted.isdisjoint(environment):
                continue
            found.append(describe(int(folder.name)))
        except (OSError, ValueError):
            continue  # it ended while we looked, or is not ours to read
    return found


def describe(pid):
    """The process `pid`; `ValueError` or `OSError` if it does not exist or is a zombie."""
    folder = Path("/proc") / str(pid)
    # The fields after the command's name, which is in parentheses and may hold anything.
    state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
    if state in "ZX":
        raise ValueError(f"{pid} is dead")
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return Process(pid, int(parent), command.strip())


@contextlib.contextmanager
def stopped(*pids):
    """Processes that do nothing, as on a host that hangs."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            kill(pid, signal.SIGCONT)


def alive(pid):
    try:
        return bool(describe(pid))
    except (OSError, ValueError):
        return False


def age(pid):
    """How many seconds ago the process was started."""
    started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    now = float(Path("/proc/uptime").read_text().split()[0])
    return now - started / os.sysconf("SC_CLK_TCK")


def memory(pid, peak=False):
    """Resident memory in MiB, now or at the most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:" if peak else "VmRSS:")[2].split()[0]) / 1024


def processor_time(pid):
    """Seconds of processor time, to 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kill(pid, with_signal=signal.SIGKILL):
    try:
        os.kill(pid, with_signal)
    except ProcessLookupError:
        pass


def wait_for_some_changes(folder, most, processes):
    """Waits for a random number of changes of the files in `folder`, below `most`, or until all
    `processes` have ended: a moment in the middle of what they write."""
    left, before = random.randrange(most), None

    def changed():
        nonlocal left, before
        now = set()
        for path in Path(folder).rglob("*"):
            with contextlib.suppress(OSError):
                now.add((path, path.lstat().st_mtime_ns, path.lstat().st_size))
        if now != before:
            left, before = left - 1, now
        return left < 0 or all(process.poll() is not None for process in processes)

    wait_for(changed, 30, "files change", interval=BRIEF)


def assert_none_left(variables, timeout, what):
    """Fails, naming them, if processes of the test outlive `timeout`; ends them in any case."""
    try:
        wait_for(lambda: not carrying(*variables), timeout, what)
    except AssertionError:
        left = carrying(*variables)
        for process in left:
            kill(process.pid)
        wait_for(lambda: not carrying(*variables), 10, "the processes left over were killed")
        names = "\n  ".join(str(process) for process in left)
        raise AssertionError(f"{what}, but after {timeout} s these are left:\n  {names}") from None
