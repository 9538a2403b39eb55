"""Several labs seen as one: each is read at its nameserver's port, and none depends on another."""

import asyncio
import contextlib
import json
import socket
import time

import ferrolab
import ferrolab.client.labs as manylabs
import pytest
from ferrolab.client.nameserver import Names
from ferrolab.client.settings import Settings
from ferrolab.client.uri import URI
from harness import NEVER, free_port, new_lab, proxy, stock_nameserver, wait_for, within
from harness.processes import stopped

CONFIGURATION = """\
nameservers: {local: {host: localhost, ns_port: $ns_port}}
daemons: {bench: {classname: LockableDaemon, nameservers: [local]}}
services:
  lab.meter:
    {native: simulated.multimeter, daemon: bench, nameservers: [local],
     members: {measure_voltage: {poll: 100ms, unit: V}}}
  lab.supply: {native: simulated.power_supply, daemon: bench, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench]}
"""
# Seconds within which a lab is shown as away, with the start of the command.
AWAY = 2.5
SETTINGS = {"timeout": NEVER, "connect_timeout": NEVER}
STOPPED = "no answer within 1.5s"


class Labs:
    """A lab with the labs `optics` and `cold` beside it; each has its own home."""

    def __init__(self, here, optics, cold):
        self.here, self.optics, self.cold = here, optics, cold

    def run(self, *args, check=True):
        """Runs a command; with `check` until all labs have answered, as on a busy machine."""
        if not check:
            return self.here.run(*args, check=False)

        def whole():
            done = self.here.run(*args, check=False)
            return done if done.returncode == 0 else None

        return wait_for(whole, NEVER, f"{args}: all labs answer", interval=1)

    def without(self, away_lab, *args):
        """The JSON of a command once this lab is away, and no other."""

        def shown():
            listing = self.json(*args, check=False)
            return listing if [name for name, why in away(listing).items() if why] == [away_lab] else None

        return wait_for(shown, NEVER, f"{args}: only {away_lab} is away", interval=1)

    def json(self, *args, check=True):
        return json.loads(self.run(*args, "--json", check=check).stdout)


@pytest.fixture(scope="module")
def labs():
    with contextlib.ExitStack() as stack:
        here, optics, cold = (stack.enter_context(new_lab()) for _ in range(3))
        for lab in (optics, cold):
            lab.ns_port = free_port()
            lab.config(CONFIGURATION, ns_port=lab.ns_port)
        here.ns_port = free_port()
        others = "labs: {optics: {host: localhost, port: $optics}, cold: {host: 127.0.0.1, port: $cold}}\n"
        ports = {"optics": optics.ns_port, "cold": cold.ns_port}
        here.config(CONFIGURATION + others, ns_port=here.ns_port, **ports)
        for lab in (here, optics, cold):
            lab.up()
        yield Labs(here, optics, cold)


def names(listing, kind="services"):
    return [row["name"] for row in listing[kind]]


def away(listing):
    return {lab["name"]: lab.get("away") for lab in listing["labs"]}


def test_all_labs_are_one_listing(labs):
    everything = labs.json("ps", "--all")
    own = ["lab.meter", "lab.supply"]
    expected = own + [f"{lab}/{name}" for lab in ("optics", "cold") for name in own]
    assert names(everything) == expected
    assert names(everything, "daemons") == ["bench", "optics/bench", "cold/bench"]
    assert away(everything) == {"optics": None, "cold": None}
    one = labs.json("ps", "--lab", "cold")
    assert names(one) == ["cold/lab.meter", "cold/lab.supply"] and away(one) == {"cold": None}
    assert one["services"][0]["uri"] == labs.cold.uri("lab.meter")
    two = labs.json("ps", "--lab", "cold", "--lab", "optics")
    assert set(away(two)) == {"optics", "cold"}
    # A lab that asks for nothing else is as before.
    assert names(labs.json("ps")) == own and "labs" not in labs.json("ps")
    shown = labs.run("ps", "--all").stdout
    assert "optics/lab.meter" in shown and f"localhost:{labs.optics.ns_port}" in shown


def test_locks_and_calls_of_other_labs(labs):
    with labs.optics.proxy("lab.supply") as supply:
        assert supply.lock("ada")

        def locked():
            return {row["service"]: row["owner"] and row["owner"]["user"] for row in labs.json("locks", "--all")}

        expected = {f"{lab}{name}": None for lab in ("", "optics/", "cold/") for name in ("lab.meter", "lab.supply")}
        wait_for(lambda: locked() == expected | {"optics/lab.supply": "ada"}, 10, "the lock of the other lab is shown")
        assert [row["service"] for row in labs.json("locks", "optics/lab.supply", "--lab", "optics")] == [
            "optics/lab.supply"
        ]

        def told():
            refused = labs.run("locks", "optics/lab.suply", "--lab", "optics", check=False)
            assert refused.returncode == 1
            return "did you mean `optics/lab.supply`?" in refused.stderr

        wait_for(told, NEVER, "a misspelt service is told", interval=1)
    assert labs.json("calls", "--lab", "cold") == []
    assert labs.run("calls", "--history", "--all", check=False).returncode == 2


