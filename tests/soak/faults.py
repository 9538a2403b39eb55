"""Faults and operators of the soak: kills, stops, cuts, full disks, clocks, reloads, breaks."""

import os
import signal
import socket
import struct
import threading

import Pyro5.api
import Pyro5.errors
from harness import processes

from .clients import EXPECTED

# Seconds between two faults of a kind, at the most; the first one comes early in a short run.
PAUSES = {"kill": 10.0, "pause": 5.0, "cut": 0.3, "operate": 1.0, "fill": 20.0, "jump": 15.0, "fail": 2.0}
# Commands of an operator, each with the exit codes that it may have here.
COMMANDS = [
    (["ps"], (0,)),
    (["status"], (0, 1)),
    (["locks"], (0,)),
    (["calls"], (0,)),
    (["audit", "--last", "20"], (0,)),
    (["calls", "--history", "--last", "20"], (0,)),
    (["unlock", "--break", "soak.bench", "--reason", "soak"], (0, 1)),
    (["unlock", "--break", "soak.calm", "--reason", "soak"], (0, 1)),
    (["restart", "soak.bench"], (0, 1)),
    (["restart", "soak.turns", "--force"], (0, 1)),
    (["restart", "daemon", "turns", "--force"], (0, 1)),
    (["config", "check", "soak.yaml"], (0,)),
    (["reload"], (0, 1)),
    (["change"], (0, 1)),
    (["spoil"], (1,)),
]
# Jumps of the wall clock, in seconds from the right time: minutes, a day, over the end of a month.
JUMPS = [0, 0, 300, -300, 86_400, -86_400, 40 * 86_400, -40 * 86_400]
# Writes until one fails.
WRITES = 60
# The processes that are killed and stopped; `calm` and the supervisor live throughout.
HARMED = ["run daemon bench", "run daemon turns", "run nameserver local"]


def bodies(run):
    """Names and functions of the faults' threads."""
    kinds = [("kill", _kill), ("pause", _pause), ("cut", _cut), ("operate", _operate), ("fill", _fill)]
    if run.shim is not None:
        kinds += [("jump", _jump), ("fail", _fail)]
    return [(name, lambda name=name, body=body: _again(run, name, body)) for name, body in kinds]


def _again(run, name, body):
    random = run.random(name)
    longest = min(PAUSES[name], run.seconds / 5)
    while not run.over.wait(random.random() * longest):
        try:
            body(run, random)
        except EXPECTED as error:
            run.tally.count(f"{name}: {type(error).__name__}")
        except Exception:
            run.tally.unexpected(name)


def _target(run, random):
    """A process to harm: a daemon, a nameserver, or the Python worker of one."""
    found = run.lab.processes()
    parents = [one for one in found if any(words in one.command for words in HARMED)]
    daemons = {one.pid for one in parents if "daemon" in one.command}
    workers = [one for one in found if one.parent in daemons and " -c " in one.command]
    return random.choice([*parents, *workers] or [None])


def _kill(run, random):
    target = _target(run, random)
    if target is not None:
        os.kill(target.pid, signal.SIGKILL)
        run.tally.count("fault: SIGKILL")


def _pause(run, random):
    target = _target(run, random)
    if target is None:
        return
    os.kill(target.pid, signal.SIGSTOP)
    run.tally.count("fault: SIGSTOP")
    threading.Event().wait(random.random() * 2)
    if processes.alive(target.pid):
        os.kill(target.pid, signal.SIGCONT)


def _cut(run, random):
    """A connection that ends at some place of a conversation, or says something else."""
    uri = Pyro5.api.URI(random.choice(list(run.uris.values())))
    with socket.create_connection((uri.host, uri.port), timeout=10) as connection:
        connection.sendall(random.choice([b"", b"PYRO", random.randbytes(60), b"\x16\x03\x01" + random.randbytes(40)]))
        if random.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        run.tally.count("fault: a connection is cut")


def _fill(run, random):
    """The audit's disk is full for a moment."""
    if run.disk is None:
        return
    filler = run.disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
        run.tally.count("fault: a full disk")
        run.over.wait(random.random() * 3)
    filler.unlink()


def _jump(run, random):
    run.shim.jump(random.choice(JUMPS) + random.random())
    run.tally.count("fault: a clock jumps")


def _fail(run, random):
    run.shim.fail_write(1 + random.randrange(WRITES))
    run.tally.count("fault: a write is to fail")


def _operate(run, random):
    words, codes = random.choice(COMMANDS)
    lab = run.lab
    if words == ["change"]:
        lab.run("config", "update", run.write_configuration(), check=False)
        words = ["reload", "--force"]
    elif words == ["spoil"]:
        file = lab.home / "config.yaml"
        good = file.read_text()
        file.write_text(good.replace("instancemode: single", "instancemode: singel"))
        result = lab.run("reload", check=False, timeout=120)
        file.write_text(good)
        return _judge(run, ["reload of a broken file"], result, codes)
    _judge(run, words, lab.run(*words, check=False, timeout=120), codes)


def _judge(run, words, result, codes):
    run.tally.count(f"command: {words[0]}")
    if result.returncode not in codes or "panicked" in result.text:
        run.tally.fault(f"{' '.join(words)} exited {result.returncode}: {result.text[-800:]}")
