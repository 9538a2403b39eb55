"""Clients that leave at every step of a conversation leave nothing behind.

Each step, way of leaving and kind of service is tried with a few clients, with `--extended` with
100,000 in all. Afterwards the processes have the files and threads that they had before, no
instance, stream, call or lock is left, and all places of the pool are there for others.
"""

import contextlib
import itertools
import json
import socket
import time
from pathlib import Path

import pytest
from harness import EXTENDED, NEVER, Certificates, free_port, new_lab, proxy, wait_for
from harness.bare import receive
from harness.leaving import STEPS, WAYS, Visit, answer_of, ask, close, hello, quick
from harness.processes import memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="measured on Linux")

DAEMONS = {
    "locks": "classname: LockableDaemon",
    "turns": "classname: LockableDaemon, servertype: multiplex",
    "plain": "classname: Daemon",
    "plain-turns": "classname: Daemon, servertype: multiplex",
}
PYTHON = "module: census, classname: Census, instancemode: "
SERVICES = {"single": PYTHON + "single", "session": PYTHON + "session", "native": "native: simulated.loopback"}
SAFE_STATES = {"single": "off", "session": "off", "native": "nothing"}
# Connections of a `thread` daemon. More than the channels that a worker keeps ready, so that
# clients in all places have them all.
POOL = 24
# Clients that are at one step at the same time: fewer than `POOL`, which also has the lock's owner.
CROWD = 20 if EXTENDED else 1
CLIENTS = 100_000
# More than before that is no leak: channels of a worker that are being made ready, and a call of
# the supervisor; in the Rust process threads for blocking work, which end when they idle.
SLACK, SPARE_THREADS = 2, 8


def configuration():
    lines = ['version: "1.0"', 'python: {executable: "$python", path: ["$drivers"]}']
    lines += ["nameservers:", "  local: {host: localhost, ns_port: $ns_port, $tls}", "daemons:"]
    settings = f"host: localhost, threadpool_size: {POOL}, threadpool_size_min: 1, iter_stream_linger: 0.5, $tls"
    lines += [f"  {name}: {{{words}, {settings}}}" for name, words in DAEMONS.items()]
    lines.append("services:")
    for (daemon, words), kind in itertools.product(DAEMONS.items(), SERVICES):
        safe = f", on_disconnect: [{SAFE_STATES[kind]!r}]" if "Lockable" in words else ""
        lines.append(f"  {daemon}.{kind}: {{{SERVICES[kind]}, daemon: {daemon}{safe}}}")
    lines.append(f"autolaunch: {{nameservers: [local], daemons: [{', '.join(DAEMONS)}]}}")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def running():
    with new_lab() as lab:
        certificate, key = Certificates(lab.files).self_signed(
            "server", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"
        )
        lab.ns_port = free_port()
        tls = f'ssl: offered, ssl_servercert: "{certificate}", ssl_serverkey: "{key}"'
        lab.config(configuration(), ns_port=lab.ns_port, tls=tls)
        lab.up()
        yield lab


