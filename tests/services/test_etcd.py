"""Nameservers on a real etcd: equal replicas of one directory, through every fault of etcd."""

import contextlib
import http.server
import json
import os
import signal
import subprocess
import threading
import time

import ferrolab
import pytest
from etcd import Etcd, Tls
from harness import NEVER, free_port, new_lab, proxy, wait_for
from harness.lab import TESTS
from harness.netns import network
from harness.relay import Relay
from harness.wait import EXTENDED, within
from Pyro5.api import BatchProxy
from Pyro5.errors import NamingError, PyroError
from soak.shim import Shim
from test_guide import run_page

CONFIGURATION = """\
nameservers:
  shared: {host: localhost, ns_port: $ns_port, storage: etcd, etcd: $etcd}
daemons: {$name: {nameservers: [shared]}}
services:
  $name.supply: {native: simulated.power_supply, daemon: $name, nameservers: [shared]}
  $name.meter: {native: simulated.multimeter, daemon: $name, nameservers: [shared]}
autolaunch: {nameservers: [shared], daemons: [$name]}
"""


class Replica:
    """A lab whose nameserver is one of several replicas."""

    def __init__(self, lab, name, etcd, port, more="", **values):
        self.lab, self.name, self.port = lab, name, port
        text = CONFIGURATION.replace("$name", name).replace("$etcd", etcd.yaml(**values))
        lab.config(text + more, ns_port=port)
        lab.up()

    def connect(self):
        """What `config check --connect` says of its configuration."""
        checked = self.lab.run("config", "check", "lab.yaml", "--connect", check=False)
        return checked.returncode, checked.text

    def kill(self):
        """All of its processes, as when a host loses its power."""
        for process in self.lab.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    @property
    def names(self):
        return proxy(f"PYRO:Pyro.NameServer@localhost:{self.port}", timeout=NEVER)

    def listed(self, prefix=""):
        with self.names as nameserver:
            return {name: str(uri) for name, uri in nameserver.list(prefix).items() if name != "Pyro.NameServer"}

    def shows(self, *wanted):
        return set(wanted) <= set(self.listed())

    def trouble(self):
        """The problems that `status` names."""
        found = json.loads(self.lab.run("status", "--json", check=False).stdout)["findings"]
        return " ".join(finding["problem"] for finding in found)

    def pids(self, marker="run nameserver"):
        return [process.pid for process in self.lab.processes() if marker in process.command]


@contextlib.contextmanager
def replicas(etcd, *names, **values):
    with contextlib.ExitStack() as stack:
        yield [Replica(stack.enter_context(new_lab()), name, etcd, free_port(), **values) for name in names]


@pytest.fixture
def etcd(tmp_path):
    etcd = Etcd(tmp_path / "etcd")
    yield etcd.start()
    etcd.stop()


@pytest.fixture
def cluster(tmp_path):
    cluster = Etcd(tmp_path / "etcd", members=3)
    yield cluster.start()
    cluster.stop()


def test_two_nameservers_are_one_directory(etcd):
    with replicas(etcd, "optics", "cryo") as (optics, cryo):
        wanted = ["optics.supply", "optics.meter", "cryo.supply", "cryo.meter"]
        for replica in (optics, cryo):
            wait_for(lambda replica=replica: replica.shows(*wanted), 30, "both have the names of both")
        wait_for(lambda: optics.listed() == cryo.listed(), NEVER, "both agree")
        wait_for(lambda: len(etcd.keys("/ferrolab/hosts/")) == 2, NEVER, "a key for each host")
        with optics.names as names:
            names.register("stock.a", "PYRO:a@localhost:1", metadata=["x"])
            assert names.lookup("stock.a").object == "a"
        # It was acknowledged, so etcd has it.
        assert json.loads(etcd.ctl("get", "/ferrolab/names/stock.a", "--print-value-only"))["tags"] == ["x"]
        wait_for(lambda: cryo.shows("stock.a"), 5, "the other has it")
        with cryo.names as names:
            with pytest.raises(NamingError, match="already registered"):
                names.register("stock.a", "PYRO:b@localhost:1", safe=True)
            assert names.yplookup(meta_all=["x"]).keys() == {"stock.a"}
        with proxy(optics.listed()["cryo.supply"]) as supply:
            supply.voltage = 2.5
            assert supply.voltage == 2.5
        # A nameserver that is started anew has everything again.
        optics.lab.run("restart", "nameserver", "shared")
        wait_for(lambda: optics.shows(*wanted, "stock.a"), 30, "the names are loaded", ignoring=(PyroError,))
        with cryo.names as names:
            assert names.remove("stock.a") == 1
        wait_for(lambda: not optics.shows("stock.a"), 5, "it is removed everywhere")
        wait_for(lambda: "shared" not in optics.trouble(), NEVER, "all is well")


