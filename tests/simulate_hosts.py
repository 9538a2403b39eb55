"""A model of many hosts on one directory: `cargo xtask simulate hosts`.

Real registrars (`ferrolab run simulated-hosts`) without daemons, two real nameservers and three
members of etcd, all on this machine. Prints each figure beside the wanted one, and at the end which
were missed; the machine's load is printed, too, since all of them depend on it.

    cargo xtask simulate hosts [--hosts 1000] [--names 100] [--kills 50] [--away 600]
                               [--lookups 20000] [--no-pyro5]

`--kills 0` and `--away 0` leave these parts out. Pyro5's nameserver gets as many names, written
into its database; its lookups are timed in turns with ours, over a socket that sends what a stock
client would.
"""

import argparse
import collections
import contextlib
import json
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS), str(TESTS / "services"), str(TESTS / "drivers"), str(TESTS.parent / "python")]

import Pyro5.api  # noqa: E402
import bench_nameserver  # noqa: E402
from bench_nameserver import message, receive  # noqa: E402
from etcd import Etcd, Lookups  # noqa: E402
from harness import NEVER, free_port, new_lab, proxy, stock_nameserver, wait_for  # noqa: E402
from harness.lab import binary  # noqa: E402
from Pyro5 import protocol, serializers  # noqa: E402
from Pyro5.errors import PyroError  # noqa: E402

LAB = """\
nameservers: {shared: {host: localhost, ns_port: $port, storage: etcd, etcd: $etcd}}
autolaunch: {nameservers: [shared]}
"""
# Seconds between two looks at a condition.
LOOK = 0.05


