"""Pyro5's own `test_server.py` and `test_naming.py`, as they are, against our servers.

Beside each run stands the same run against Pyro5: a test may fail with ours only if it fails with
Pyro5's server too. `cargo xtask test` fetches the files, by hash, from PyPI.
"""

import json
import os
import subprocess

import pytest
from harness import EXTENDED, SERIALIZERS, SERVERTYPES, free_port, proxy, stock_nameserver, wait_for
from harness.lab import TESTS, interpreter
from harness.stock import plain_environment

FILES = os.environ.get("FERROLAB_TEST_PYRO5_SUITE")
pytestmark = pytest.mark.skipif(not FILES, reason="FERROLAB_TEST_PYRO5_SUITE is not set: run `cargo xtask test --python`")

# Tests without a server of ours, each with its reason.
WITHOUT_A_HOSTED_DAEMON = {
    "TestServerBrokenHandshake": "overrides a method of a daemon in its own process",
    "TestMetaAndExpose": "functions of Pyro5's module; serves nothing",
    "TestSimpleServe": "Pyro5's `serve`, in a daemon in its own process that is never run",
    "TestExposeDecorator": "a decorator of Pyro5's; serves nothing",
    "TestBehaviorDecorator": "a decorator of Pyro5's; serves nothing",
    "testNatPortIPv6": "a daemon in its own process, with an address of its own; serves nothing",
    "testSerializedBlob": "a class of the client; serves nothing",
    "testSerializedBlobMessage": "a class of the client; serves nothing",
    "testTimeoutConnect": "a daemon in its own process that is never run, and so does not answer",
}
WITHOUT_A_NAMESERVER_ELSEWHERE = {
    "TestBCSetup": "starts and closes a nameserver in its own process",
    "testAutoClean": "looks into the thread of a nameserver in its own process, at its own pace",
    "testNameserverWithStmt": "a nameserver in its own process as a context manager",
    "testStartNSfunc": "starts and closes nameservers in its own process",
    "testNSmain": "the command line of Pyro5's nameserver",
    "testNSCmain": "the command line of Pyro5's client",
    "testNAT": "looks into a nameserver in its own process",
    "testRemoveNameThreadSafe": "holds a lock of the nameserver's own process",
    "TestOfflineNameServerTestsSqlStorage": "its store is Pyro5's; over the wire the tests are those of its base class",
}
# Tests that judge how fast the machine is: they take less than so many seconds for granted.
OF_SPEED = {
    "testBatchOneway": 0.1,
    "testOnewayDelayed": 0.2,
    "testTimeoutCall": 0.1,
    "testServerConnections": 0.5,
    "testGeneratorLinger": 0.5,
    "testGeneratorNoLinger": 0.2,
    "testResourceFreeing": 0.02,
}
# Once with each server type; all serializers with `--extended`.
RUNS = [
    pytest.param(
        servertype,
        serializer,
        marks=pytest.mark.skipif(
            (servertype, serializer) not in [("thread", "serpent"), ("multiplex", "msgpack")] and not EXTENDED,
            reason="only with `cargo xtask test --extended`",
        ),
    )
    for servertype in SERVERTYPES
    for serializer in SERIALIZERS
]
NO_LINGER = "testGeneratorNoLinger"
DAEMONS = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers", "$tests"]}
daemons:
  lingering: {servertype: $servertype, iter_stream_linger: 0.5}
  brief: {servertype: $servertype, iter_stream_linger: 0}
services:
  s.lingering: {module: pyro5_suite_driver, classname: Pyro5Suite, instancemode: single, daemon: lingering}
  s.brief: {module: pyro5_suite_driver, classname: Pyro5Suite, instancemode: single, daemon: brief}
autolaunch: {daemons: [lingering, brief]}
"""
NAMESERVER = """\
version: "1.0"
nameservers: {local: {host: 0.0.0.0, ns_port: $ns_port, broadcast: true, ns_bcport: $bc_port}}
autolaunch: {nameservers: [local]}
"""


def start(*words):
    """Starts a run in another process."""
    return subprocess.Popen(
        [interpreter(), "-P", TESTS / "harness" / "pyro5_suite.py", json.dumps(words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=plain_environment(),
    )


def result_of(run):
    with run:
        return json.loads(run.stdout.read())


def assert_nothing_fails_that_passes_with_pyro5(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert [name for name, outcome in theirs.items() if outcome == "passed"]
    worse = {name: ours[name] for name in theirs if theirs[name] == "passed" != ours[name]}
    assert not worse, "\n\n".join(f"{name}: {outcome}" for name, outcome in worse.items())


@pytest.mark.parametrize("servertype, serializer", RUNS)
def test_the_servers_tests_inside_of_a_worker(lab, servertype, serializer):
    file = f"{FILES}/test_server.py"
    other_type = {"thread": "TestServerMultiplexNoTimeout", "multiplex": "TestServerThreadNoTimeout"}
    left_out = [*WITHOUT_A_HOSTED_DAEMON, other_type[servertype], *([] if EXTENDED else OF_SPEED)]
    with start(file, serializer, {"left_out": left_out}) as theirs:
        lab.config(DAEMONS, servertype=servertype, tests=TESTS)
        lab.up()
        uris = {entry["name"]: entry["uri"] for entry in lab.ps()["services"]}
        ours = {}
        # How long a stream lingers is a setting of the daemon, and no test's own.
        for service, settings in [
            ("s.lingering", {"left_out": [*left_out, NO_LINGER]}),
            *([("s.brief", {"left_out": left_out, "only": [NO_LINGER]})] if EXTENDED else []),
        ]:
            with proxy(uris[service]) as suite:
                suite.start(file, serializer, settings)
                wait_for(lambda: suite.outcomes() is not None, 120, "the end of Pyro5's tests", interval=0.5)
                ours |= suite.outcomes()
        assert_nothing_fails_that_passes_with_pyro5(ours, result_of(theirs))


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_the_nameservers_tests_over_the_wire(lab, serializer):
    file = f"{FILES}/test_naming.py"
    settings = {"left_out": list(WITHOUT_A_NAMESERVER_ELSEWHERE)}
    lab.config(NAMESERVER, ns_port=(ns_port := free_port()), bc_port=(bc_port := free_port()))
    lab.up()
    with stock_nameserver(host="0.0.0.0", enableBroadcast=True, bcport=0) as stock:
        theirs = start(file, serializer, settings, stock.uris["nameserver"].partition("@")[2], stock.uris["broadcast"])
        ours = start(file, serializer, settings, f"localhost:{ns_port}", bc_port)
        assert_nothing_fails_that_passes_with_pyro5(result_of(ours), result_of(theirs))
