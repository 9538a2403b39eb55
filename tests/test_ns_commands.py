"""`ferrolab nslist` and `ferrolab ns`: names from the shell; and nameservers found by broadcast."""

import json
import socket
import threading

import Pyro5.api
import Pyro5.errors
import pytest
from harness import NEVER, free_port, new_lab, proxy, stock_nameserver, wait_for

URI = "PYRO:object@localhost:1234"
OTHER = "PYRO:other@localhost:4321"
TWO = """\
nameservers:
  first: {host: localhost, ns_port: $first}
  second: {host: localhost, ns_port: $second, storage: sql}
autolaunch: {nameservers: [first, second]}
"""


@pytest.fixture(scope="module")
def two():
    with new_lab() as lab:
        lab.ports = {"first": free_port(), "second": free_port()}
        lab.config(TWO, **lab.ports)
        lab.up()
        yield lab


@pytest.fixture
def first(two):
    with proxy(f"PYRO:Pyro.NameServer@localhost:{two.ports['first']}") as nameserver:
        nameserver.register("t.laser", URI, metadata=["laser", "room2"])
        nameserver.register("t.camera", OTHER, metadata=["camera", "room2"])
        nameserver.register("old.laser", URI, metadata=["laser"])
        yield nameserver
        nameserver.remove(regex="(t|old)")


# Arguments, and the names that are listed with them; the nameservers' own are left out.
LISTS = {
    "all of them": ([], {"t.laser", "t.camera", "old.laser"}),
    "a prefix": (["t."], {"t.laser", "t.camera"}),
    "a regex": (["--regex", r"\w+\.laser$"], {"t.laser", "old.laser"}),
    "all tags": (["--all", "laser", "room2"], {"t.laser"}),
    "any tag": (["--any", "camera", "laser"], {"t.laser", "t.camera", "old.laser"}),
    "no such tag": (["--all", "nothing"], set()),
    "a nameserver of the configuration": (["t.", "--ns", "first"], {"t.laser", "t.camera"}),
    "the other nameserver": (["t.", "--ns", "second"], set()),
}


@pytest.mark.parametrize("name", LISTS)
def test_names_are_listed_with_filters(two, first, name):
    arguments, expected = LISTS[name]
    rows = json.loads(two.run("nslist", *arguments, "--json").stdout)
    assert {row["name"] for row in rows} - {"Pyro.NameServer"} == expected
    for row in rows:
        assert set(row) == {"name", "uri", "metadata", "nameserver"}
        if row["name"] == "t.laser":
            assert row["uri"] == URI and row["metadata"] == ["laser", "room2"]
            assert row["nameserver"] == "first"
    table = two.run("nslist", *arguments).stdout
    assert all(name in table for name in expected)


def test_a_broken_regex_is_told_of(two, first):
    refused = two.run("nslist", "--regex", "(", check=False)
    assert refused.returncode == 1 and "invalid regex" in refused.stderr


def test_names_are_registered_changed_and_removed(two, first):
    ns = ["--ns", "first"]

    def tagged():
        uri, metadata = first.lookup("t.new", return_metadata=True)
        return str(uri), set(metadata)  # serpent has no empty set

    two.run("ns", "register", "t.new", URI, "--tag", "a", "--tag", "b", *ns)
    assert tagged() == (URI, {"a", "b"})
    assert two.run("ns", "lookup", "t.new").stdout.split() == [URI, "a", "b"]
    found = json.loads(two.run("ns", "lookup", "t.new", "--json").stdout)
    assert found == {"name": "t.new", "uri": URI, "metadata": ["a", "b"], "nameserver": "first"}

    taken = two.run("ns", "register", "t.new", OTHER, *ns, check=False)
    assert taken.returncode == 1
    assert "already registered" in taken.stderr and URI in taken.stderr and "--replace" in taken.stderr
    two.run("ns", "register", "t.new", OTHER, "--replace", *ns)
    assert tagged() == (OTHER, set())

    two.run("ns", "set-metadata", "t.new", "x", "y", *ns)
    assert tagged() == (OTHER, {"x", "y"})
    two.run("ns", "set-metadata", "t.new", *ns)
    assert tagged() == (OTHER, set())

    two.run("ns", "remove", "t.new", *ns)
    assert first.list(prefix="t.new") == {}
    again = two.run("ns", "remove", "t.new", *ns, check=False)
    assert again.returncode == 1 and "does not know" in again.stderr