def test_values_of_other_labs(labs):
    def measured():
        rows = labs.json("values", "--all")
        return {row["service"] for row in rows if row["quality"] == "good"}

    expected = {"lab.meter", "optics/lab.meter", "cold/lab.meter"}
    wait_for(lambda: measured() == expected, 30, "each lab has a value")
    one = labs.json("values", "optics/lab.meter.measure_voltage", "--lab", "optics")
    assert [(row["service"], row["unit"]) for row in one] == [("optics/lab.meter", "V")]


def test_names_of_other_labs(labs):
    for lab in (labs.here, labs.optics, labs.cold):
        lab.wait_for_names(lab.ns_port, {"lab.meter"})
    every = [row["name"] for row in labs.json("nslist", "--all")]
    assert {"lab.meter", "optics/lab.meter", "cold/lab.meter"} <= set(every)
    found = labs.json("nslist", "lab.m", "--lab", "optics")
    assert [(row["name"], row["nameserver"]) for row in found] == [("optics/lab.meter", "optics")]
    assert labs.run("nslist", "--all", "--ns", "local", check=False).returncode == 1
    assert labs.json("nslist", "--all", "camera") == [], "names of this lab with a tag"


def test_the_status_of_all_labs(labs):
    healthy = labs.run("status", "--all").stdout
    assert "All is well." in healthy and f"cold (127.0.0.1:{labs.cold.ns_port}) is up since" in healthy


def test_advice_is_for_the_host_of_the_lab(lab):
    """The lab is shown beside itself, which is only a warning."""
    lab.ns_port = free_port()
    absent = "  lab.absent: {module: not_there, classname: Absent, daemon: bench}\nautolaunch"
    itself = "labs: {itself: {host: localhost, port: $ns_port}}\n"
    text = CONFIGURATION.replace("autolaunch", absent) + itself
    told = lab.config(text, ns_port=lab.ns_port).text
    assert "this lab is shown beside itself" in told
    lab.up(check=False)

    def shown():
        told = json.loads(lab.run("status", "--lab", "itself", "--json", check=False).stdout)
        return told if not told["labs"][0]["away"] else None

    told = wait_for(shown, NEVER, "the lab is shown beside itself", interval=1)
    assert [lab["name"] for lab in told["labs"]] == ["itself"] and told["up"] is None
    subjects = [finding["subject"] for finding in told["findings"]]
    assert subjects and all(subject.startswith("itself: ") for subject in subjects)
    assert all(finding["advice"].startswith("on the host of itself: ") for finding in told["findings"])


@pytest.mark.parametrize("what", ["host", "supervisor"])
def test_a_lab_that_hangs_is_away_and_costs_the_others_nothing(labs, what):
    pids = [labs.cold.supervisor(), labs.cold.entry("nameservers", "local")["pid"]]
    with stopped(*pids[: 2 if what == "host" else 1]):
        # An answer serves for a moment.
        everything = labs.without("cold", "ps", "--all")
        for command in ("ps", "status"):
            begun = time.monotonic()
            shown = labs.run(command, "--all", "--json", check=False)
            took = time.monotonic() - begun
            assert shown.returncode == 1 and took < within(AWAY), took
        assert names(everything) == ["lab.meter", "lab.supply", "optics/lab.meter", "optics/lab.supply"]

        def is_said():
            reason = away(labs.json("ps", "--all", check=False))["cold"] or ""
            return reason == STOPPED if what == "host" else "its supervisor does not answer" in reason

        # A busy nameserver may not answer in time either.
        wait_for(is_said, NEVER, "what does not answer is said", interval=1)

        def told(command):
            done = labs.run(command, "--all", check=False)
            assert done.returncode == 1 and "cold" in done.stderr
            return "optics/lab.meter" in done.stdout

        for command in ("locks", "values"):
            wait_for(lambda command=command: told(command), NEVER, f"{command} shows the other lab", interval=1)
    assert away(labs.json("ps", "--all"))["cold"] is None


def test_a_lab_that_is_gone_is_away(labs):
    labs.optics.down()
    try:
        everything = labs.without("optics", "ps", "--all")
        assert names(everything) == ["lab.meter", "lab.supply", "cold/lab.meter", "cold/lab.supply"]
        assert "localhost" in away(everything)["optics"]
        shown = labs.run("status", "--lab", "optics", check=False)
        assert shown.returncode == 1 and "lab optics: it is away" in shown.stdout
        assert labs.run("nslist", "--lab", "optics", check=False).returncode == 1
    finally:
        labs.optics.up()
    assert away(labs.json("ps", "--all"))["optics"] is None


