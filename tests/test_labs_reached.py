"""Services of other labs from the shell; labs with TLS and logins; labs that send hostile texts."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import ferrolab
import Pyro5.api
import pytest
from ferrolab.client import transport
from harness import NEVER, free_port, new_lab, wait_for, within
from harness.processes import stopped

SUPPLY = "{native: simulated.power_supply, daemon: bench, nameservers: [local]}"
OPTICS = """\
nameservers: {local: {host: localhost, ns_port: $ns_port}}
daemons: {bench: {classname: LockableDaemon, nameservers: [local]}}
services:
  lab.supply: $supply
  lab.both: $supply
  lab.only: $supply
  lab.meter: {native: simulated.multimeter, daemon: bench, members: {measure_voltage: {poll: 100ms, unit: V}}}
autolaunch: {nameservers: [local], daemons: [bench]}
"""
COLD = OPTICS.partition("  lab.only")[0] + "autolaunch" + OPTICS.partition("autolaunch")[2]
HERE = COLD.replace("  lab.both: $supply\n", "") + (
    "labs: {optics: {host: localhost, port: $optics}, cold: {host: localhost, port: $cold},"
    " gone: {host: localhost, port: $gone}}\n"
)


@pytest.fixture(scope="module")
def labs():
    with contextlib.ExitStack() as stack:
        here, optics, cold = (stack.enter_context(new_lab()) for _ in range(3))
        for lab, text in ((optics, OPTICS), (cold, COLD)):
            lab.ns_port = free_port()
            lab.config(text, ns_port=lab.ns_port, supply=SUPPLY)
        here.ns_port = free_port()
        ports = {"optics": optics.ns_port, "cold": cold.ns_port, "gone": free_port()}
        here.config(HERE, ns_port=here.ns_port, supply=SUPPLY, **ports)
        for lab in (here, optics, cold):
            lab.up()
            lab.wait_for_names(lab.ns_port, {"lab.supply"})
        yield here, optics, cold


def done(lab, *words):
    """A command that another lab may have answered too late on a busy machine."""

    def asked():
        done = lab.run(*words, check=False)
        return None if "no answer within" in done.text else done

    return wait_for(asked, NEVER, f"{words}: the other lab answers", interval=1)


def test_services_of_other_labs_are_called_and_locked(labs):
    here, optics, _ = labs
    supply = "optics/lab.supply"
    assert done(here, "call", supply, "voltage", "4").returncode == 0
    assert done(here, "call", "lab.supply", "voltage", "1").returncode == 0
    assert done(here, "call", supply, "voltage").stdout == "4.0\n"
    with optics.proxy("lab.supply") as stock:
        assert stock.voltage == 4, "it is the other lab's"
    described = done(here, "describe", supply)
    assert described.stdout.startswith(supply) and "voltage" in described.stdout
    assert "voltage" in done(here, "call", supply).stdout
    info = [here.binary, "call", "--uri", optics.uri("lab.supply"), "lock_info"]
    locked = done(here, "lock", supply, "--user", "ada", "--", *info)
    assert locked.returncode == 0 and "'user': 'ada'" in locked.stdout, locked.text
    both = done(here, "session", "run", supply, "lab.supply", "--", "sh", "-c", "echo $FERROLAB_SESSION")
    assert both.returncode == 0 and optics.uri("lab.supply") in both.stdout, both.text
    with optics.proxy("lab.supply") as stock:
        assert not stock.islocked()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone/lab.supply", ["the lab 'gone' is away"]),
        ("optics/lab.suply", ["the lab 'optics' has no service 'lab.suply'", "did you mean `lab.supply`?"]),
        ("optic/lab.supply", ["there is no lab 'optic' in the configuration", "did you mean `optics`?"]),
        ("lab.both", ["several other labs have it", "`optics/lab.both` or `cold/lab.both`"]),
        ("lab.only", ["another lab has it: `optics/lab.only`"]),
    ],
)
def test_what_cannot_be_reached_is_said(labs, name, said):
    for words in (["call", name, "identify"], ["describe", name], ["lock", name, "--", "true"]):

        def told(words=words):
            refused = labs[0].run(*words, check=False)
            assert refused.returncode == 1 and "panicked" not in refused.text
            return all(text in " ".join(refused.stderr.split()) for text in said)

        wait_for(told, NEVER, f"{words} says {said}", interval=1)


def test_the_labs_of_before_count_while_this_one_hangs(labs):
    here, _, _ = labs
    pid = here.entry("nameservers", "local")["pid"]
    with ferrolab.connect(f"localhost:{here.ns_port}", timeout=NEVER, connect_timeout=NEVER) as lab:
        wait_for(lambda: lab.labs().get("optics") and not lab.labs()["optics"].away, NEVER, "a lab answers")
        with stopped(pid):

            def others():
                begun = time.monotonic()
                found = lab.labs()
                assert time.monotonic() - begun < within(2)
                return found if not found["optics"].away else None

            found = wait_for(others, NEVER, "the other lab answers")
            assert "lab.supply" in found["optics"].services and found["gone"].away


# Labs with TLS and rules of access

SECURED = """\
nameservers: {local: {host: localhost, ns_port: $ns_port, ssl: $ssl}}
daemons: {bench: {classname: LockableDaemon, nameservers: [local], ssl: $ssl}}
services:
  lab.supply: $supply
  lab.secret: $supply
  lab.meter:
    {native: simulated.multimeter, daemon: bench, nameservers: [local],
     members: {measure_voltage: {poll: 100ms, unit: V}}}
