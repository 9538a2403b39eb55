"""A client in its own process that holds a lock and can be killed."""

import json
import os
import subprocess
from pathlib import Path

from .lab import interpreter

CLIENT = Path(__file__).resolve().parent.parent / "clients" / "lock_client.py"


class Holder:
    """Runs `lock_client.py`; `prefix` is what to run it with, in another namespace for example."""

    def __init__(self, uri, user, prefix=(), **options):
        self.process = subprocess.Popen(
            [*prefix, interpreter(), str(CLIENT), str(uri), "hold", user, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={k: v for k, v in os.environ.items() if not k.startswith("PYRO")},
        )

    @classmethod
    def having(cls, uri, user, **options):
        """One that has the lock."""
        holder = cls(uri, user, **options)
        outcome = holder.answer()
        assert outcome == ["returned", True], outcome
        return holder

    def answer(self):
        """The outcome of its last command; at first, of its `lock`."""
        line = self.process.stdout.readline()
        assert line, f"the client exited {self.process.wait()}"
        return json.loads(line)

    def tell(self, method, *args):
        """Makes it call a method; does not wait for what comes of it."""
        self.process.stdin.write(json.dumps([method, *args]) + "\n")
        self.process.stdin.flush()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()
