"""What is too much for a nameserver is refused in words; what is much is not."""

import time

import pytest
from harness import free_port, new_lab, outcome, proxy

LAB = """\
version: "1.0"
nameservers:
  local: {host: localhost, ns_port: $port, storage: $storage}
autolaunch: {nameservers: [local]}
"""
URI = "PYRO:object@localhost:1234"


@pytest.fixture(scope="module", params=["memory", "sql"])
def nameserver(request):
    port = free_port()
    with new_lab() as lab:
        lab.config(LAB, port=port, storage=request.param)
        lab.up()
        yield f"PYRO:Pyro.NameServer@localhost:{port}"


@pytest.fixture
def ours(nameserver):
    with proxy(nameserver) as found:
        yield found
        found.remove(prefix="t.")


TOO_MUCH = {
    "a long name": ("register", "t." + "x" * 2000, URI),
    "a long URI": ("register", "t.a", "PYRO:" + "x" * 3000 + "@localhost:1"),
    "many tags": ("register", "t.a", URI, False, [str(n) for n in range(1000)]),
    "a long tag": ("register", "t.a", URI, False, ["x" * 100_000]),
    "many tags later": ("set_metadata", "t.a", [str(n) for n in range(1000)]),
    "a long pattern": ("list", None, "x" * 10_000),
    "a pattern that grows": ("list", None, "((x{500}){500}){500}"),
    "a pattern that looks around": ("list", None, "(?=t)"),
    "a pattern that looks back": ("list", None, r"(t)\1"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_too_much_is_refused_in_words(ours, name):
    method, *args = TOO_MUCH[name]
    refused = outcome(lambda: getattr(ours, method)(*args))
    assert refused[:2] == ("raised", "Pyro5.errors.NamingError"), refused
    assert "at most" in refused[2] or "invalid regex" in refused[2], refused
    assert ours.list(prefix="t.") == {}


def test_a_pattern_runs_in_linear_time(ours):
    """Python's own `re` would be busy with this one until the end of the universe."""
    ours.register("t." + "a" * 200, URI)
    started = time.monotonic()
    assert ours.list(regex=r"t\.(a*)*(a*)*b") == {}
    assert time.monotonic() - started < 5


def test_many_names(ours):
    for number in range(500):
        ours.register(f"t.{number:03}", URI, metadata=["many"])
    assert len(ours.list(prefix="t.")) == 500
    assert len(ours.list(regex=r"t\.\d\d[05]")) == 100
    assert len(ours.yplookup(meta_all=["many"])) == 500
    assert ours.remove(prefix="t.4") == 100
    assert ours.count() == 401


def test_a_thousand_connections_at_once(nameserver):
    """Idle ones cost little, and nobody is refused."""
    proxies = [proxy(nameserver) for _ in range(1000)]
    try:
        for one in proxies:
            one._pyroBind()
        for one in proxies[::50]:
            assert one.count() == 1
    finally:
        for one in proxies:
            one._pyroRelease()