class Hosts:
    """A process with the registrars of some hosts."""

    def __init__(self, ports, first, hosts, names):
        self.first, self.hosts, self.names, self.registered = first, hosts, names, 0
        self.process = subprocess.Popen(
            [binary(), "run", "simulated-hosts"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        nameservers = [f"localhost:{port}" for port in ports]
        assignment = {"first": first, "hosts": hosts, "names": names, "nameservers": nameservers}
        self.process.stdin.write(json.dumps(assignment) + "\n")
        self.process.stdin.flush()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        for line in self.process.stdout:
            detail = json.loads(line)
            detail = detail.get("detail", detail)
            self.registered = detail.get("registered", self.registered)

    def all_registered(self):
        return self.registered == self.hosts

    def kill(self):
        self.process.kill()
        self.process.wait()


def until(condition, interval=LOOK):
    """The seconds until something holds."""
    begun = time.monotonic()
    wait_for(condition, NEVER, "the next figure", interval=interval)
    return time.monotonic() - begun


def names_at(port):
    return proxy(f"PYRO:Pyro.NameServer@localhost:{port}")


def count_at(port):
    with names_at(port) as names:
        return names.count() - 1


def all_have(ports, total):
    """Whether every nameserver shows so many names."""

    def look():
        return all(count_at(port) == total for port in ports)

    return look


class Figures:
    """The figures beside what is wanted."""

    def __init__(self):
        self.missed = []

    def tell(self, what, shown, wanted="", holds=True):
        mark = "" if holds else "   MISSED"
        print(f"{what:<58} {shown:<34} {wanted}{mark}", flush=True)
        if not holds:
            self.missed.append(what)

    def lookups(self, what, lookups):
        failures = collections.Counter(lookups.failures)
        self.tell(what, f"{failures.total()} of {len(lookups.times)} lookups failed", "0", not failures)
        for error, count in failures.most_common(3):
            print(f"    {count} times {error}")

    def seconds(self, what, taken, most):
        self.tell(what, f"{taken:.1f} s", f"<= {most} s", taken <= most)


class Socket:
    """A connection to a nameserver that looks names up with little work for the client."""

    def __init__(self, uri):
        self.uri = uri
        where = Pyro5.api.URI(uri)
        self._serializer, self._object = serializers.serializers["serpent"], where.object
        self._socket = socket.create_connection((where.host, where.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hello = self._serializer.dumps({"handshake": "hello", "object": where.object})
        self._socket.sendall(message(protocol.MSG_CONNECT, hello))
        assert receive(self._socket)[0] == protocol.MSG_CONNECTOK

    def time_lookup(self, name):
        call = self._serializer.dumpsCall(self._object, "lookup", (name,), {})
        request = message(protocol.MSG_INVOKE, call)
        begun = time.perf_counter()
        self._socket.sendall(request)
        kind, flags = receive(self._socket)
        taken = time.perf_counter() - begun
        assert kind == protocol.MSG_RESULT and not flags & protocol.FLAGS_EXCEPTION, name
        return taken


def percentiles(times):
    cuts = statistics.quantiles(times, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


def name_of(number, names):
    return f"host{number // names}.service{number % names}"


def time_lookups(figures, options, port):
    """Lookups at our nameserver, and in turns with them some at Pyro5's, which are slow."""
    total, ours, theirs = options.hosts * options.names, [], []
    with contextlib.ExitStack() as stack:
        mine = Socket(f"PYRO:Pyro.NameServer@localhost:{port}")
        stock = None if options.no_pyro5 else Socket(stack.enter_context(pyro5_nameserver(options)))
        if stock:
            time_throughput(figures, port, stock.uri)
        for number in range(options.lookups):
            name = name_of(number * 7919 % total, options.names)
            ours.append(mine.time_lookup(name))
            if stock and number % 10 == 0:
                theirs.append(stock.time_lookup(name))
    middle, p99 = percentiles(ours)
    figures.tell(f"lookup among {total} names", f"p50 {middle:.2f} ms, p99 {p99:.2f} ms", "p99 <= 5 ms", p99 <= 5)
    if theirs:
        stock_middle, stock_p99 = percentiles(theirs)
        figures.tell("... at Pyro5's sql nameserver", f"p50 {stock_middle:.2f} ms, p99 {stock_p99:.2f} ms")


def time_throughput(figures, port, stock):
    """Lookups in a second, in turns, by the load generator: a client in Python mostly waits for
    itself.
    """
    ours, rates = f"PYRO:Pyro.NameServer@localhost:{port}", {}
    name = bench_nameserver.name(42)
    for uri in (ours, stock):
        with proxy(uri) as names:
            names.register(name, "PYRO:a@192.0.2.1:9100")
    for uri in (stock, ours) * 3:
        rates.setdefault(uri, []).append(lookup_rate(uri, name))
    with proxy(ours) as names:
        names.remove(name)
    mine, theirs = statistics.median(rates[ours]), statistics.median(rates[stock])
    shown = f"{mine:.0f} and {theirs:.0f} a second: {mine / theirs:.1f} times"
    figures.tell("lookups over 8 connections, ours and Pyro5's sql", shown, ">= 10 times", mine >= 10 * theirs)


def lookup_rate(uri, name):
    """Lookups of a name in a second."""
    where = Pyro5.api.URI(uri)
    target = {"address": f"{where.host}:{where.port}", "object": where.object, "method": "lookup", "args": [name]}
    job = {"mode": "calls", **target, "connections": 8, "seconds": 3, "warmup": 0.5}
    command = [os.environ["FERROLAB_LOAD"], json.dumps(job)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=NEVER)
    return json.loads(done.stdout)["per_second"]


@contextlib.contextmanager
def pyro5_nameserver(options):
    """Pyro5's nameserver with as many names in a database."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "names.sql"
        with stock_nameserver(storage=f"sql:{file}", config={"SERVERTYPE": "multiplex"}) as server:
            rows = ((name_of(number, options.names), "PYRO:a@192.0.2.1:9100") for number in range(options.hosts * options.names))
            # It reads the file anew for every question.
            with contextlib.closing(sqlite3.connect(file)) as database, database:
                database.executemany("INSERT INTO pyro_names(name, uri) VALUES (?, ?)", rows)
            yield server.uris["nameserver"]


def _register(port, name):
    try:
        with names_at(port) as names:
            names.register(name, "PYRO:a@localhost:1")
    except PyroError:
        return False
    return True


def measure_leaders(figures, options, cluster, ports):
    times = []
    with Lookups(ports, "host0.service0") as lookups:
        for number in range(options.kills):
            leader = cluster.leader()
            leader.kill()
            times.append(until(lambda number=number: _register(ports[0], f"stock.{number}")))
            cluster.start(leader)
            # Without it the next leader's death may leave no majority.
            wait_for(cluster.is_whole, NEVER, "the member is back")
    figures.lookups(f"leader killed {options.kills} times", lookups)
    figures.tell("... registrations back, median", f"{statistics.median(times):.1f} s")
    figures.seconds("... registrations back, at most", max(times), 5)


def measure_away(figures, options, cluster, ports, total):
    with Lookups(ports, "host0.service0") as lookups:
        for member in cluster.members:
            member.kill()
        threading.Event().wait(options.away)
        cluster.start()
        converged = until(lambda: _register(ports[0], "stock.last"))
        converged += until(all_have(ports, total + 1))
    figures.lookups(f"etcd away for {options.away} s", lookups)
    figures.seconds("... converged after its return", converged, 5)


def measure_difference(figures, ports):
    """How long two replicas differ: registrations and removals, each way."""
    worst = 0
    with names_at(ports[0]) as one, names_at(ports[1]) as other:
        for number in range(200):
            here, there = (one, other) if number % 2 else (other, one)
            name = f"late.{number}"
            here.register(name, "PYRO:a@localhost:1")
            worst = max(worst, until(lambda there=there, name=name: name in there.list(name), 0.001))
            here.remove(name)
            worst = max(worst, until(lambda there=there, name=name: name not in there.list(name), 0.001))
    figures.seconds("two replicas differ after 400 changes, at most", worst, 1)


def is_stale(lab):
    """Whether `status` says that a lab's nameserver has the last known names."""
    found = json.loads(lab.run("status", "--json", check=False).stdout)["findings"]
    return any("stale" in finding["problem"] for finding in found)


def measure_power_cut(figures, cluster, labs, ports, hosts, total):
    """Everything loses its power at once; then everything starts again, the hosts last."""
    count = sum(group.hosts for group in hosts)
    dead = {key.rsplit("/", 1)[1] for key in cluster.keys("/ferrolab/replicas/")}

    def all_announced():
        """Whether each host has a nameserver of those that run now."""
        keys = [key.rsplit("/", 1) for key in cluster.keys("/ferrolab/hosts/")]
        return len({host for host, replica in keys if replica not in dead}) == count

    for group in hosts:
        group.process.kill()
    for process in (process for lab in labs for process in lab.processes()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, 9)
    for member in cluster.members:
        member.kill()
    for group in hosts:
        group.process.wait()
    for member in cluster.members:
        member.start(cluster.initial)
    for lab in labs:
        lab.up()
    hosts[:] = [Hosts(ports, group.first, group.hosts, group.names) for group in hosts]
    # The last known names are shown before any host is back, and count for nothing.
    right = until(lambda: all(group.all_registered() for group in hosts))
    right += until(all_announced)
    right += until(lambda: not any(is_stale(lab) for lab in labs))
    right += until(all_have(ports, total))
    figures.seconds("power cut of all: all names after the last host is up", right, 10)
    for port in ports:
        with proxy(f"PYRO:Pyro.NameServer@localhost:{port}", timeout=NEVER) as names:
            wrong = [uri for uri in names.list("host").values() if "@192.0.2.1:9100" not in str(uri)]
        assert not wrong, wrong[:3]


def measure(options, cluster, labs, ports, stack):
    figures, total = Figures(), options.hosts * options.names
    lost = max(1, options.hosts // 10)
    groups = [(0, options.hosts - lost), (options.hosts - lost, lost)]
    begun = time.monotonic()
    hosts = [Hosts(ports, first, count, options.names) for first, count in groups]
    stack.callback(lambda: [group.kill() for group in hosts])
    until(lambda: all(group.all_registered() for group in hosts))
    until(all_have(ports, total))
    figures.seconds(f"{options.hosts} hosts x {options.names} names, cold: shown by both", time.monotonic() - begun, 60)

    time_lookups(figures, options, ports[0])

    hosts[1].kill()
    figures.seconds(f"{lost} hosts lost: all hidden by both", until(all_have(ports, total - lost * options.names)), 10)
    hosts[1] = Hosts(ports, *groups[1], options.names)
    figures.seconds("... back: all shown by both", until(all_have(ports, total)), 3)

    measure_difference(figures, ports)
    if options.kills:
        measure_leaders(figures, options, cluster, ports)
        total += options.kills
    if options.away:
        measure_away(figures, options, cluster, ports, total)
        total += 1
    measure_power_cut(figures, cluster, labs, ports, hosts, total)
    print(f"missed: {'; '.join(figures.missed)}" if figures.missed else "all as wanted")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["hosts"])
    for option, default, text in [
        ("hosts", 1000, "how many hosts"),
        ("names", 100, "names of each host"),
        ("kills", 50, "how often the leader of etcd is killed"),
        ("away", 600, "seconds without etcd"),
        ("lookups", 20000, "lookups that are timed"),
    ]:
        parser.add_argument(f"--{option}", type=int, default=default, help=text)
    parser.add_argument("--no-pyro5", action="store_true", help="leave Pyro5's nameserver out")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = Etcd(folder / "etcd", members=3).start()
        stack.callback(cluster.stop)
        labs, ports = [], []
        for _ in range(2):
            lab, port = stack.enter_context(new_lab()), free_port()
            lab.config(LAB.replace("$etcd", cluster.yaml()), port=port)
            lab.up()
            labs.append(lab)
            ports.append(port)
        measure(options, cluster, labs, ports, stack)
    print(f"{time.monotonic() - begun:.0f} s in all, load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