class Target:
    """A daemon, or the nameserver, with all that it may leave something in."""

    def __init__(self, lab, name):
        self.lab, self.name, self.files = lab, name, lab.files
        listed = lab.ps()
        is_daemon = name in DAEMONS
        (entry,) = [row for row in listed["daemons" if is_daemon else "nameservers"] if row["name"] == name]
        pid = entry["pid"]
        self.processes = {"process": pid}
        if is_daemon:
            (worker,) = [one for one in lab.processes() if one.parent == pid and "ferrolab-worker" in one.command]
            self.processes["worker"] = worker.pid
            rows = [row for row in listed["services"] if row["name"].startswith(f"{name}.")]
            # The features of each service.
            self.services = {row["name"]: self._features(row["name"]) for row in rows}
            port = int(rows[0]["uri"].rpartition(":")[2])
        else:
            self.services, port = {"Pyro.NameServer": set()}, lab.ns_port
        self.address = ("127.0.0.1", port)
        self.has_pool = is_daemon and "multiplex" not in DAEMONS[name]

    def _features(self, service):
        features = {"daemon"} if service.endswith(".native") else {"daemon", "driver"}
        return features | ({"lock"} if "Lockable" in DAEMONS[self.name] else set())

    def visit_each_step(self, ways, size):
        """Clients at each step of each service leave in each of these ways; their number."""
        clients = 0
        for (step, (bring, needs)), way, (service, has) in itertools.product(
            STEPS.items(), ways, self.services.items()
        ):
            if not needs <= has:
                continue
            try:
                self._visit(service, bring, way, size)
            except Exception as error:
                raise AssertionError(f"{service}, {step}, {way.__name__}") from error
            clients += size
        return clients

    def _visit(self, service, bring, way, size):
        with contextlib.ExitStack() as stack:
            left = []
            for leaving in bring(Visit(self, service, size, stack)):
                for sock in leaving:
                    way(sock)
                left += leaving
            for sock in left:
                if sock.fileno() >= 0:
                    with contextlib.suppress(ConnectionError):
                        while sock.recv(1 << 20):
                            pass

    def fill(self):
        """Honest clients are served in all places, side by side."""
        with contextlib.ExitStack() as stack:
            services = itertools.islice(itertools.cycle(self.services), POOL)
            socks = [(Visit(self, service, 1, stack).enter(quick(service))[0], service) for service in services]
            for sock, _ in socks:
                answer_of(sock)
            if self.has_pool:
                wait_for(self._is_refused, NEVER, "one more is refused")

    def _is_refused(self):
        with socket.create_connection(self.address, NEVER) as late, contextlib.suppress(ConnectionError):
            late.sendall(hello(next(iter(self.services))))
            return b"no free workers" in receive(late)

    def wait_until_quiet(self):
        """Nothing is left of the clients that drivers and locks would know of."""
        for service, has in self.services.items():
            with contextlib.ExitStack() as stack:
                (sock,) = Visit(self, service, 1, stack).enter()
                if "driver" in has and service.endswith(".single"):
                    alone = {"instances": 1, "streams": 0, "calls": 0}
                    wait_for(lambda: ask(sock, service, "census") == alone, NEVER, "one instance is left")
                if "lock" in has:
                    info = lambda: ask(sock, service, "lock_info")
                    wait_for(lambda: (info()["state"], info()["waiting"]) == ("free", []), NEVER, "the lock is free")
        running = lambda: [row for row in self._calls() if row["service"] in self.services]
        wait_for(lambda: not running(), NEVER, "no call runs")

    def _calls(self):
        return json.loads(self.lab.run("calls", "--json").stdout)

    def counts(self):
        """Open files and threads of each process."""
        return {
            f"{what} of the {name}": len(list(Path(f"/proc/{pid}/{what}").iterdir()))
            for (name, pid), what in itertools.product(self.processes.items(), ("fd", "task"))
        }

    def memory(self):
        return {name: round(memory(pid)) for name, pid in self.processes.items()}


# The nameserver has fewer steps.
SHARES = {name: 0.23 for name in DAEMONS} | {"local": 0.08}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SHARES)
def test_clients_that_leave_at_every_step_leave_nothing(running, name):
    target = Target(running, name)
    # Pools fill, and things are made that stay.
    clients = target.visit_each_step([close], CROWD)
    target.wait_until_quiet()
    target.fill()
    target.wait_until_quiet()
    before, memory_before, begun = target.counts(), target.memory(), time.monotonic()
    while True:
        clients += target.visit_each_step(WAYS, CROWD)
        if not EXTENDED or clients >= CLIENTS * SHARES[name]:
            break
    left = time.monotonic() - begun
    target.wait_until_quiet()
    target.fill()
    target.wait_until_quiet()

    def grown():
        slack = lambda what: SPARE_THREADS if what == "task of the process" else SLACK
        return {what: now for what, now in target.counts().items() if now > before[what] + slack(what)}

    wait_for(lambda: not grown(), 60, f"files and threads are as before: {before}")
    print(f"{name}: {clients} clients, {left:.1f} s; {before} -> {target.counts()}")
    print(f"MiB {memory_before} -> {target.memory()}")
    for service, has in target.services.items():
        with proxy(f"PYRO:{service}@localhost:{target.address[1]}") as honest:
            if "driver" in has:
                assert list(honest.numbers(3)) == [0, 1, 2]
            assert honest.echo(1) == 1 if "daemon" in has else honest.ping() is None