def test_this_lab_need_not_run(labs):
    labs.here.down()
    try:
        assert names(labs.json("ps", "--lab", "optics")) == ["optics/lab.meter", "optics/lab.supply"]

        def others():
            everything = labs.run("ps", "--all", "--json", check=False)
            assert everything.returncode == 1 and "this lab: the lab is not up" in everything.stderr
            return len(names(json.loads(everything.stdout))) == 4

        wait_for(others, NEVER, "the other labs are shown", interval=1)
    finally:
        labs.here.up()


def test_an_unknown_lab_is_refused(labs):
    refused = labs.run("ps", "--lab", "optic", check=False)
    assert refused.returncode == 1 and "did you mean `optics`?" in refused.stderr


def test_clients_see_what_the_roles_let_them(lab):
    lab.ns_port = free_port()
    access = """\
access:
  localhost: none
  grants: [{who: "*", what: [lab.meter, bench, local], role: view}]
"""
    lab.config(CONFIGURATION + access, ns_port=lab.ns_port)
    lab.up()
    with proxy(f"PYRO:ferrolab.Lab@localhost:{lab.ns_port}") as shown:
        # Its supervisor may be slow to answer.
        listing = wait_for(shown.listing, NEVER, "the lab is shown", ConnectionError)
        assert names(listing) == ["lab.meter"] and names(listing, "daemons") == ["bench"]
        values = wait_for(shown.values, NEVER, "the values are shown", ConnectionError)
        assert {row["service"] for row in values["series"]} <= {"lab.meter"}
        # No method changes a lab.
        assert set(shown._pyroMethods) == {"listing", "values"} and not shown._pyroAttrs
    lab.config(CONFIGURATION, ns_port=lab.ns_port)
    lab.run("reload")
    with proxy(f"PYRO:ferrolab.Lab@localhost:{lab.ns_port}") as shown:

        def all_shown():
            return names(shown.listing()) == ["lab.meter", "lab.supply"]

        wait_for(all_shown, NEVER, "the other rules hold", ConnectionError)


def test_what_is_no_lab_of_ours_is_said(lab):
    with stock_nameserver(host="localhost", port=0, enableBroadcast=False) as nameserver:
        port = str(nameserver.uris["nameserver"]).rpartition(":")[2]
        lab.config("labs: {other: {host: localhost, port: $port}}\n", port=port)

        def told(command, words):
            done = lab.run(command, "--lab", "other", check=False)
            return words in done.text

        for command, words in [("ps", "its nameserver shows no lab"), ("nslist", "Pyro.NameServer")]:
            wait_for(lambda asked=(command, words): told(*asked), NEVER, f"{command} says {words}", interval=1)


# The Python client


@pytest.mark.parametrize("where", ["home", "nameserver"])
def test_the_client_reaches_services_of_other_labs(labs, where):
    at = labs.here.home if where == "home" else f"localhost:{labs.here.ns_port}"
    labs.optics.wait_for_names(labs.optics.ns_port, {"lab.supply"})
    labs.here.wait_for_names(labs.here.ns_port, {"lab.supply"})
    with ferrolab.connect(at, **SETTINGS) as lab:
        assert set(lab) == {"lab.meter", "lab.supply"} | ({"bench"} if where == "nameserver" else set())

        def whole():
            others = lab.labs()
            return others if not any(other.away for other in others.values()) else None

        others = wait_for(whole, NEVER, "both labs answer")
        assert set(others) == {"optics", "cold"}
        assert others["optics"].services["lab.supply"] == labs.optics.uri("lab.supply")
        wait_for(lambda: "optics/lab.meter" in lab.services(labs=True), NEVER, "the lab answers")
        assert "optics/lab.meter" in lab and "optics/lab.nothing" not in lab and "optic/lab.meter" not in lab
        there, here = lab["optics/lab.supply"], lab["lab.supply"]
        here.voltage, there.voltage = 1, 3
        assert (there.voltage, here.voltage) == (3, 1), "each lab has its own"
        with ferrolab.locked(there, user="ada"), labs.optics.proxy("lab.supply") as stock:
            assert stock.lock_info()["user"] == "ada"
        for sample in lab.watch("optics/lab.meter", "measure_voltage"):
            assert sample.service == "optics/lab.meter"
            break
        with pytest.raises(ferrolab.NamingError, match="lab optics: "):
            lab["optics/lab.nothing"].voltage
        with pytest.raises(ferrolab.NamingError):
            lab["optic/lab.supply"].voltage
        with pytest.raises(ferrolab.NamingError, match="on the host of its lab"):
            lab.history("optics/lab.meter", "measure_voltage")

        async def asked():
            async with lab.aio as aio:
                assert await aio["optics/lab.supply"].voltage == 3
                assert set(await aio.labs()) == {"optics", "cold"}
                return await aio.services(labs=True)

        wait_for(lambda: "cold/lab.supply" in asyncio.run(asked()), NEVER, "the lab answers")


