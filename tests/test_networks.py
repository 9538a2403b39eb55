"""A lab on two networks without a default route, and networks that come and go.

Each client uses the address that it can reach: the nameserver, the services and the objects that
come as proxies tell it no other.
"""

import json
import subprocess
from pathlib import Path

import ferrolab
import pytest
from harness import NEVER, free_port, new_lab, stock_nameserver, wait_for
from harness.lab import interpreter
from harness.networks import networks
from harness.stock import plain_environment

CLIENT = Path(__file__).resolve().parent / "clients" / "network_client.py"

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: public, ns_port: $port, broadcast: true, ns_bcport: $udp}
daemons:
  bench: {classname: LockableDaemon, host: public, nameservers: [local]}
services:
  lab.wire: {module: wire, classname: Wire, daemon: bench, instancemode: single,
             description: a wire, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench]}
"""


def lab_on(cables, lab, configuration=CONFIGURATION, **values):
    lab.prefix = cables[0].lab.prefix
    lab.port, lab.udp = free_port(), free_port()
    lab.config(configuration, port=lab.port, udp=lab.udp, **values)
    lab.up()


def run_at(cable, *command, **environment):
    return subprocess.run(
        [*cable.client.prefix, *map(str, command)],
        capture_output=True,
        encoding="utf-8",
        env=plain_environment(**environment),
        timeout=120,
    )


def use(cable, *where, **environment):
    done = run_at(cable, interpreter(), CLIENT, *where, **environment)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


def find(cable, lab):
    """As `use`, by broadcast; a question that a busy host answers late is asked again."""

    def found():
        came = use(cable, "", lab.udp, PYRO_BROADCAST_ADDRS=cable.broadcast)
        return came if isinstance(came, dict) else None

    return wait_for(found, NEVER, "it is found")


def wait_for_name(lab):
    """A daemon that a busy nameserver does not answer runs before it has its names there."""
    known = lambda: lab.run("ns", "lookup", "lab.wire", "--ns", "local", check=False).returncode == 0
    wait_for(known, NEVER, "the service has its name")


def assert_used(cable, came, host, peer):
    assert isinstance(came, dict), came
    told = came["told"]
    assert told.pop("owner").strip("[]") == peer
    assert set(told.values()) == {host}, told
    assert came["calls"] == ["anna", 1, True, False]


@pytest.fixture(scope="module")
def two():
    """Two cables, and a lab between them."""
    with networks() as cables, new_lab() as lab:
        lab_on(cables, lab)
        wait_for_name(lab)
        yield cables, lab


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_each_client_is_told_the_address_that_it_reaches(two, which, family):
    cables, lab = two
    cable = cables[which]
    here, there = (cable.here, cable.there) if family == "IPv4" else (cable.here6, cable.there6)
    assert_used(cable, use(cable, here, lab.port), here, there)


@pytest.mark.parametrize("which", [0, 1])
def test_each_client_finds_it_by_broadcast(two, which):
    cables, lab = two
    cable = cables[which]
    # A stock client without a default route has to be told where its networks are.
    assert_used(cable, find(cable, lab), cable.here, cable.there)

    # Ours asks each network.
    def listed():
        done = run_at(cable, lab.binary, "nslist", "lab.", f"--discover={lab.udp}", "--json",
                      FERROLAB_HOME=str(lab.files / "nobody"))
        return json.loads(done.stdout) if done.returncode == 0 else None

    uri = wait_for(listed, NEVER, "ours finds it")[0]["uri"]
    assert uri.startswith(f"PYRO:lab.wire@{cable.here}:")


def test_a_client_on_the_host_itself_needs_no_network(two):
    cables, lab = two
    came = subprocess.run(
        [*cables[0].lab.prefix, interpreter(), str(CLIENT), "localhost", str(lab.port)],
        capture_output=True, encoding="utf-8", env=plain_environment(), timeout=120,
    )
    assert came.returncode == 0, came.stderr
    told = json.loads(came.stdout)["told"]
    told.pop("found at")
    assert set(told.values()) == {"127.0.0.1"}, told


def test_people_are_shown_an_address_that_others_reach(two):
    cables, lab = two
    wait_for(lambda: lab.run("status", check=False).returncode == 0, NEVER, "all is well")
    rows = lab.ps()
    shown = {row["uri"].partition("@")[2].rpartition(":")[0]
             for kind in ("nameservers", "daemons", "services") for row in rows[kind]}
    assert shown <= {cables[0].here, cables[1].here} and len(shown) == 1


def test_networks_come_and_go():
    """The first goes and comes back with another address; nothing is started anew."""
    with networks() as cables, new_lab() as lab:
        lab_on(cables, lab)
        wait_for_name(lab)
        pids = [row["pid"] for row in lab.ps()["daemons"] + lab.ps()["nameservers"]]
        first, second = cables
        first.disconnect()
        assert "No route" in (came := use(first, first.here, lab.port)) or "unreachable" in came \
            or "cannot connect" in came, came
        assert_used(second, use(second, second.here, lab.port), second.here, second.there)
        first.connect(here=first.here.rpartition(".")[0] + ".3")
        for cable in cables:
            assert_used(cable, use(cable, cable.here, lab.port), cable.here, cable.there)
            assert_used(cable, find(cable, lab), cable.here, cable.there)
        assert [row["pid"] for row in lab.ps()["daemons"] + lab.ps()["nameservers"]] == pids


def test_a_lab_starts_without_a_network_and_says_so():
    with networks(connected=False) as cables, new_lab() as lab:
        lab_on(cables, lab)
        told = lab.run("status", check=False).text
        assert told.count("nobody but this host can reach it") == 2, told
        assert lab.entry("daemons", "bench")["uri"].partition("@")[2].startswith("127.0.0.1:")
        cables[1].connect()
        fine = lambda: "nobody but this host" not in lab.run("status", check=False).text
        wait_for(fine, 10, "`status` is content")
        cable = cables[1]
        assert_used(cable, use(cable, cable.here, lab.port), cable.here, cable.there)
        assert cable.here in lab.entry("daemons", "bench")["uri"]


ELSEWHERE = CONFIGURATION.replace(
    "daemons:\n", '  first: {host: "$first", ns_port: $other}\n'
    '  second: {host: "$second", ns_port: $other}\ndaemons:\n'
).replace("nameservers: [local]}\nserv", "nameservers: [local, first, second]}\nserv").replace(
    "a wire, nameservers: [local]", "a wire, nameservers: [local, first, second]"
)


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
@pytest.mark.parametrize("batched", [False, True])
def test_all_addresses_of_another_host_are_the_one_that_it_came_from(two, family, batched):
    """A stock daemon registers `0.0.0.0`: clients of both networks are told where it is."""
    cables, lab = two
    cable, everywhere = cables[1], {"IPv4": "0.0.0.0", "IPv6": "[::]"}[family]
    here, there = (cable.here, cable.there) if family == "IPv4" else (cable.here6, cable.there6)
    name = f"far.{family}.{batched}"
    code = (
        "import Pyro5.api, sys; host, port, name, uri, batched = sys.argv[1:];"
        "ns = Pyro5.api.locate_ns(host, int(port));"
        "calls = Pyro5.api.BatchProxy(ns) if batched == 'True' else ns;"
        "calls.register(name, uri); list(calls() if batched == 'True' else ());"
        "print(ns.lookup(name)); print(ns.list(name)[name])"
    )
    uri = f"PYRO:far@{everywhere}:7"
    done = run_at(cable, interpreter(), "-c", code, here, lab.port, name, uri, str(batched))
    told = f"PYRO:far@{there}:7" if family == "IPv4" else f"PYRO:far@[{there}]:7"
    assert done.stdout.split() == [told, told], done.stderr
    # One on the host itself is at the address that the client asks at.
    command = [*cables[0].lab.prefix, interpreter(), "-c", code]
    arguments = ["localhost", str(lab.port), name, "PYRO:far@0.0.0.0:7", str(batched)]
    done = subprocess.run([*command, *arguments], capture_output=True, encoding="utf-8", timeout=120)
    assert done.stdout.split() == ["PYRO:far@127.0.0.1:7"] * 2, done.stderr


def test_nameservers_elsewhere_have_the_address_of_their_network():
    """Pyro5's own, one on each network; after a change of address, too."""
    other = free_port()

    def known_at(cable):
        # An address that is no longer there does not answer: the next look asks anew.
        code = ("import Pyro5.api, sys; Pyro5.api.config.COMMTIMEOUT = 10;"
                "ns = Pyro5.api.locate_ns(*sys.argv[1:2], int(sys.argv[2]));"
                "uri = ns.lookup('lab.wire'); print(uri.host);"
                "print(Pyro5.api.Proxy(uri).echo(1)[0][0])")
        done = run_at(cable, interpreter(), "-c", code, cable.there, other)
        return done.stdout.split()

    with networks() as cables, new_lab() as lab:
        first, second = cables
        serving = [stock_nameserver(cable.client.prefix, host=cable.there, port=other,
                                    enableBroadcast=False) for cable in cables]
        with serving[0], serving[1]:
            lab_on(cables, lab, ELSEWHERE, first=first.there, second=second.there, other=other)
            for cable in cables:
                wait_for(lambda: known_at(cable) == [cable.here, "1"], 20, "it is registered")
            first.disconnect()
            first.connect(here=first.here.rpartition(".")[0] + ".3")
            for cable in cables:
                wait_for(lambda: known_at(cable) == [cable.here, "1"], 30, "it has moved")