def test_a_lab_that_vanishes_is_hidden_and_comes_back(etcd):
    with replicas(etcd, "optics", "cryo") as (optics, cryo):
        wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
        before = set(etcd.keys("/ferrolab/names/"))
        cryo.kill()
        started = time.monotonic()
        wait_for(lambda: not optics.shows("cryo.supply"), 10, "its names are hidden")
        assert time.monotonic() - started <= within(10)
        assert set(etcd.keys("/ferrolab/names/")) == before, "and not forgotten"
        assert optics.shows("optics.supply")
        cryo.lab.up()
        wait_for(lambda: optics.shows("cryo.supply", "cryo.meter"), 30, "its names are back")


def test_the_guide(lab, etcd):
    python = str(TESTS.parent / "python")
    said = run_page(lab, "etcd.md", free_port(), ETCD=etcd.endpoints[0], PYTHONPATH=python)
    assert "can be used" in said and "['bench', 'lab.supply']" in said and '"uri":"PYRO:lab.supply@' in said, said


OTHER = "nameservers: {shared: {host: localhost, ns_port: $ns_port, storage: etcd, etcd: $etcd}}\nautolaunch: {nameservers: [shared]}\n"


@pytest.fixture
def fake_etcd():
    """Servers that answer as an etcd of some version, or with a page."""
    servers = []

    def start(version):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Fake", (FakeEtcd,), {"version": version}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class FakeEtcd(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answer = {"etcdserver": self.version, "etcdcluster": "3.2.0"}
        body = json.dumps(answer).encode() if self.version else b"<html>Welcome</html>"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_what_is_wrong_is_found_beforehand(lab, etcd, fake_etcd):
    """A configuration that cannot work is named by `--connect` and `status`; the lab runs on."""
    etcd.ctl("put", "/others/key", "x")
    free = free_port()
    cases = [
        ({"endpoints": [f"http://localhost:{free}"], "prefix": "/lab"}, ["etcd does not answer", f"localhost:{free}", "refused"]),
        ({"endpoints": etcd.endpoints, "prefix": "/others"}, ["the prefix /others", "the key /others/key"]),
        ({"endpoints": [etcd.endpoints[0].replace("http", "https")], "prefix": "/lab"}, ["no TLS connection"]),
        ({"endpoints": [fake_etcd("3.2.26")], "prefix": "/lab"}, ["has version 3.2.26, which is too old: 3.4 or later"]),
        ({"endpoints": [fake_etcd(None)], "prefix": "/lab"}, ["is no etcd with the API 3"]),
    ]
    local = CONFIGURATION.replace("$name", "bench")
    for settings, words in cases:
        file = lab.write(OTHER.replace("$etcd", json.dumps(settings)), ns_port=free_port())
        checked = lab.run("config", "check", file, "--connect", check=False)
        assert checked.returncode == 1 and all(word in checked.text for word in words), checked.text
        found = json.loads(lab.run("config", "check", file, "--connect", "--json", check=False).stdout)["connections"]
        assert words[0] in found[0]["error"]
    # The same in a lab that runs: its instruments can be used.
    port = free_port()
    lab.config(local.replace("$etcd", json.dumps(cases[1][0])), ns_port=port)
    lab.run("up", check=False)

    def told():
        found = json.loads(lab.run("status", "--json", check=False).stdout)["findings"]
        return any("the prefix /others" in finding["problem"] for finding in found)

    wait_for(told, NEVER, "`status` names the prefix")
    with lab.proxy("bench.supply") as supply:
        supply.voltage = 1.5
        assert supply.voltage == 1.5
    with proxy(f"PYRO:Pyro.NameServer@localhost:{port}") as names, pytest.raises(NamingError, match="the prefix /others"):
        names.register("stock.a", "PYRO:a@localhost:1")