access:
  localhost: none
  network: none
  grants: [{who: ada, what: [lab.supply, lab.meter, bench, local], role: operate}]
autolaunch: {nameservers: [local], daemons: [bench]}
"""


def listed(lab, *words):
    shown = lab.run(*words, "--json", check=False)
    return json.loads(shown.stdout) if shown.stdout else []


@pytest.mark.parametrize("ssl", ["offered", "true"])
def test_a_lab_is_read_with_a_login(ssl, monkeypatch):
    """A user of the other lab is shown what the user may see there, with TLS or without."""
    with new_lab() as here, new_lab() as secured:
        port = free_port()
        secured.config(SECURED, ns_port=port, ssl=ssl, supply=SUPPLY)
        login = secured.run("user", "add", "ada").stdout.split()
        secured.up()
        tls = ", ssl: true" if ssl == "true" else ""
        authority = json.loads(secured.run("cert", "show", "--json").stdout)["authority"]["file"]
        # The authority is the entry's, and the certificate still the login's.
        entries = (
            "labs: {secured: {host: localhost, port: $port%s},"
            ' pinned: {host: localhost, port: $port, ssl: true, ssl_cacerts: "$ca"}}\n'
        )
        here.config(entries % tls, port=port, ca=authority)
        # Without a login there is nothing to see.
        strangers = here.run("ps", "--lab", "secured", "--json", check=False)
        assert "lab.supply" not in strangers.stdout
        assert login[:2] == ["ferrolab", "login"]
        here.run(*login[1:])

        def services():
            return [row["name"] for row in listed(here, "ps", "--lab", "secured")["services"]]

        own = ["secured/lab.meter", "secured/lab.supply"]
        wait_for(lambda: sorted(services()) == own, NEVER, "the user sees services", interval=1)

        def names():
            return {row["name"] for row in listed(here, "nslist", "--lab", "secured")}

        wait_for(lambda: set(own) <= names(), NEVER, "the user sees names", interval=1)

        assert done(here, "call", "secured/lab.supply", "voltage", "2").returncode == 0
        assert done(here, "call", "secured/lab.supply", "voltage").stdout == "2.0\n"
        refused = done(here, "call", "secured/lab.secret", "voltage")
        assert refused.returncode == 1, refused.text
        locked = done(here, "lock", "secured/lab.supply", "--", "true")
        assert locked.returncode == 0, locked.text

        here.up()
        monkeypatch.setenv("FERROLAB_HOME", str(here.home))
        with ferrolab.connect(here.home, timeout=NEVER, connect_timeout=NEVER) as lab:
            for name in ("secured/lab.supply", "pinned/lab.supply"):
                away = (ferrolab.CommunicationError, ferrolab.NamingError)
                wait_for(lambda name=name: lab[name].voltage == 2, NEVER, f"Python calls {name}", away)
        monkeypatch.undo()

        # A nameserver reads values as a client of its host.
        assert listed(here, "values", "--lab", "secured") == []
        seen = SECURED.replace("localhost: none", "localhost: view")
        secured.config(seen, ns_port=port, ssl=ssl, supply=SUPPLY)
        secured.run("reload")

        def values():
            return {row["service"] for row in listed(here, "values", "--lab", "secured") if row["quality"] == "good"}

        wait_for(lambda: values() == {"secured/lab.meter"}, NEVER, "the user sees values", interval=1)


def test_a_lab_is_read_with_the_certificates_of_its_entry(monkeypatch):
    with new_lab() as here, new_lab() as secured:
        port = free_port()
        wire = "  lab.wire: {module: wire, classname: Wire, daemon: bench, nameservers: [local], instancemode: single}\n"
        python = 'python: {executable: "$python", path: ["$drivers"]}\n'
        open_to_all = python + SECURED.partition("access:")[0] + wire + "autolaunch: {nameservers: [local], daemons: [bench]}\n"
        secured.config(open_to_all, ns_port=port, ssl="true", supply=SUPPLY)
        secured.up()
        authority = json.loads(secured.run("cert", "show", "--json").stdout)["authority"]["file"]
        entry = "labs: {secured: {host: localhost, port: $port, ssl: true%s}}\n"
        here.config(entry % ', ssl_cacerts: "$ca"', port=port, ca=authority)

        def services():
            return [row["name"] for row in listed(here, "ps", "--lab", "secured")["services"]]

        wait_for(lambda: "secured/lab.supply" in services(), NEVER, "the lab is read", interval=1)
        assert done(here, "call", "secured/lab.supply", "voltage", "3").returncode == 0
        assert done(here, "call", "secured/lab.supply", "voltage").stdout == "3.0\n"
        here.up()
        # The entry counts before the environment, and what the program says before the entry.
        monkeypatch.setenv("PYRO_SSL", "1")
        with ferrolab.connect(here.home, tls=False) as lab:
            with pytest.raises(ferrolab.CommunicationError, match="TLS"):
                lab["secured/lab.supply"].voltage
        with ferrolab.connect(here.home, timeout=NEVER, connect_timeout=NEVER) as lab:
            supply = lab["secured/lab.supply"]
            away = (ferrolab.CommunicationError, ferrolab.NamingError)
            wait_for(lambda: supply.voltage == 3, NEVER, "the client calls it", away)
            with ferrolab.locked(supply, user="ada"):
                assert supply.lock_info()["user"] == "ada"
            for sample in lab.watch("secured/lab.meter", "measure_voltage"):
                assert sample.service == "secured/lab.meter"
                break

            assert lab["secured/lab.wire"].adopt("eve").who() == "eve", "its objects are called as it is"

            async def asked():
                async with lab.aio as aio:
                    child = await aio["secured/lab.wire"].adopt("ann")
                    assert await child.who() == "ann"
                    return await aio["secured/lab.supply"].voltage

            assert asyncio.run(asked()) == 3
        monkeypatch.undo()
        # An authority that nobody has named is not trusted.
        here.config(entry % "", port=port)
        for words in (["ps", "--lab", "secured"], ["call", "secured/lab.supply", "voltage"]):
            distrusted = done(here, *words)
            assert distrusted.returncode == 1 and "is away" in distrusted.stderr, distrusted.text


def test_other_labs_are_shown_to_those_who_may_look(lab):
    lab.ns_port = free_port()
    text = COLD + "labs: {elsewhere: {host: elsewhere.example, port: 9191}}\n"
    access = "access: {localhost: $role, grants: [{who: ada, what: lab.supply, role: view}]}\n"

    def seen():
        with Pyro5.api.Proxy(f"PYRO:ferrolab.Lab@localhost:{lab.ns_port}") as shown:
            return shown.listing()

    lab.config(text, ns_port=lab.ns_port, supply=SUPPLY)
    lab.up()
    assert [row["host"] for row in wait_for(seen, NEVER, "the lab is shown", ConnectionError)["labs"]] == [
        "elsewhere.example"
    ]
    for role, hosts in [("none", []), ("view", ["elsewhere.example"])]:
        rules = access.replace("$role", role).replace("who: ada", "who: nobody")
        lab.config(text + rules, ns_port=lab.ns_port, supply=SUPPLY)
        lab.run("reload")

        def shown(hosts=hosts):
            return [row["host"] for row in seen().get("labs", [])] == hosts

        wait_for(shown, NEVER, f"with the role {role}: {hosts}", ConnectionError)


# Hostile texts

ODD = "\x1b[2J\x1b]0;owned\x07\u202e"


def spoiled(value, keys):
    """A listing with texts that would drive a terminal."""
    if isinstance(value, dict):
        made = {}
        for key, inner in value.items():
            is_text = key in keys and isinstance(inner, str)
            made[key] = ODD + inner if is_text else spoiled(inner, keys)
        return made
    return [spoiled(item, keys) for item in value] if isinstance(value, list) else value


@pytest.fixture
def hostile(labs, lab):
    """A server that shows what a lab shows, with other texts; and a lab that names it."""
    _, optics, _ = labs
    with Pyro5.api.Proxy(f"PYRO:ferrolab.Lab@localhost:{optics.ns_port}") as real:
        listing = wait_for(real.listing, NEVER, "the lab is shown", ConnectionError)
        series = wait_for(lambda: real.values()["series"], NEVER, "the lab has a value", ConnectionError)
    keys = {"name", "error", "service", "daemon", "user", "uri", "address", "member", "text", "subject"}
    keys |= {"message", "unit"}

    @Pyro5.api.expose
    class Shown:
        def listing(self):
            return spoiled(listing, keys) | {"troubles": [ODD + "trouble"]}

        def values(self):
            rows = [row | {"value": [ODD]} for row in spoiled(series, keys)] + [{"nonsense": ODD}]
            return {"series": rows, "away": {ODD + "d": ODD + "gone"}}

    @Pyro5.api.expose
    class Names:
        def list(self, *_, **options):
            uri = "PYRO:x@localhost:1"
            return {ODD + "name": (uri, [ODD]) if options.get("return_metadata") else uri}

        def lookup(self, name, **_):
            raise Pyro5.errors.NamingError(ODD + "unknown")

        def ping(self):
            pass

    with Pyro5.api.Daemon(host="localhost") as daemon:
        daemon.register(Shown(), "ferrolab.Lab")
        daemon.register(Names(), "Pyro.NameServer")
        thread = threading.Thread(target=daemon.requestLoop, daemon=True)
        thread.start()
        lab.config("labs: {odd: {host: localhost, port: $port}}\n", port=daemon.locationStr.rpartition(":")[2])
        yield lab
        daemon.shutdown()
        thread.join()


@pytest.mark.parametrize("command", ["ps", "status", "calls", "locks", "values", "nslist"])
def test_texts_of_another_lab_move_no_cursor(hostile, command):
    for options in ([], ["--json"]):
        shown = done(hostile, command, "--lab", "odd", *options)
        assert shown.returncode in (0, 1) and "panicked" not in shown.text
        # JSON has its own escapes, and leaves other letters as they are.
        for odd in ("\x1b", "\x07") if options else ("\x1b", "\x07", "\u202e"):
            assert odd not in shown.text, (command, options, shown.text)
        assert command == "calls" or "lab." in shown.text or "name" in shown.text, "there is something to show"


def test_texts_of_another_labs_nameserver_move_no_cursor(hostile):
    for name in ("odd/x", "x"):
        refused = done(hostile, "call", name, "m")
        assert refused.returncode == 1 and "\x1b" not in refused.text and "\x07" not in refused.text


def test_a_token_of_this_lab_is_not_sent_to_others(labs):
    here, optics, _ = labs
    heard = []

    @Pyro5.api.expose
    class Listener:
        def answer(self):
            return 42

        def other(self):
            return Pyro5.api.Proxy("PYRO:lab.other@localhost:1")

    class Daemon(Pyro5.api.Daemon):
        def validateHandshake(self, conn, data):
            heard.append(data)
            return "hello"

    with Daemon() as daemon:
        uri = daemon.register(Listener())
        threading.Thread(target=daemon.requestLoop, daemon=True).start()
        for port in (here.ns_port, optics.ns_port):
            with Pyro5.api.Proxy(f"PYRO:Pyro.NameServer@localhost:{port}") as nameserver:
                nameserver.register("lab.listener", uri)
        with ferrolab.connect(f"localhost:{here.ns_port}", handshake="secret", connect_timeout=NEVER) as lab:
            for name, expected in (("lab.listener", "secret"), ("optics/lab.listener", "hello")):
                heard.clear()
                assert lab[name].answer() == 42
                # The daemon has no feed, and no `abort`.
                with contextlib.suppress(ferrolab.PyroError, ValueError):
                    ferrolab.abort(lab[name])
                with contextlib.suppress(ferrolab.PyroError), lab.watch(name, "x") as watch:
                    next(iter(watch))
                with contextlib.suppress(ferrolab.PyroError):
                    lab.history(name, "x", at=f"localhost:{uri.port}")
                assert len(heard) > 3 and set(heard) == {expected}
                other = lab[name].other()._pyroUri
                assert str(other) == "PYRO:lab.other@localhost:1"
                assert other.is_elsewhere == (name != "lab.listener")
                proxy = lab[name]
                proxy._pyroHandshake = "for this proxy"
                assert proxy.answer() == 42 and heard[-1] == "for this proxy"
        daemon.shutdown()


def test_a_name_that_another_lab_has_told_does_not_lead_here(labs, monkeypatch):
    here, optics, _ = labs
    resolve = socket.getaddrinfo
    leads = lambda host, *rest, **more: resolve("localhost" if host == "told.example" else host, *rest, **more)
    monkeypatch.setattr(socket, "getaddrinfo", leads)
    uri = f"PYRO:lab.supply@told.example:{optics.uri('lab.supply').rpartition(':')[2]}"
    with Pyro5.api.Proxy(f"PYRO:Pyro.NameServer@localhost:{optics.ns_port}") as nameserver:
        nameserver.register("lab.told", uri)

    def read():
        with ferrolab.connect(f"localhost:{here.ns_port}", timeout=NEVER, connect_timeout=NEVER) as lab:
            return lab["optics/lab.told"].voltage

    async def read_aio():
        async with ferrolab.connect(f"localhost:{here.ns_port}", timeout=NEVER, connect_timeout=NEVER).aio as lab:
            return await lab["optics/lab.told"].voltage

    def watch():
        with ferrolab.connect(f"localhost:{here.ns_port}", timeout=NEVER, connect_timeout=NEVER) as lab:
            with lab.watch("optics/lab.told", "voltage") as samples:
                raise ferrolab.CommunicationError(next(iter(samples)).error)

    ways = (read, lambda: asyncio.run(read_aio()), watch)
    try:
        # The lab is on this host itself.
        assert ways[0]() == ways[1]()
        monkeypatch.setattr(transport, "is_here", lambda sock, uri: False)
        for way in ways:
            with pytest.raises(ferrolab.CommunicationError, match="on its own host only") as refused:
                way()
            assert f"at localhost:{optics.ns_port}, names PYRO:" in str(refused.value)
    finally:
        with Pyro5.api.Proxy(f"PYRO:Pyro.NameServer@localhost:{optics.ns_port}") as nameserver:
            nameserver.remove("lab.told")
