"""A model of many hosts on one directory: `cargo xtask simulate hosts`.

Real registrars (`ferrolab run simulated-hosts`) without daemons, two real nameservers and three
members of etcd, all on this machine. Prints how long things take; judges nothing.

    cargo xtask simulate hosts [--hosts 1000] [--names 100] [--kills 50] [--away 600]
                               [--lookups 20000]
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS), str(TESTS / "services"), str(TESTS / "drivers"), str(TESTS.parent / "python")]

from etcd import Etcd, Lookups  # noqa: E402
from harness import NEVER, free_port, new_lab, proxy, stock_nameserver, wait_for  # noqa: E402
from harness.lab import binary  # noqa: E402
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
        self.hosts, self.registered = hosts, 0
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


def shows(port, name):
    with names_at(port) as names:
        try:
            return bool(names.lookup(name))
        except PyroError:
            return False


def percentiles(times):
    cuts = statistics.quantiles(times, n=100)
    return f"p50 {cuts[49] * 1000:.2f} ms, p99 {cuts[98] * 1000:.2f} ms"


def time_lookups(uri, names, count):
    """The times of lookups, one after another."""
    times = []
    with proxy(uri) as nameserver:
        for number in range(count):
            begun = time.perf_counter()
            nameserver.lookup(names[number * 7919 % len(names)])
            times.append(time.perf_counter() - begun)
    return times


def tell(what, figure):
    print(f"{what:<60} {figure}", flush=True)


def measure(options, cluster, ports, stack):
    total = options.hosts * options.names
    lost = max(1, options.hosts // 10)
    groups = [(0, options.hosts - lost), (options.hosts - lost, lost)]
    begun = time.monotonic()
    hosts = [Hosts(ports, first, count, options.names) for first, count in groups]
    stack.callback(lambda: [group.kill() for group in hosts])
    until(lambda: all(group.all_registered() for group in hosts))
    tell(f"{options.hosts} hosts x {options.names} names, cold: registered", f"{time.monotonic() - begun:.1f} s")
    tell("... and shown by both nameservers after another", f"{until(lambda: all(count_at(port) == total for port in ports)):.1f} s")

    known = [f"host{host}.service{number}" for host in range(0, options.hosts, 7) for number in (0, options.names - 1)]
    uri = f"PYRO:Pyro.NameServer@localhost:{ports[0]}"
    tell(f"lookup among {total} names", percentiles(time_lookups(uri, known, options.lookups)))

    here = options.hosts - lost
    name = f"host{here}.service0"
    hosts[1].kill()
    tell(f"{lost} hosts lost: hidden by both", f"{until(lambda: not any(shows(port, name) for port in ports)):.1f} s")
    hosts[1] = Hosts(ports, here, lost, options.names)
    tell("... and back", f"{until(lambda: all(shows(port, name) for port in ports)):.1f} s")
    until(lambda: all(count_at(port) == total for port in ports))

    slowest = 0
    with Lookups(ports, "host0.service0") as lookups:
        for number in range(options.kills):
            leader = cluster.leader()
            leader.kill()
            begun = time.monotonic()

            def register(number=number):
                with names_at(ports[0]) as names:
                    try:
                        names.register(f"stock.{number}", "PYRO:a@localhost:1")
                    except PyroError:
                        return False
                return True

            until(register)
            slowest = max(slowest, time.monotonic() - begun)
            cluster.start(leader)
    if options.kills:
        figure = f"{len(lookups.failures)} of {len(lookups.times)} lookups failed, registrations back within {slowest:.1f} s"
        tell(f"leader killed {options.kills} times", figure)
        total += options.kills

    with Lookups(ports, "host0.service0") as lookups:
        for member in cluster.members:
            member.kill()
        threading.Event().wait(options.away)
        cluster.start()
        with names_at(ports[0]) as names:
            converged = until(lambda: _register(names, "stock.last"))
        converged += until(lambda: all(count_at(port) == total + 1 for port in ports))
    tell(f"etcd away for {options.away} s", f"{len(lookups.failures)} of {len(lookups.times)} lookups failed, converged after {converged:.1f} s")

    worst = 0
    with names_at(ports[0]) as one, names_at(ports[1]) as other:
        for number in range(100):
            one.register(f"late.{number}", "PYRO:a@localhost:1")
            name = f"late.{number}"
            worst = max(worst, until(lambda name=name: name in other.list(name), 0.001))
    tell("a registration at one nameserver is at the other", f"{worst * 1000:.0f} ms at most, of 100")


def _register(names, name):
    try:
        names.register(name, "PYRO:a@localhost:1")
    except PyroError:
        return False
    return True


def measure_pyro5(options):
    """The same lookups at Pyro5's nameserver, which keeps its names in a database."""
    known = [f"host{number}.service0" for number in range(min(1000, options.hosts * options.names))]
    with tempfile.TemporaryDirectory() as folder:
        with stock_nameserver(storage=f"sql:{folder}/names.sql", config={"SERVERTYPE": "multiplex"}) as server:
            with proxy(server.uris["nameserver"]) as names:
                for name in known:
                    names.register(name, "PYRO:a@localhost:1")
            times = time_lookups(server.uris["nameserver"], known, min(2000, options.lookups))
    tell(f"lookup at Pyro5's sql nameserver among {len(known)} names", percentiles(times))


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
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = Etcd(folder / "etcd", members=3).start()
        stack.callback(cluster.stop)
        ports = []
        for _ in range(2):
            lab, port = stack.enter_context(new_lab()), free_port()
            lab.config(LAB.replace("$etcd", cluster.yaml()), port=port)
            lab.up()
            ports.append(port)
        measure(options, cluster, ports, stack)
    measure_pyro5(options)


if __name__ == "__main__":
    main()
