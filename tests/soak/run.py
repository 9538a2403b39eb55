"""The run of a soak: its lab, its threads, and its report."""

import random
import subprocess
import threading
import time

from harness.lab import new_lab
from harness.ports import free_port

from . import checks, clients, faults
from .shim import Shim
from .slopes import Slopes

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: localhost, ns_port: $port, broadcast: false, storage: sql, $kept}
daemons:
  bench: {classname: LockableDaemon, nameservers: [local], threadpool_size: 60, $kept}
  turns: {classname: LockableDaemon, servertype: multiplex, nameservers: [local], $kept}
  calm: {classname: LockableDaemon, nameservers: [local], threadpool_size: 60}
services:
  soak.bench: {$soaked, daemon: bench, arguments: {record: "$record/soak.bench"}, lock_idle: 2s, audit: calls, $common}
  soak.session: {$soaked, daemon: bench, arguments: {record: "$record/soak.session"}, instancemode: session, $common}
  soak.turns: {$soaked, daemon: turns, arguments: {record: "$record/soak.turns"}, instancemode: single, $common}
  soak.calm: {$soaked, daemon: calm, arguments: {record: "$record/soak.calm"}, instancemode: single, audit: calls, $still}
  soak.supply: {native: simulated.power_supply, daemon: calm, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench, turns, calm]}
"""
SOAKED = "module: soaked, classname: Instrument"
# They are killed far more often than any instrument of a lab.
KEPT = "supervision: {backoff: [0.2], give_up_after: 0}"
# Of `calm`: the same in each version of the file, so that it is not restarted.
STILL = "nameservers: [local], on_disconnect: [off], read_while_locked: [level]"
COMMON = "nameservers: [local], on_disconnect: [off], read_while_locked: [level], description: $description"
# Services with a record of their calls.
RECORDED = ["soak.bench", "soak.session", "soak.turns", "soak.calm"]
# Daemons, their names as those of services.
NAMES = [*RECORDED, "soak.supply", "bench", "turns", "calm"]
# The share of a run before which growth is not looked at.
WARM_UP = 0.3
# Seconds for a client's last call to end.
LAST_CALLS = 120


class Soak:
    """State that the threads of a run share."""

    def __init__(self, lab, seed, seconds, is_harsh):
        self.lab, self.seed, self.seconds = lab, seed, seconds
        self.port = free_port()
        self.records = lab.folder / "records"
        self.records.mkdir()
        self.over = threading.Event()
        # Set while the lab is being looked at: no fault then.
        self.calm = threading.Event()
        self.tally = checks.Tally()
        self.uris = {}
        self._reloads = 0
        self.disk = None
        # The short soak of the ordinary tests has other things to judge than a machine's clock.
        self.shim = Shim.of(lab) if is_harsh else None

    def random(self, name):
        """The random numbers of one thread."""
        return random.Random(f"{self.seed} {name}")

    def write_configuration(self):
        """Writes the configuration, each time a little different."""
        self._reloads += 1
        common = COMMON.replace("$description", f"number {self._reloads}")
        values = {"soaked": SOAKED, "kept": KEPT, "still": STILL, "common": common, "record": str(self.records), "port": self.port}
        text = CONFIGURATION
        for key, value in values.items():
            text = text.replace(f"${key}", str(value))
        return self.lab.write(text, "soak.yaml")

    def mount_disk(self):
        """A small disk for the audit, where this user may mount one."""
        folder = self.lab.home / "audit"
        folder.mkdir(mode=0o700)
        mount = ["mount", "-t", "tmpfs", "-o", "size=96m,mode=700", "ferrolab-soak", str(folder)]
        if subprocess.run(mount, capture_output=True).returncode == 0:
            self.disk = folder

    def unmount_disk(self):
        if self.disk is not None:
            subprocess.run(["umount", "-l", str(self.disk)], check=False)


def soak(seconds, seed, say=print, is_harsh=True):
    """Runs a soak, with clocks that jump and writes that fail if `is_harsh`; returns its faults,
    each as a sentence.
    """
    say(f"soak for {seconds:.0f} s, seed {seed}")
    with new_lab() as lab:
        run = Soak(lab, seed, seconds, is_harsh)
        run.mount_disk()
        try:
            return _soak(run, say)
        finally:
            run.over.set()
            run.unmount_disk()


def _soak(run, say):
    lab = run.lab
    lab.run("config", "update", run.write_configuration())
    lab.up()
    lab.wait_for_names(run.port, NAMES)
    run.uris = {name: lab.uri(name) for name in [*RECORDED, "soak.supply"]}
    slopes = Slopes(lab)
    slopes.look()
    threads = [threading.Thread(target=body, name=name) for name, body in clients.bodies(run) + faults.bodies(run)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    while (passed := time.monotonic() - begun) < run.seconds and not run.tally.faults:
        run.over.wait(min(5.0, run.seconds / 10))
        slopes.look(is_warm=passed > WARM_UP * run.seconds)
        checks.check_records(run)
    run.over.set()
    for thread in threads:
        thread.join(LAST_CALLS)
        if thread.is_alive():
            run.tally.fault(f"{thread.name} has not ended within {LAST_CALLS} s")
    if run.shim is not None:
        run.shim.rest()
        run.tally.counts["fault: writes that have failed"] = run.shim.failed()
    checks.check_end(run, NAMES)
    slopes.look(is_warm=True)
    for line in [*run.tally.report(), *slopes.report()]:
        say(line)
    lab.run("down", "--force", check=False)
    checks.check_down(run)
    return run.tally.faults
