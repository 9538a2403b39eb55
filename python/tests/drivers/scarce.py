"""A driver that leaves nothing of what its process has."""

import os
import resource
import threading

STARTERS = [name for name in ("_start_new_thread", "_start_joinable_thread")
            if hasattr(threading, name)]
real = {name: getattr(threading, name) for name in STARTERS}
kept = []


def refuse(*_, **__):
    raise RuntimeError("can't start new thread")


class Scarce:
    """Its threads and file descriptors."""

    def fine(self):
        return "fine"

    def threads(self, there_are):
        for name in STARTERS:
            setattr(threading, name, real[name] if there_are else refuse)

    def descriptors(self, left):
        resource.setrlimit(resource.RLIMIT_NOFILE, (700, 700))
        while kept and left > 10:
            os.close(kept.pop())
        try:
            while left <= 10:
                kept.append(os.dup(2))
        except OSError:
            for _ in range(left):
                os.close(kept.pop())