FAR = CONFIGURATION + 'labs: {far: {host: "$far", port: $other}}\n'


def test_an_address_that_another_host_has_told_does_not_lead_here():
    """By the name that this lab has, its service is called all the same."""
    other = free_port()
    with networks() as cables, new_lab() as lab:
        cable = cables[0]
        with stock_nameserver(cable.client.prefix, host=cable.there, port=other, enableBroadcast=False):
            lab_on(cables, lab, FAR, far=cable.there, other=other)
            wait_for_name(lab)
            uri = f"PYRO:lab.wire@{cable.here}:{lab.uri('lab.wire').rpartition(':')[2]}"

            def run_here(code):
                environment = plain_environment(PYTHONPATH=str(Path(ferrolab.__file__).parent.parent))
                command = [*cable.lab.prefix, interpreter(), "-c", code, cable.there, str(other), str(lab.port), uri]
                return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=NEVER)

            registered = run_here(
                "import Pyro5.api, sys; there, other, port, uri = sys.argv[1:]\n"
                "Pyro5.api.locate_ns(there, int(other)).register('lab.told', uri)"
            )
            assert registered.returncode == 0, registered.stderr

            def called(name):
                """A busy host may answer later than another lab is waited for."""
                done = lab.run("call", name, "echo", "1", check=False)
                return None if "no answer within" in done.text else done

            here, told = (wait_for(lambda: called(name), NEVER, name) for name in ("lab.wire", "far/lab.told"))
            assert here.returncode == 0, here.text
            assert told.returncode == 1 and "own host only" in " ".join(told.text.split()), told.text
            asked = run_here(
                "import ferrolab, sys; there, other, port, uri = sys.argv[1:]\n"
                f"with ferrolab.connect('localhost:' + port, connect_timeout={NEVER}) as lab:\n"
                "    try:\n        lab['far/lab.told'].echo(1)\n"
                "    except ferrolab.CommunicationError as error:\n        print(error)\n"
            )
            words = f"another lab's server, at {cable.there}:{other}, names {uri}, which is reachable on its own host only"
            assert asked.stdout.strip() == words, asked.stdout + asked.stderr
