"""Invariants of a soak: in the instruments' records, in the answers, and at its end."""

import collections
import threading
import traceback

import Pyro5.api
from harness.outcome import proxy
from harness.wait import wait_for

# Seconds within which a lab is as it was when nobody harms it any longer.
RECOVERY = 60


class Tally:
    """Counts of what happened, and faults as sentences."""

    def __init__(self):
        self._lock = threading.Lock()
        self.counts = collections.Counter()
        self.faults = []
        # Keys of calls that were answered, for each service.
        self.answered = collections.defaultdict(set)
        self._read = {}
        self._ran = collections.defaultdict(collections.Counter)
        self._owners = collections.defaultdict(dict)
        self._epochs = collections.defaultdict(int)

    def count(self, what):
        with self._lock:
            self.counts[what] += 1

    def fault(self, text):
        with self._lock:
            self.faults.append(text)

    def unexpected(self, where):
        """An exception that no fault explains."""
        self.fault(f"{where}: {traceback.format_exc(limit=-4)}")

    def answer(self, service, key, result):
        """A call has returned."""
        self.count("answered")
        if result != key:
            self.fault(f"{service}: a call with {key} was answered {result!r}")
        with self._lock:
            if key in self.answered[service]:
                self.faults.append(f"{service}: {key} was answered twice")
            self.answered[service].add(key)

    def report(self):
        return [f"{what:32} {count}" for what, count in sorted(self.counts.items())]

    def read_record(self, service, path):
        """Looks at what an instrument has written since the last look."""
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._read.get(service, 0))
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read[service] = self._read.get(service, 0) + len(whole)
        for line in whole.decode().splitlines():
            self._line(service, *line.split(" "))

    def _line(self, service, what, *rest):
        if what == "ran":
            self._ran[service][rest[0]] += 1
            if self._ran[service][rest[0]] > 1:
                self.fault(f"{service}: {rest[0]} was carried out twice")
        elif what == "overlap":
            self.fault(f"{service}: a call ran beside {rest[0]}, which had the lock")
        elif what == "drove":
            epoch, who = int(rest[0]), rest[1]
            owner = self._owners[service].setdefault(epoch, who)
            if owner != who:
                self.fault(f"{service}: {owner} and {who} drove in epoch {epoch}")
            if epoch < self._epochs[service]:
                self.fault(f"{service}: epoch {epoch} after {self._epochs[service]}")
            self._epochs[service] = max(epoch, self._epochs[service])

    def missing(self):
        """Answered calls that no instrument has carried out."""
        return {
            service: sorted(keys - set(self._ran[service]))[:3]
            for service, keys in self.answered.items()
            if keys - set(self._ran[service])
        }


def check_records(run):
    for name in run.uris:
        run.tally.read_record(name, run.records / name)


def check_end(run, names):
    """Everything is back: names, locks, calls, health."""
    lab, tally = run.lab, run.tally
    try:
        wait_for(lambda: not _unwell(lab), RECOVERY, "everything runs")
        wait_for(lambda: _names(run.port) == sorted([*names, "Pyro.NameServer"]), RECOVERY, "the names are right")
        wait_for(lambda: not _busy(lab), RECOVERY, "no lock, no waiter and no call is left")
    except AssertionError as error:
        tally.fault(f"after the soak: {error}; {_unwell(lab)}; {_busy(lab)}")
    check_records(run)
    for service, keys in tally.missing().items():
        tally.fault(f"{service}: answered, and not carried out: {keys}")
    for name in run.uris:
        with proxy(lab.uri(name)) as service:
            service._pyroBind()
    result = lab.run("audit", "--verify", check=False)
    if result.returncode:
        tally.fault(f"the audit: {result.text}")


def _unwell(lab):
    listing = lab.ps()
    rows = [row for kind in ("nameservers", "daemons", "services") for row in listing[kind]]
    return [(row["name"], row["status"], row.get("error")) for row in rows if row["status"] != "running"]


def _names(port):
    try:
        with Pyro5.api.Proxy(f"PYRO:Pyro.NameServer@localhost:{port}") as nameserver:
            nameserver.remove(prefix="temp.")
            return sorted(nameserver.list())
    except Pyro5.errors.PyroError:
        return None


def _busy(lab):
    listing = lab.ps()
    locks = [(row["name"], row["lock"]) for row in listing["services"] if row.get("lock")]
    held = [(name, lock) for name, lock in locks if lock["state"] != "free" or lock["waiting"]]
    return held + [call for call in listing["calls"] if call["caller"] != "a health check"]


def check_down(run):
    try:
        run.lab.assert_nothing_left(timeout=15)
    except AssertionError as error:
        run.tally.fault(str(error))
