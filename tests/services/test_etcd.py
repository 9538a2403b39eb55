"""Nameservers on a real etcd: equal replicas of one directory, through every fault of etcd."""

import contextlib
import json
import os
import signal
import subprocess
import time

import ferrolab
import pytest
from etcd import Etcd, Lookups
from harness import NEVER, free_port, new_lab, proxy, wait_for
from harness.lab import TESTS
from harness.netns import network
from harness.relay import Relay
from harness.wait import EXTENDED, within
from Pyro5.api import BatchProxy
from Pyro5.errors import NamingError, PyroError
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

    def __init__(self, lab, name, etcd, port, **values):
        self.lab, self.name, self.port = lab, name, port
        text = CONFIGURATION.replace("$name", name).replace("$etcd", etcd.yaml(**values))
        lab.config(text, ns_port=port)
        lab.up()

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
        # Everything at once, as when a host loses its power.
        processes = [process.pid for process in cryo.lab.processes()]
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
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


def test_what_is_wrong_is_found_beforehand(lab, etcd):
    """A configuration that cannot work is named by `--connect` and `status`; the lab runs on."""
    etcd.ctl("put", "/others/key", "x")
    free = free_port()
    cases = [
        ({"endpoints": [f"http://localhost:{free}"], "prefix": "/lab"}, ["etcd does not answer", f"localhost:{free}", "refused"]),
        ({"endpoints": etcd.endpoints, "prefix": "/others"}, ["the prefix /others", "the key /others/key"]),
        ({"endpoints": [etcd.endpoints[0].replace("http", "https")], "prefix": "/lab"}, ["no TLS connection"]),
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


def lookups_at(replicas, name):
    return Lookups([replica.port for replica in replicas], name)


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
        with lookups_at(both, looked_up(optics, cryo)) as lookups:
            for number in range(rounds):
                leader = cluster.leader()
                leader.kill()
                wait_for(lambda number=number: register(optics, f"stock.{number}"), 5, "registrations are back", ignoring=(PyroError,))
                wait_for(lambda number=number: cryo.shows(f"stock.{number}"), 5, "the other has it")
                cluster.start(leader)
        assert len(lookups.times) > rounds and not lookups.failures, lookups.failures[:3]
        wait_for(lambda: cryo.shows("optics.supply", "cryo.supply"), NEVER, "the names of both")
        wait_for(lambda: optics.listed() == cryo.listed(), NEVER, "both agree")


def test_names_stay_while_etcd_is_away(cluster):
    """Without a majority: lookups go on, registrations are refused; then all is as it should be."""
    with replicas(cluster, "optics", "cryo") as both:
        optics, cryo = both
        wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
        with lookups_at(both, looked_up(optics, cryo)) as lookups:
            lost = cluster.members[:2]
            for member in lost:
                member.kill()
            for replica in both:
                wait_for(lambda replica=replica: "the names are stale" in replica.trouble(), NEVER, "`status` says so")
            with optics.names as names, pytest.raises(NamingError, match="cannot keep this"):
                names.register("stock.a", "PYRO:a@localhost:1")
            until = len(lookups.times) + 500
            wait_for(lambda: len(lookups.times) > until, NEVER, "lookups go on")
            cluster.start(*lost)
            wait_for(lambda: register(cryo, "stock.b"), 5, "registrations are back", ignoring=(PyroError,))
            wait_for(lambda: optics.shows("stock.b"), 5, "the other has it")
            for replica in both:
                wait_for(lambda replica=replica: "stale" not in replica.trouble(), NEVER, "all is well")
        assert not lookups.failures, lookups.failures[:3]


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
        with lookups_at(both, looked_up(optics, cryo)) as lookups, optics.names as names:
            for start in range(0, count, 500):

                def register_many(start=start):
                    batch = BatchProxy(names)
                    for number in range(start, start + 500):
                        batch.register(f"storm.{number}", f"PYRO:a{number}@localhost:1")
                    return len(list(batch())) == 500

                wait_for(register_many, NEVER, "registered", ignoring=(PyroError,))
        assert not lookups.failures, lookups.failures[:3]
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