class Looking:
    """A client that looks names up again and again, at every nameserver; counts what fails."""

    def __init__(self, replicas, name):
        self.failures, self.lookups = [], 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._look, args=(replica.port, name)) for replica in replicas]

    def _look(self, port, name):
        with proxy(f"PYRO:Pyro.NameServer@localhost:{port}") as names:
            while not self._stop.is_set():
                try:
                    names.lookup(name)
                    self.lookups += 1
                except PyroError as error:
                    self.failures.append(f"{port}: {error!r}")
                self._stop.wait(0.01)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def looked_up(optics, cryo):
    """A name to look up throughout. A slow machine may starve a host, which is then hidden."""
    name = "optics.supply"
    if not EXTENDED:
        name = "stock.looked_up"
        register(optics, name)
    wait_for(lambda: optics.shows(name) and cryo.shows(name), NEVER, "the name is everywhere")
    return name


def register(replica, name):
    with replica.names as names:
        names.register(name, "PYRO:a@localhost:1")
    return True


def test_leaders_that_are_killed_fail_no_lookup(cluster):
    """Lookups never fail; registrations go on as soon as there is another leader."""
    rounds = 50 if EXTENDED else 3
    with replicas(cluster, "optics", "cryo") as both:
        optics, cryo = both
        wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
        with Looking(both, looked_up(optics, cryo)) as looking:
            for number in range(rounds):
                leader = cluster.leader()
                leader.kill()
                wait_for(lambda number=number: register(optics, f"stock.{number}"), 5, "registrations are back", ignoring=(PyroError,))
                wait_for(lambda number=number: cryo.shows(f"stock.{number}"), 5, "the other has it")
                cluster.start(leader)
        assert looking.lookups > rounds and not looking.failures, looking.failures[:3]
        wait_for(lambda: cryo.shows("optics.supply", "cryo.supply"), NEVER, "the names of both")
        wait_for(lambda: optics.listed() == cryo.listed(), NEVER, "both agree")


def test_names_stay_while_etcd_is_away(cluster):
    """Without a majority: lookups go on, registrations are refused; then all is as it should be."""
    with replicas(cluster, "optics", "cryo") as both:
        optics, cryo = both
        wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
        with Looking(both, looked_up(optics, cryo)) as looking:
            lost = cluster.members[:2]
            for member in lost:
                member.kill()
            for replica in both:
                wait_for(lambda replica=replica: "the names are stale" in replica.trouble(), NEVER, "`status` says so")
            with optics.names as names, pytest.raises(NamingError, match="cannot keep this"):
                names.register("stock.a", "PYRO:a@localhost:1")
            until = looking.lookups + 500
            wait_for(lambda: looking.lookups > until, NEVER, "lookups go on")
            cluster.start(*lost)
            wait_for(lambda: register(cryo, "stock.b"), 5, "registrations are back", ignoring=(PyroError,))
            wait_for(lambda: optics.shows("stock.b"), 5, "the other has it")
            for replica in both:
                wait_for(lambda replica=replica: "stale" not in replica.trouble(), NEVER, "all is well")
        assert not looking.failures, looking.failures[:3]


def test_compaction_and_a_hanging_member_lose_nothing(cluster):
    """A nameserver that slept through changes that are compacted loads everything anew."""
    with replicas(cluster, "optics", "cryo") as (optics, cryo):
        wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
        (sleeper,) = cryo.pids()
        os.kill(sleeper, signal.SIGSTOP)
        for number in range(30):
            register(optics, f"stock.{number}")
        with optics.names as names:
            assert names.remove("stock.7") == 1
        revision = json.loads(cluster.ctl("get", "x", "-w", "json"))["header"]["revision"]
        # Its connections break off meanwhile: it cannot take up the watch where it was.
        for member in cluster.members:
            member.kill()
        cluster.start()
        cluster.ctl("compact", str(revision))
        os.kill(sleeper, signal.SIGCONT)
        wait_for(lambda: cryo.listed() == optics.listed() and cryo.shows("stock.29", "cryo.supply"), 30, "both agree")
        assert not cryo.shows("stock.7")
        # A member that neither answers nor closes: half-open connections.
        hanging = cluster.members[0]
        hanging.pause()
        wait_for(lambda: register(optics, "stock.half"), 30, "another member is asked", ignoring=(PyroError,))
        wait_for(lambda: cryo.shows("stock.half", "optics.supply", "cryo.supply"), 30, "the other has it")
        hanging.resume()