def test_the_client_goes_on_while_a_lab_hangs(labs):
    with (
        ferrolab.connect(labs.here.home, **SETTINGS) as lab,
        stopped(labs.cold.supervisor(), labs.cold.entry("nameservers", "local")["pid"]),
    ):

        def others():
            begun = time.monotonic()
            others = lab.labs()
            assert time.monotonic() - begun < within(AWAY)
            assert others["cold"].away and not others["cold"].services
            return "lab.supply" in others["optics"].services

        wait_for(others, NEVER, "the other lab answers")
        assert "cold/lab.supply" not in lab.services(labs=True)
        assert lab["optics/lab.supply"].identify()


@pytest.mark.parametrize(
    "host, uri, is_reached",
    [
        ("opticspc", "PYRO:x@opticspc:9100", True),
        ("opticspc", "PYRO:x@192.0.2.7:9100", True),
        ("opticspc", "PYRO:x@localhost:9100", False),
        ("opticspc", "PYRO:x@127.0.0.2:9100", False),
        ("opticspc", "PYRO:x@[::1]:9100", False),
        ("opticspc", "PYRO:x@[::ffff:127.0.0.1]:9100", False),
        ("opticspc", "PYRO:x@0.0.0.0:9100", False),
        ("opticspc", "PYRO:x@./u:/run/x.sock", False),
        ("opticspc", "PYRONAME:x", False),
        ("192.0.2.7", "PYRO:x@localhost:9100", False),
        ("localhost", "PYRO:x@localhost:9100", True),
        ("127.0.0.1", "PYRO:x@./u:/run/x.sock", True),
        ("localhost", "PYRONAME:x", False),
    ],
)
def test_the_client_takes_no_instrument_of_this_host_for_another_labs(monkeypatch, host, uri, is_reached):
    """A name for the own host of another lab leads to whatever this host has at that port."""

    class Directory:
        names = history = None

        def lab_rows(self):
            return [{"name": "optics", "host": host, "port": 9090}]

        def look_up(self, name):
            return uri

    monkeypatch.setattr(manylabs, "_names_of", lambda *_: Directory())
    labs = manylabs.ManyLabs(Directory(), Settings())
    if is_reached:
        assert str(labs.look_up("optics/lab.laser")) == uri
    else:
        with pytest.raises(ferrolab.NamingError, match="lab optics: lab.laser is reachable on its own host only"):
            labs.look_up("optics/lab.laser")


def test_a_lab_on_localhost_of_another_host_is_not_looked_for_on_this_one():
    class Remote(Names):
        def _listing(self, uri):
            hosts = {"cold": "localhost", "hot": "opticspc"}
            return {"labs": [{"name": name, "host": host, "port": 9190} for name, host in hosts.items()]}

    for host, is_here in (("198.51.100.7", False), ("localhost", True), (socket.gethostname(), True)):
        rows = {row["name"]: row for row in Remote(URI(f"PYRO:Pyro.NameServer@{host}:9090"), Settings()).lab_rows()}
        assert ("told_by" not in rows["cold"]) == is_here and "told_by" not in rows["hot"]
        labs = manylabs.ManyLabs(Remote(URI(f"PYRO:Pyro.NameServer@{host}:9090"), Settings()), Settings())
        if not is_here:
            with pytest.raises(ferrolab.NamingError, match="lab cold: it is named for 198.51.100.7 only, as localhost:9190"):
                labs.look_up("cold/lab.laser")


@pytest.mark.parametrize("error", [ConnectionError, ferrolab.RemoteError, ferrolab.CommunicationError])
def test_the_labs_of_before_count_whatever_the_directory_answers(monkeypatch, error):
    class Directory:
        names = history = None
        is_away = False

        def lab_rows(self):
            if self.is_away:
                raise error("its supervisor does not answer")
            return [{"name": "optics", "host": "opticspc", "port": 9090}]

        def names(self):
            return {"lab.laser": "PYRO:x@opticspc:9100"}

        def look_up(self, name):
            return self.names()[name]

    directory = Directory()
    monkeypatch.setattr(manylabs, "_names_of", lambda *_: directory)
    labs = manylabs.ManyLabs(directory, Settings())
    assert list(labs.labs()) == ["optics"]
    directory.is_away = True
    assert labs.labs()["optics"].services and labs.look_up("optics/lab.laser")
