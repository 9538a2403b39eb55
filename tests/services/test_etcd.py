"""Nameservers on a real etcd: equal replicas of one directory, through every fault of etcd."""

import contextlib
import json
import subprocess
import threading
import time

import ferrolab
import pytest
from etcd import Etcd
from harness import EXTENDED, NEVER, free_port, new_lab, proxy, wait_for, within
from harness.netns import network
from harness.relay import Relay
from Pyro5.api import BatchProxy
from Pyro5.errors import NamingError, PyroError
from replicas import Replica, looked_up, lookups_at, register, remove, replicas
from soak.shim import Shim


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
                # Without it the next leader's death may leave no majority.
                wait_for(cluster.is_whole, NEVER, "the member is back")
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
        with cryo.asleep():
            for number in range(30):
                wait_for(lambda number=number: register(optics, f"stock.{number}"), NEVER, "registered", ignoring=(PyroError,))
            wait_for(lambda: remove(optics, "stock.7"), NEVER, "removed", ignoring=(PyroError,))
            revision = json.loads(cluster.ctl("get", "x", "-w", "json"))["header"]["revision"]
            # Its connections break off meanwhile: it cannot take up the watch where it was.
            for member in cluster.members:
                member.kill()
            cluster.start()
            cluster.ctl("compact", str(revision))
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


def test_names_of_a_host_that_is_away_for_ever_can_be_removed(etcd):
    with replicas(etcd, "optics", "cryo") as (optics, cryo):
        wait_for(lambda: optics.shows("cryo.supply", "cryo.meter"), 30, "the names of both")

        def hidden():
            found = optics.lab.run("nslist", "--hidden", "--json", "cryo", check=False)
            return found.returncode == 0 and {row["name"] for row in json.loads(found.stdout)}

        wait_for(lambda: hidden() == set(), NEVER, "an answer")
        kept = optics.lab.run("ns", "remove", "--hidden", "cryo.supply", check=False)
        assert kept.returncode == 1 and "it hides no such name" in kept.text, kept.text
        cryo.kill()
        wait_for(lambda: hidden() == {"cryo", "cryo.supply", "cryo.meter"}, 10, "its names are hidden")
        assert "cryo.meter" not in optics.lab.run("nslist").stdout
        shown = optics.lab.run("ns", "remove", "--hidden", "--prefix", "cryo.", check=False)
        assert shown.returncode == 1 and "2 name(s) would be removed" in shown.text, shown.text
        assert "Removed cryo.supply" in optics.lab.run("ns", "remove", "--hidden", "cryo.supply").stdout
        for more, printed in ([], ""), (["--json"], "[]\n"):
            again = optics.lab.run("ns", "remove", "--hidden", "cryo.supply", *more, check=False)
            assert (again.returncode, again.stdout) == (1, printed) and "it hides no such name" in again.stderr, again.text
        assert "Removed 2 name(s)" in optics.lab.run("ns", "remove", "--hidden", "--regex", "cryo", "--yes").stdout
        wait_for(lambda: hidden() == set(), NEVER, "an answer")
        assert not any("cryo" in key for key in etcd.keys("/ferrolab/names/"))
        # It was not away for ever: its daemons register their names.
        cryo.lab.up()
        wait_for(lambda: optics.shows("cryo.supply", "cryo.meter"), 30, "its names are back")


def test_hidden_names_of_another_lab_are_removed_by_admins(etcd):
    """With `access`; its clients are on this host."""
    with replicas(etcd, "optics", "cryo", more="access: {localhost: operate}\n") as (optics, cryo):
        wait_for(lambda: optics.shows("cryo.supply"), 30, "the names of both")
        cryo.kill()
        wait_for(lambda: not optics.shows("cryo.supply"), 10, "its names are hidden")
        remove = lambda: optics.lab.run("ns", "remove", "--hidden", "cryo.supply", check=False)
        refused = remove()
        assert refused.returncode == 1 and "needs the role admin" in refused.text, refused.text
        assert "/ferrolab/names/cryo.supply" in etcd.keys("/ferrolab/names/")
        optics.take_up("access: {localhost: admin}\n")
        assert "Removed cryo.supply" in remove().text
        assert "it hides no such name" in remove().text