def test_a_lease_lives_through_a_storm_of_registrations(etcd):
    with replicas(etcd, "optics", "cryo") as both:
        optics, cryo = both
        wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
        count = 20_000 if EXTENDED else 5000
        with Looking(both, looked_up(optics, cryo)) as looking, optics.names as names:
            for start in range(0, count, 500):

                def register_many(start=start):
                    batch = BatchProxy(names)
                    for number in range(start, start + 500):
                        batch.register(f"storm.{number}", f"PYRO:a{number}@localhost:1")
                    return len(list(batch())) == 500

                wait_for(register_many, NEVER, "registered", ignoring=(PyroError,))
        assert not looking.failures, looking.failures[:3]
        wait_for(lambda: len(cryo.listed("storm.")) == count, 10, "the other has all")
        with cryo.names as names:

            def remove_all():
                names.remove(prefix="storm.")
                return cryo.listed("storm.") == {}

            wait_for(remove_all, NEVER, "removed", ignoring=(PyroError,))
        wait_for(lambda: optics.listed("storm.") == {}, 10, "they are gone everywhere")


def test_clients_and_daemons_find_another_nameserver(etcd):
    """Of several nameservers clients and daemons ask the next where one does not answer."""
    with replicas(etcd, "optics", "cryo") as (optics, cryo), new_lab() as third:
        # The first is reached through a relay, which is cut.
        with Relay(f"PYRO:Pyro.NameServer@localhost:{optics.port}") as relay:
            first, second = int(relay.uri.rpartition(":")[2]), cryo.port
            third.config(THIRD, first=first, second=second)
            third.up()
            wait_for(lambda: optics.shows("bench.supply") and cryo.shows("bench.supply"), 30, "registered")
            where = f"127.0.0.1:{first},127.0.0.1:{second}"
            lab = ferrolab.connect(where)
            assert lab["bench.supply"].voltage == 0
            relay.cut()

            def announced():
                values = etcd.ctl("get", "--prefix", "--print-value-only", "/ferrolab/hosts/").split()
                return sum(value.endswith(f":{second}") for value in values)

            wait_for(lambda: announced() == 2, NEVER, "the daemon has gone over")
            wait_for(lambda: cryo.shows("bench.supply"), NEVER, "its names are shown")
            assert "bench.supply" in list(lab)
            with ferrolab.locate_ns(where) as names:
                assert str(names.lookup("bench.supply")).startswith("PYRO:bench.supply@")


THIRD = """\
nameservers:
  first: {host: 127.0.0.1, ns_port: $first, replicas: ["127.0.0.1:$second"]}
daemons: {bench: {nameservers: [first]}}
services: {bench.supply: {native: simulated.power_supply, daemon: bench, nameservers: [first]}}
autolaunch: {daemons: [bench]}
"""


def test_a_lab_that_is_cut_off_goes_on_and_is_hidden(tmp_path):
    """Another host, whose cable is pulled: nothing tells either side."""
    with contextlib.ExitStack() as stack:
        net = stack.enter_context(network())
        etcd = Etcd(tmp_path / "etcd", host=net.here).start()
        stack.callback(etcd.stop)
        (optics,) = stack.enter_context(replicas(etcd, "optics"))
        lab = stack.enter_context(new_lab())
        lab.prefix = net.prefix
        subprocess.run([*net.prefix, "ip", "link", "set", "lo", "up"], check=True)
        cryo = Replica(lab, "cryo", etcd, free_port())

        def listed_there():
            return {row["name"] for row in json.loads(lab.run("nslist", "--json").stdout)}

        wait_for(lambda: optics.shows("cryo.supply") and "optics.supply" in listed_there(), 30, "the names of both")
        net.pull()
        wait_for(lambda: not optics.shows("cryo.supply"), 10, "the lab is hidden elsewhere")
        wait_for(lambda: "the names are stale" in cryo.trouble(), NEVER, "`status` there says so")
        wait_for(lambda: {"optics.supply", "cryo.supply"} <= listed_there(), NEVER, "lookups go on there")
        net.plug()
        wait_for(lambda: optics.shows("cryo.supply", "cryo.meter"), 30, "it is back")
        wait_for(lambda: "stale" not in cryo.trouble(), NEVER, "all is well there")


