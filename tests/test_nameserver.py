"""The nameserver answers every question as Pyro5's does."""

import threading

import Pyro5.api
import Pyro5.nsc
import pytest
from harness import (
    Service,
    Side,
    free_port,
    new_lab,
    outcome,
    proxy,
    stock_daemon,
    stock_nameserver,
)
from harness.nameserver_cases import CASES, OTHER, PYRO5_STORAGES_DISAGREE, THREE, URI

LAB = """\
version: "1.0"
nameservers:
  local: {host: localhost, ns_port: $ns_port, storage: $storage}
autolaunch: {nameservers: [local]}
"""
STORAGES = ["memory", "sql"]
SERIALIZERS = ["serpent", "marshal", "json", "msgpack"]


@pytest.fixture(scope="module", params=STORAGES)
def nameservers(request, tmp_path_factory):
    port = free_port()
    storage = request.param
    if storage == "sql":
        storage = f"sql:{tmp_path_factory.mktemp('stock') / 'names.sql'}"
    with stock_nameserver(storage=storage) as stock, new_lab() as lab:
        lab.config(LAB, ns_port=port, storage=request.param)
        lab.up()
        ours = f"PYRO:Pyro.NameServer@localhost:{port}"
        yield [Side("Pyro5", stock.uris), Side("Ferrolab", {"nameserver": ours})]


@pytest.fixture
def ours(nameservers):
    with nameservers[1].proxy("nameserver") as found:
        yield found
        found.remove(prefix="t.")


@pytest.fixture(scope="module")
def stock_in_memory():
    with stock_nameserver() as stock:
        yield Side("Pyro5 in memory", stock.uris)


def steps(*calls):
    """Calls as `(method, arguments..., {keywords})`."""
    for method, *args in calls:
        kwargs = args.pop() if args and isinstance(args[-1], dict) else {}
        yield method, args, kwargs


def promised(outcome):
    """As far as an answer is promised: of an error its class, and the text of a `NamingError`."""
    if outcome[0] == "returned":
        return outcome
    # Behind "invalid regex" stands how Python's regular expressions complain.
    exact = outcome[1] == "Pyro5.errors.NamingError" and "invalid regex" not in outcome[2]
    return outcome[:3] if exact else outcome[:2]


def conversation(side, name, serializer):
    answers = []
    with side.proxy("nameserver", serializer=serializer) as nameserver:
        for method, args, kwargs in steps(*CASES[name]):
            answer = outcome(lambda: order_free(nameserver._pyroInvoke(method, args, kwargs)))
            answers.append(promised(answer))
        nameserver.remove(prefix="t.")
    return answers


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("name", CASES)
def test_a_conversation_goes_as_with_pyro5(nameservers, stock_in_memory, serializer, name):
    stock, ours = nameservers
    if name in PYRO5_STORAGES_DISAGREE:
        stock = stock_in_memory
    expected = conversation(stock, name, serializer)
    reference = conversation(stock, name, "serpent")
    actual = conversation(ours, name, serializer)
    for call, want, sound, got in zip(CASES[name], expected, reference, actual, strict=True):
        if want[0] == "raised" and sound[0] == "returned":
            continue  # Pyro5 knows the answer and cannot carry it with this serializer: ours may
        assert got == want, call


def order_free(answer):
    """Metadata is a set, which some serializers carry as a list in any order."""
    if isinstance(answer, dict):
        return {name: order_free(answer[name]) for name in sorted(answer)}
    if isinstance(answer, (list, tuple)) and len(answer) == 2:
        uri, metadata = answer
        if isinstance(metadata, (set, frozenset)):
            return type(answer)([uri, ("set", sorted(metadata))])
        if isinstance(metadata, (list, tuple)):
            return type(answer)([uri, (type(metadata).__name__, sorted(metadata))])
    return answer