def test_many_names_are_removed_only_on_purpose(two, first):
    ns = ["--ns", "first"]
    shown = two.run("ns", "remove", "--prefix", "t.", *ns, check=False)
    assert shown.returncode == 1 and "t.laser" in shown.stdout and "--yes" in shown.stderr
    assert len(first.list(prefix="t.")) == 2
    two.run("ns", "remove", "--prefix", "t.", "--yes", *ns)
    assert first.list(prefix="t.") == {}
    two.run("ns", "remove", "--regex", ".*", "--yes", *ns)
    assert set(first.list()) == {"Pyro.NameServer"}


@Pyro5.api.expose
class Failing:
    """A nameserver that fails at the second removal."""

    def __init__(self):
        self.names = {f"t.{letter}": URI for letter in "abc"}

    def ping(self):
        pass

    def list(self, **arguments):
        return {name: (uri, []) for name, uri in self.names.items()}

    def remove(self, name):
        if name == "t.b":
            raise RuntimeError("the disk is full")
        return 1


def test_what_was_removed_is_reported_also_after_an_error(two):
    with Pyro5.api.Daemon(port=0) as daemon:
        daemon.register(Failing(), "Pyro.NameServer")
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        try:
            port = daemon.locationStr.split(":")[1]
            words = ["ns", "remove", "--prefix", "t.", "--yes", "--ns", f"localhost:{port}"]
            plain = two.run(*words, check=False)
            scripted = two.run(*words, "--json", check=False)
        finally:
            daemon.shutdown()
            thread.join()
    assert plain.returncode == 1 and "Removed 1 of 3 name(s)" in plain.stdout
    assert "the disk is full" in plain.stderr
    assert scripted.returncode == 1
    removed = {row["name"]: row["removed"] for row in json.loads(scripted.stdout)}
    assert removed == {"t.a": True, "t.b": False, "t.c": False}