def test_names_of_a_host_that_is_away_for_ever_can_be_removed(etcd):
    with replicas(etcd, "optics", "cryo") as (optics, cryo):
        wait_for(lambda: optics.shows("cryo.supply", "cryo.meter"), 30, "the names of both")

        def hidden():
            return {row["name"] for row in json.loads(optics.lab.run("nslist", "--hidden", "--json").stdout)}

        assert hidden() == set()
        kept = optics.lab.run("ns", "remove", "--hidden", "cryo.supply", check=False)
        assert kept.returncode == 1 and "it hides no such name" in kept.text, kept.text
        cryo.kill()
        wait_for(lambda: hidden() == {"cryo.supply", "cryo.meter"}, 10, "its names are hidden")
        assert "cryo.meter" not in optics.lab.run("nslist").stdout
        shown = optics.lab.run("ns", "remove", "--hidden", "--prefix", "cryo.", check=False)
        assert shown.returncode == 1 and "2 name(s) would be removed" in shown.text, shown.text
        assert "Removed cryo.supply" in optics.lab.run("ns", "remove", "--hidden", "cryo.supply").stdout
        assert "Removed 1 name(s)" in optics.lab.run("ns", "remove", "--hidden", "--regex", "cryo", "--yes").stdout
        assert hidden() == set()
        assert not any("cryo" in key for key in etcd.keys("/ferrolab/names/"))
        # It was not away for ever: its daemons register their names.
        cryo.lab.up()
        wait_for(lambda: optics.shows("cryo.supply", "cryo.meter"), 30, "its names are back")


def test_a_replica_that_starts_without_etcd_shows_the_last_known_names(etcd):
    with replicas(etcd, "optics", "cryo") as (optics, cryo):
        wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
        register(optics, "stock.a")
        (file,) = wait_for(lambda: list(cryo.lab.home.rglob("*.names.gz")), NEVER, "a file of the names")
        cryo.lab.run("stop", "nameserver", "shared")
        (member,) = etcd.members
        member.kill()
        cryo.lab.run("start", "nameserver", "shared")
        names = ["optics.supply", "cryo.supply", "stock.a"]
        wait_for(lambda: cryo.shows(*names), NEVER, "the last known names", ignoring=(PyroError,))
        wait_for(lambda: "as this host knew them at" in cryo.trouble(), NEVER, "`status` says so")
        with proxy(cryo.listed()["cryo.supply"]) as supply:
            supply.voltage = 1.5
            assert supply.voltage == 1.5
        with cryo.names as refusing, pytest.raises(NamingError, match="cannot keep this"):
            refusing.register("stock.b", "PYRO:a@localhost:1")
        # A damaged file is set aside and named.
        cryo.lab.run("stop", "nameserver", "shared")
        file.write_bytes(file.read_bytes()[:-20])
        cryo.lab.run("start", "nameserver", "shared")
        wait_for(lambda: f"{file.name} is damaged" in cryo.trouble(), NEVER, "`status` names the file")
        assert list(file.parent.glob(f"{file.name}.damaged-*"))
        etcd.start()
        wait_for(lambda: cryo.shows(*names), 30, "the names of etcd")
        wait_for(lambda: "not loaded" not in cryo.trouble(), NEVER, "all is well")