# Differences from Pyro5 on purpose, as docs/nameservers.md says: nobody can connect to these
# addresses, tags are text, and calls that Pyro5's two storages take differently are refused.
DIFFERENT = {
    "a port that is none": (("register", "t.a", "PYRO:o@h:99999"), "PyroError"),
    "a port below zero": (("register", "t.a", "PYRO:o@h:-1"), "PyroError"),
    "a port with an underscore": (("register", "t.a", "PYRO:o@h:5_0"), "PyroError"),
    "a name on a port that is none": (("register", "t.a", "PYRONAME:x@h:99999"), "PyroError"),
    "no host": (("register", "t.a", "PYRO:o@:5"), "PyroError"),
    "a number as a tag": (("register", "t.a", URI, False, [5]), "TypeError"),
    "nothing as a tag": (("register", "t.a", URI, False, [None]), "TypeError"),
    "several prefixes": (("list", ("t.", "u.")), "TypeError"),
    "several prefixes to remove": (("remove", None, ("t.", "u.")), "TypeError"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_different_on_purpose(stock_in_memory, ours, name):
    (method, *args), error = DIFFERENT[name]
    with stock_in_memory.proxy("nameserver") as stock:
        assert outcome(lambda: stock._pyroInvoke(method, args, {}))[0] == "returned"
        stock.remove(prefix="t.")
    refused = outcome(lambda: ours._pyroInvoke(method, args, {}))
    assert refused[0] == "raised" and refused[1].endswith(error), refused


def test_the_members_are_pyro5s_and_one_more(nameservers):
    def members(side):
        with side.proxy("nameserver") as nameserver:
            nameserver._pyroBind()
            return nameserver._pyroMethods, nameserver._pyroAttrs, nameserver._pyroOneway

    (methods, *others), ours = map(members, nameservers)
    assert ours == (methods | {"renew_leases"}, *others)


def test_locate_ns_finds_it(nameservers):
    for side in nameservers:
        uri = Pyro5.api.URI(side.uris["nameserver"])
        with Pyro5.api.locate_ns(host=uri.host, port=uri.port) as found:
            assert found._pyroUri.object == "Pyro.NameServer"
            assert found.ping() is None
            # Under which address it was asked is how it names itself.
            assert str(found.lookup("Pyro.NameServer")) == side.uris["nameserver"]


def test_a_name_and_a_tag_lead_to_an_object(ours):
    location = f"localhost:{ours._pyroUri.port}"
    with stock_daemon({"t.mirror": Service("mirror", "Mirror")}) as daemon:
        ours.register("t.mirror", daemon.uris["t.mirror"], metadata=["test", "mirror"])
        for uri in ("PYRONAME:t.mirror", "PYROMETA:mirror", "PYROMETA:test,mirror"):
            with proxy(f"{uri}@{location}") as mirror:
                assert mirror.same(5) == 5
        for uri in ("PYRONAME:t.nobody", "PYROMETA:nothing", "PYROMETA:test,nothing"):
            refused = outcome(lambda: proxy(f"{uri}@{location}")._pyroBind())
            assert refused[1] == "Pyro5.errors.NamingError", refused


def test_pyrolabs_daemon_registers_its_services(ours):
    """As PyroLab's manager does it: names, URIs as it got them, and a set with the description."""
    from mirror import Mirror
    from pyrolab.server import LockableDaemon

    daemon = LockableDaemon(host="localhost")
    uri = daemon.register(Pyro5.api.expose(Mirror))
    serving = threading.Thread(target=daemon.requestLoop)
    serving.start()
    try:
        ours.register("t.mirror", uri, metadata={"a mirror"})
        with proxy(f"PYRONAME:t.mirror@localhost:{ours._pyroUri.port}") as mirror:
            assert mirror.same(5) == 5
        assert ours.list(prefix="t.", return_metadata=True) == {
            "t.mirror": (str(uri), {"a mirror"})
        }
    finally:
        daemon.shutdown()
        serving.join()
        daemon.close()


def test_a_registered_proxy_of_a_proxy(ours):
    """`register` takes what a Python program has at hand: the URI of a proxy."""
    with proxy(URI) as unconnected:
        ours.register("t.a", unconnected._pyroUri)
    assert ours.lookup("t.a") == Pyro5.api.URI(URI)


BATCH = CASES["in one batch as one by one"]


def test_a_batch_is_answered_in_order(nameservers):
    """Changes in a batch are kept one after the other, and it ends after the first error."""

    def conversation(side):
        with side.proxy("nameserver") as nameserver:
            batch = Pyro5.api.BatchProxy(nameserver)
            for method, args, kwargs in steps(*BATCH, *THREE, ("lookup", "t.b")):
                getattr(batch, method)(*args, **kwargs)
            answers = []
            results = iter(batch())
            while not answers or answers[-1][0] == "returned":
                answers.append(promised(outcome(lambda: next(results))))
            answers.append(promised(outcome(lambda: order_free(nameserver.list(prefix="t.")))))
            nameserver.remove(prefix="t.")
            return answers

    stock, ours = map(conversation, nameservers)
    assert ours == stock
    assert [answer[0] for answer in ours] == ["returned", "raised", "returned"]


NSC = [
    ["ping"],
    ["register", "t.a", URI],
    ["register", "t.a", URI],
    ["register", "t.b", OTHER],
    ["register", "t.b"],
    ["setmeta", "t.a", "lab"],
    ["lookup", "t.a"],
    ["lookup", "t.nobody"],
    ["list", "t."],
    ["listmatching", r"t\.[ab]"],
    ["listmatching", "("],
    ["yplookup_all", "lab"],
    ["yplookup_any", "lab", "other"],
    ["setmeta", "t.a"],
    ["lookup", "t.a"],
    ["remove", "t.a"],
    ["remove", "t.a"],
    ["removematching", r"t\."],
    ["list", "t."],
]


def test_pyro5s_own_client_works_in_all_its_commands(nameservers, capsys, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: "y")

    def script(side):
        uri = Pyro5.api.URI(side.uris["nameserver"])
        answers = []
        for command in NSC:
            arguments = ["-n", uri.host, "-p", str(uri.port), *command]
            try:
                Pyro5.nsc.main(arguments)
                ended = "done"
            except (Exception, SystemExit) as exception:
                ended = type(exception).__name__
            said = capsys.readouterr().out
            # How Python's own regular expressions complain is not promised.
            answers.append((command, ended, said.partition("invalid regex")[0]))
        return answers

    stock, ours = map(script, nameservers)
    assert ours == stock