def test_scripts_get_names_in_one_shape(two, first):
    def run(*arguments, code=0):
        done = two.run("ns", *arguments, "--ns", "first", "--json", check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def row(*metadata, **others):
        entry = {"name": "t.new", "uri": URI, "metadata": [*metadata], "nameserver": "first"}
        return entry | others

    assert run("register", "t.new", URI, "--tag", "b", "--tag", "a") == row("a", "b")
    assert run("lookup", "t.new") == row("a", "b")
    assert run("set-metadata", "t.new", "c") == row("c")
    assert run("remove", "--prefix", "t.n", code=1) == [row("c", removed=False)]
    assert run("remove", "--prefix", "t.n", "--yes") == [row("c", removed=True)]
    assert run("remove", "--prefix", "t.n", "--yes") == []
    assert run("register", "t.new", URI) == row()
    assert run("remove", "t.new") == [row(removed=True)]
    assert run("remove", "t.new", code=1) == []
    own = run("remove", "Pyro.NameServer", code=1)
    assert [(one["name"], one["removed"]) for one in own] == [("Pyro.NameServer", False)]


MISTAKES = {
    "which nameserver": (["ns", "register", "t.x", URI], ["several", "first", "second", "--ns"]),
    "a name that is almost right": (["ns", "lookup", "t.lasre"], ["unknown name", "t.laser"]),
    "no URI": (["ns", "register", "t.x", "labhost", "--ns", "first"], ["labhost", "PYRO:"]),
    "an unknown name": (["ns", "set-metadata", "t.x", "--ns", "first"], ["unknown name: t.x"]),
    "its own name": (["ns", "remove", "Pyro.NameServer", "--ns", "first"], ["cannot be removed"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_with_what_to_do(two, first, name):
    arguments, words = MISTAKES[name]
    refused = two.run(*arguments, check=False)
    assert refused.returncode == 1
    assert all(word in refused.stderr for word in words), refused.stderr


# Discovery


def own_address():
    """This host's address on a network; the tests of discovery need one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this host is on no network")
        return probe.getsockname()[0]


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


DISCOVERED = """\
nameservers:
  local: {host: "$host", ns_port: $port, broadcast: true, ns_bcport: $udp}
autolaunch: {nameservers: [local]}
"""


def search(udp, monkeypatch):
    """Stock Pyro5's search of the network, past this host's usual port."""
    monkeypatch.setattr(Pyro5.config, "NS_HOST", "192.0.2.250")  # so that localhost is not asked
    monkeypatch.setattr(Pyro5.config, "NS_BCPORT", udp)
    monkeypatch.setattr(Pyro5.config, "COMMTIMEOUT", 2.0)
    monkeypatch.setattr(Pyro5.config, "NS_PORT", 1)
    return Pyro5.api.locate_ns()


@pytest.mark.parametrize("host", ["public", "0.0.0.0"])
def test_stock_clients_find_it_by_broadcast(lab, monkeypatch, host):
    address, udp, port = own_address(), free_udp_port(), free_port()
    lab.config(DISCOVERED, host=host, port=port, udp=udp)
    lab.up()
    # A question that a busy host answers late is asked again.
    with wait_for(lambda: search(udp, monkeypatch), 10, "it is found", Pyro5.errors.NamingError) as found:
        assert str(found._pyroUri) == f"PYRO:Pyro.NameServer@{found._pyroUri.host}:{port}"
        assert found._pyroUri.host in (address, "127.0.0.1")
        found._pyroTimeout = NEVER
        found.ping()


def test_nobody_is_answered_on_localhost(lab):
    udp = free_udp_port()
    lab.config(DISCOVERED, host="localhost", port=free_port(), udp=udp)
    lab.up()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", udp))  # not shared: nobody else listens there
    lost = lab.run("nslist", f"--discover={udp}", check=False)
    assert lost.returncode == 1 and str(udp) in lost.stderr


def test_the_command_line_finds_pyro5s_by_broadcast(lab):
    address, udp = own_address(), free_udp_port()
    settings = {"host": address, "bcport": udp, "enableBroadcast": True}
    with stock_nameserver(**settings) as stock, proxy(stock.uris["nameserver"]) as nameserver:
        nameserver.register("t.found", URI)
        search = ["nslist", f"--discover={udp}", "t.", "--json"]
        listed = lambda: (result := lab.run(*search, check=False)).returncode == 0 and result.stdout
        rows = json.loads(wait_for(listed, 10, "it is found"))
        assert [(row["name"], row["uri"]) for row in rows] == [("t.found", URI)]
        looked_up = lambda: lab.run("ns", "lookup", "t.found", f"--discover={udp}", check=False).stdout.strip() == URI
        wait_for(looked_up, 10, "it is looked up")


def test_what_the_network_says_does_not_move_the_terminal(two, first):
    """Names and tags are shown without control characters; scripts get them as they are."""
    name, tag = "t.\x1b[2Jname", "\x1b]0;tag\x07"
    first.register(name, URI, metadata=[tag])
    where = ["--ns", "first"]
    listed = two.run("nslist", "t.", *where).text
    found = two.run("ns", "lookup", name, *where).text
    removed = two.run("ns", "remove", "--prefix", "t.\x1b", *where, check=False).text
    for text in (listed, found, removed):
        assert "\ufffd" in text and "\x1b" not in text and "\x07" not in text, text
    rows = json.loads(two.run("nslist", "t.", *where, "--json").stdout)
    assert [tag] in [row["metadata"] for row in rows if row["name"] == name]


@pytest.mark.parametrize("which", ["--prefix", "--regex"])
def test_not_everything_is_removed_by_mistake(two, first, which):
    refused = two.run("ns", "remove", which, "", "--yes", "--ns", "first", check=False)
    assert refused.returncode == 2, refused.text
    assert len(first.list(prefix="t.")) == 2


def test_a_wrong_pattern_is_no_dead_nameserver(two, first):
    refused = two.run("nslist", "--regex", "(", check=False)
    assert refused.returncode == 1 and "invalid regex" in refused.text
    assert "is the lab up?" not in refused.text