def test_all_is_right_after_a_power_cut_of_everything(cluster):
    with replicas(cluster, "optics", "cryo") as both:
        optics, cryo = both
        wanted = ["optics.supply", "optics.meter", "cryo.supply", "cryo.meter", "stock.a"]
        register(optics, "stock.a")
        wait_for(lambda: cryo.shows(*wanted) and optics.shows(*wanted), 30, "the names of both")
        for replica in both:
            replica.kill()
        for member in cluster.members:
            member.kill()
        # The labs come first, and find no etcd.
        for replica in both:
            replica.lab.up(check=False)
        cluster.start()
        for replica in both:
            wait_for(lambda replica=replica: replica.shows(*wanted), 10, "all names", ignoring=(PyroError,))
            for name in wanted[:-1]:
                with proxy(replica.listed()[name]) as instrument:
                    instrument._pyroBind()
        wait_for(lambda: optics.listed() == cryo.listed(), NEVER, "both agree")
        for replica in both:
            wait_for(lambda replica=replica: "shared" not in replica.trouble(), NEVER, "all is well")


def test_members_with_slow_disks_fail_no_lookup(cluster):
    """Each member stands still again and again, as one whose disk takes long to sync."""
    with replicas(cluster, "optics", "cryo") as both:
        optics, cryo = both
        wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
        done = threading.Event()

        def stall():
            number = 0
            while not done.is_set():
                member = cluster.members[number % 3]
                member.pause()
                # Now and then longer than an election takes.
                done.wait(2.5 if number % 4 == 3 else 0.4)
                member.resume()
                done.wait(0.1)
                number += 1

        stalling = threading.Thread(target=stall)
        with Looking(both, looked_up(optics, cryo)) as looking:
            stalling.start()
            try:
                for number in range(200 if EXTENDED else 20):
                    wait_for(lambda number=number: register(optics, f"stock.{number}"), NEVER, "registered", ignoring=(PyroError,))
            finally:
                done.set()
                stalling.join()
        assert not looking.failures, looking.failures[:3]
        wait_for(lambda: optics.listed() == cryo.listed() and cryo.shows("stock.19"), NEVER, "both agree")


def test_a_lease_that_ends_while_a_nameserver_is_stopped_is_replaced(etcd):
    with replicas(etcd, "optics", "cryo") as (optics, cryo):
        wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
        (sleeper,) = cryo.pids()
        os.kill(sleeper, signal.SIGSTOP)
        wait_for(lambda: not optics.shows("cryo.supply"), 10, "its host is hidden")
        os.kill(sleeper, signal.SIGCONT)
        wait_for(lambda: optics.shows("cryo.supply", "cryo.meter"), 3, "it is back")
        assert cryo.shows("cryo.supply", "optics.supply")


def test_a_clock_that_jumps_changes_nothing(etcd):
    def revision():
        """The last write of a replica: each writes every 2 s."""
        (latest,) = json.loads(etcd.ctl("get", "--prefix", "/ferrolab/replicas/", "--sort-by", "MODIFY", "--order", "DESCEND", "--limit", "1", "-w", "json"))["kvs"]
        return latest["mod_revision"]

    with new_lab() as lab:
        shim = Shim.of(lab)
        if shim is None:
            pytest.skip("there is no C compiler to make the clock jump with")
        cryo = Replica(lab, "cryo", etcd, free_port())
        with replicas(etcd, "optics") as (optics,):
            wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
            with Looking([optics, cryo], looked_up(optics, cryo)) as looking:
                for seconds in (86400, -86400, 0):
                    shim.jump(seconds)
                    until = revision() + 10
                    wait_for(lambda until=until: revision() >= until, NEVER, "renewals go on")
                    register(cryo, f"stock.{seconds}")
                    wait_for(lambda seconds=seconds: optics.shows(f"stock.{seconds}"), 5, "the other has it")
            assert not looking.failures, looking.failures[:3]
            wait_for(lambda: optics.shows("cryo.supply") and cryo.shows("optics.supply"), NEVER, "the names of both")


