"""Databases of nameservers: kept through kills, open to Pyro5, replaced when broken."""

import sqlite3
import threading

import Pyro5.api
import Pyro5.errors
import pytest
from harness import free_port, proxy, stock_nameserver, wait_for
from harness.processes import kill

LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: localhost, ns_port: $ns_port, storage: "$storage", supervision: {backoff: [0]}}
daemons:
  bench: {host: localhost, nameservers: [local]}
services:
  lab.supply: {native: simulated.power_supply, daemon: bench, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench]}
"""
URI = "PYRO:object@localhost:1234"
RECOVERY = 30


@pytest.fixture
def start(lab):
    """Starts a lab whose nameserver keeps its names in `storage`; a proxy of the nameserver."""
    port = free_port()
    proxies = []

    def starting(storage="sql"):
        lab.config(LAB, ns_port=port, storage=storage)
        lab.up()
        proxies.append(proxy(f"PYRO:Pyro.NameServer@localhost:{port}"))
        return proxies[-1]

    yield starting
    for made in proxies:
        made._pyroRelease()


def test_names_outlive_the_nameserver(lab, start):
    nameserver = start()
    nameserver.register("t.a", URI, metadata=["x", "y"])
    nameserver.register("t.b", URI)
    nameserver.remove("t.b")
    nameserver._pyroRelease()
    lab.down()
    nameserver = start()
    assert nameserver.lookup("t.a", return_metadata=True) == (Pyro5.api.URI(URI), {"x", "y"})
    assert nameserver.list(prefix="t.") == {"t.a": URI}
    assert len(list(lab.home.rglob("nameserver-local.sql"))) == 1


def test_pyro5s_database_is_used_and_left_to_pyro5(lab, start):
    file = lab.files / "names.sql"
    storage = f"sql:{file}"
    with stock_nameserver(storage=storage) as stock, proxy(stock.uris["nameserver"]) as before:
        before.register("t.pyro5", URI, metadata=["from", "Pyro5"])
        before.register("t.gone", URI)
    with sqlite3.connect(file) as database:
        schema = dict(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    database.close()

    nameserver = start(storage)
    assert nameserver.lookup("t.pyro5", True) == (Pyro5.api.URI(URI), {"from", "Pyro5"})
    nameserver.register("t.ours", URI, metadata=["from", "Ferrolab"])
    nameserver.set_metadata("t.pyro5", ["changed"])
    nameserver.remove("t.gone")
    nameserver._pyroRelease()
    lab.down()

    with sqlite3.connect(file) as database:
        now = dict(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    database.close()
    assert now.pop("ferrolab_leases"), "the daemon's names had a lease"
    assert now == schema, "Pyro5's tables are as Pyro5 made them"
    with stock_nameserver(storage=storage) as stock, proxy(stock.uris["nameserver"]) as after:
        assert after.list(prefix="t.", return_metadata=True) == {
            "t.pyro5": (URI, {"changed"}),
            "t.ours": (URI, {"from", "Ferrolab"}),
        }
        after.register("t.again", URI, metadata=["x"])
        assert after.remove("t.ours") == 1


BROKEN = {
    "no database": b"this is not a database, and it is long enough to be taken for one",
    "torn": bytes(8192),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_corrupt_database_is_set_aside_and_refills(lab, start, kind):
    file = lab.files / "names.sql"
    file.write_bytes(BROKEN[kind])
    nameserver = start(f"sql:{file}")
    known = lambda: nameserver.lookup("lab.supply")
    wait_for(known, RECOVERY, "the daemon's names are there", Pyro5.errors.NamingError)
    aside = list(lab.files.glob("names.sql.corrupt-*"))
    assert [path.read_bytes() for path in aside] == [BROKEN[kind]]
    entry = lab.entry("nameservers", "local")
    assert entry["status"] == "running"
    assert "set aside" in entry["error"] and str(aside[0]) in entry["error"]


def test_a_database_that_is_deleted_is_written_again(lab, start):
    file = lab.files / "names.sql"
    nameserver = start(f"sql:{file}")
    nameserver.register("t.a", URI)
    for path in lab.files.glob("names.sql*"):
        path.unlink()
    nameserver.register("t.b", URI)
    nameserver._pyroRelease()
    lab.down()
    assert set(start(f"sql:{file}").list(prefix="t.")) == {"t.a", "t.b"}


def test_a_database_in_use_is_refused(lab, start):
    file = lab.files / "names.sql"
    start(f"sql:{file}")
    # By another way, which the configuration's check does not follow.
    way = lab.folder / "way"
    way.symlink_to(lab.files)
    second = '\n  second: {host: localhost, ns_port: $second, storage: "$again"}\ndaemons:'
    text = LAB.replace(", supervision: {backoff: [0]}}\ndaemons:", "}" + second)
    text = text.replace("{nameservers: [local], daemons", "{nameservers: [local, second], daemons")
    lab.down()
    storages = {"storage": f"sql:{file}", "again": f"sql:{way / file.name}"}
    lab.config(text, ns_port=free_port(), second=free_port(), **storages)
    lab.up(check=False)

    def refused():
        entries = [lab.entry("nameservers", name) for name in ("local", "second")]
        return [entry for entry in entries if "in use by another" in (entry["error"] or "")]

    wait_for(refused, RECOVERY, "one of two nameservers says that the file is the other's")


@pytest.mark.parametrize("clients", [1, 8])
def test_kill_in_the_middle_of_500_writes(lab, start, clients):
    """Every acknowledged registration is there afterwards, and the file opens every time."""
    start()
    port = lab.entry("nameservers", "local")["uri"].rpartition(":")[2]
    uri = f"PYRO:Pyro.NameServer@localhost:{port}"
    acknowledged = {}
    for round_number, kill_after in enumerate([50, 250, 400]):
        pid = wait_for(
            lambda: lab.entry("nameservers", "local")["pid"], RECOVERY, "the nameserver runs"
        )
        count = threading.Semaphore(0)

        def write(client, round_number=round_number, count=count):
            with proxy(uri) as nameserver:
                for number in range(500 // clients):
                    name = f"t.{round_number}.{client}.{number}"
                    try:
                        nameserver.register(name, URI, metadata=[name, "x"])
                    except Pyro5.errors.PyroError:
                        break  # killed: whether this one was kept is not promised
                    acknowledged[name] = (URI, {name, "x"})
                    count.release()
            count.release(1000)

        threads = [threading.Thread(target=write, args=[client]) for client in range(clients)]
        for thread in threads:
            thread.start()
        for _ in range(kill_after):
            count.acquire()
        kill(pid)
        for thread in threads:
            thread.join()

        def listed():
            with proxy(uri, timeout=5) as nameserver:
                return nameserver.list(prefix="t.", return_metadata=True)

        found = wait_for(listed, RECOVERY, "the nameserver is back", Pyro5.errors.PyroError)
        missing = {name for name, entry in acknowledged.items() if found.get(name) != entry}
        assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged names are lost"
        assert len(acknowledged) >= kill_after
        assert not list(lab.home.rglob("*.corrupt-*"))