def test_a_replica_that_starts_without_etcd_shows_the_last_known_names(etcd):
    with replicas(etcd, "optics", "cryo") as (optics, cryo):
        wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
        wait_for(lambda: register(optics, "stock.a"), NEVER, "registered", ignoring=(PyroError,))
        wait_for(lambda: cryo.shows("stock.a"), NEVER, "the other has it")
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
        log = cryo.lab.home / "logs/ferrolab.log"
        warnings = lambda: sum(f"{file} is damaged" in line for line in log.read_text().splitlines())
        wait_for(warnings, NEVER, "a warning names it")
        etcd.start()
        wait_for(lambda: cryo.shows(*names), 30, "the names of etcd")
        wait_for(lambda: "not loaded" not in cryo.trouble(), NEVER, "all is well")
        assert warnings() == 1


def test_all_is_right_after_a_power_cut_of_everything(cluster):
    with replicas(cluster, "optics", "cryo") as both:
        optics, cryo = both
        wanted = ["optics.supply", "optics.meter", "cryo.supply", "cryo.meter", "stock.a"]
        wait_for(lambda: register(optics, "stock.a"), NEVER, "registered", ignoring=(PyroError,))
        wait_for(lambda: cryo.shows(*wanted) and optics.shows(*wanted), 30, "the names of both")

        def has_all(replica):
            """Whether it shows all names, and not those that its host knew last."""
            return replica.shows(*wanted) and "stale" not in replica.trouble()

        for replica in both:
            replica.kill()
        for member in cluster.members:
            member.kill()
        # The labs come first, and find no etcd.
        for replica in both:
            replica.lab.up(check=False)
        cluster.start()
        for replica in both:
            wait_for(lambda replica=replica: has_all(replica), 10, "all names", ignoring=(PyroError,))
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
        with lookups_at(both, looked_up(optics, cryo)) as lookups:
            stalling.start()
            try:
                for number in range(200 if EXTENDED else 20):
                    wait_for(lambda number=number: register(optics, f"stock.{number}"), NEVER, "registered", ignoring=(PyroError,))
            finally:
                done.set()
                stalling.join()
        assert not lookups.failures, lookups.failures[:3]
        wait_for(lambda: optics.listed() == cryo.listed() and cryo.shows("stock.19"), NEVER, "both agree")


def test_a_lease_that_ends_while_a_host_sleeps_is_replaced(etcd):
    with replicas(etcd, "optics", "cryo") as (optics, cryo):
        wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
        with cryo.asleep():
            wait_for(lambda: not optics.shows("cryo.supply"), 10, "its host is hidden")
        wait_for(lambda: optics.shows("cryo.supply", "cryo.meter"), 3, "it is back")
        wait_for(lambda: cryo.shows("cryo.supply", "optics.supply"), NEVER, "the names of both", ignoring=(PyroError,))


def test_a_clock_that_jumps_changes_nothing(etcd):
    def revision():
        """The last write of a replica: each writes every 2 s."""
        found = json.loads(etcd.ctl("get", "--prefix", "/ferrolab/replicas/", "--sort-by", "MODIFY", "--order", "DESCEND", "--limit", "1", "-w", "json"))
        # No key is there while a lease that has ended is replaced.
        return max((key["mod_revision"] for key in found.get("kvs", [])), default=0)

    with new_lab() as lab:
        shim = Shim.of(lab)
        if shim is None:
            pytest.skip("there is no C compiler to make the clock jump with")
        cryo = Replica(lab, "cryo", etcd, free_port())
        with replicas(etcd, "optics") as (optics,):
            wait_for(lambda: cryo.shows("optics.supply") and optics.shows("cryo.supply"), 30, "the names of both")
            with lookups_at([optics, cryo], looked_up(optics, cryo)) as lookups:
                for seconds in (86400, -86400, 0):
                    shim.jump(seconds)
                    until = wait_for(revision, NEVER, "a replica's write") + 6
                    wait_for(lambda until=until: revision() >= until, NEVER, "renewals go on")
                    wait_for(lambda seconds=seconds: register(cryo, f"stock.{seconds}"), NEVER, "registered", ignoring=(PyroError,))
                    wait_for(lambda seconds=seconds: optics.shows(f"stock.{seconds}"), 5, "the other has it")
            assert not lookups.failures, lookups.failures[:3]
            wait_for(lambda: optics.shows("cryo.supply") and cryo.shows("optics.supply"), NEVER, "the names of both")