def test_etcd_with_users(etcd):
    """A login that is missing, wrong or has too few rights is named; the right one works."""
    for words in [
        "user add root:secret", "role add root", "user grant-role root root", "role add names",
        "role grant-permission names --prefix=true readwrite /ferrolab/",
        "user add lab:right", "user grant-role lab names", "user add guest:right", "auth enable",
    ]:  # fmt: skip
        etcd.ctl(*words.split())
    etcd.options.append("--user=root:secret")
    with new_lab() as lab:
        cases = [
            ({}, ["it wants a login", "write `user` and `password`"]),
            ({"user": "lab", "password": "wrong"}, ["authentication failed"]),
            ({"user": "guest", "password": "right"}, ["permission denied", "its user needs the rights"]),
        ]
        for settings, words in cases:
            file = lab.write(OTHER.replace("$etcd", etcd.yaml(**settings)), ns_port=free_port())
            checked = lab.run("config", "check", file, "--connect", check=False)
            assert checked.returncode == 1 and all(word in checked.text for word in words), checked.text
        login = {"user": "lab", "password": "right"}
        optics = Replica(lab, "optics", etcd, free_port(), **login)
        assert optics.connect()[0] == 0, optics.connect()
        wait_for(lambda: optics.shows("optics.supply"), 30, "its names")
        # A change of the users ends all tokens.
        etcd.ctl("user", "add", "another:secret")
        wait_for(lambda: register(optics, "stock.a"), 30, "it logs in anew", ignoring=(PyroError,))
        etcd.ctl("user", "passwd", "lab", "--interactive=false", typed="changed")
        wait_for(lambda: "authentication failed" in optics.trouble(), NEVER, "`status` says what is wrong")
        assert optics.shows("optics.supply", "stock.a")
        with lab.proxy("optics.supply") as supply:
            supply.voltage = 1.5
            assert supply.voltage == 1.5


def test_etcd_with_certificates(tmp_path):
    tls = Tls(tmp_path / "certificates")
    etcd = Etcd(tmp_path / "etcd", tls=tls).start()
    try:
        with new_lab() as lab:
            others = Certificates(tmp_path / "others")
            (tmp_path / "others").mkdir()
            stranger, _ = others.self_signed("stranger")
            cases = [
                ({"cacert": str(stranger)}, ["no TLS connection", "certificate"]),
                ({"cacert": str(tls.cacert)}, ["etcd does not answer"]),
            ]
            for settings, words in cases:
                file = lab.write(OTHER.replace("$etcd", etcd.yaml(**settings)), ns_port=free_port())
                checked = lab.run("config", "check", file, "--connect", check=False)
                assert checked.returncode == 1 and all(word in checked.text for word in words), checked.text
            optics = Replica(lab, "optics", etcd, free_port(), **tls.settings)
            assert optics.connect()[0] == 0, optics.connect()
            wait_for(lambda: optics.shows("optics.supply"), 30, "its names")
            assert "/ferrolab/names/optics.supply" in etcd.keys("/ferrolab/names/")
    finally:
        etcd.stop()


ACCESS = """\
access: {localhost: admin}
"""


@pytest.mark.parametrize("access", ["", ACCESS])
def test_names_of_another_lab_are_found_beforehand(etcd, access):
    """A name that another lab has stays there; the check and `status` name both."""
    with new_lab() as first, new_lab() as second:
        optics = Replica(first, "optics", etcd, free_port(), access)
        wait_for(lambda: optics.shows("optics.supply"), 30, "its names")
        # The same names, from another data directory.
        text = CONFIGURATION.replace("$name", "optics").replace("$etcd", etcd.yaml())
        file = second.write(text + access, ns_port=free_port())
        checked = second.run("config", "check", file, "--connect", check=False)
        assert checked.returncode == 1 and "belong to another lab" in checked.text, checked.text
        assert "optics.supply (PYRO:optics.supply@" in checked.text, checked.text
        assert optics.connect()[0] == 0, "its own names are no others'"
        before = optics.listed()["optics.supply"]
        other = Replica(second, "optics", etcd, free_port(), access)
        wait_for(lambda: "optics.supply" in other.trouble(), NEVER, "`status` names it")
        assert other.listed()["optics.supply"] == before
        with second.proxy("optics.supply") as supply:
            supply.voltage = 2.5
            assert supply.voltage == 2.5
        with first.proxy("optics.supply") as supply:
            assert supply.voltage == 0
