"""From a PyroLab YAML file to a stock Pyro5 client: the whole way."""

import subprocess

import Pyro5.api
import pytest
from harness import NEVER, free_port, new_lab, proxy
from harness.lab import Lab, interpreter
from harness.processes import alive

CONFIGURATION = """\
version: "1.0"
nameservers:
  local: {host: localhost, ns_port: $ns_port}
daemons:
  bench: {host: localhost, servertype: thread, nameservers: [local]}
services:
  lab.sample: {module: pyrolab.drivers.sample, classname: SampleService, daemon: bench, instancemode: session, nameservers: [local]}
  lab.shared: {module: pyrolab.drivers.sample, classname: SampleService, daemon: bench, instancemode: single, nameservers: [local]}
  lab.laser: {module: pyrolab.drivers.sample, classname: SampleAutoconnectInstrument, parameters: {address: "here", port: 12345}, daemon: bench, instancemode: single, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench]}
"""
# Which Python has PyroLab is the one thing that the file cannot know.
PYTHON = 'python: {executable: "$python"}\n'
SERVICES = ["lab.sample", "lab.shared", "lab.laser"]


def start(lab, configuration=CONFIGURATION + PYTHON):
    lab.ns_port = free_port()
    lab.config(configuration, ns_port=lab.ns_port)
    lab.started = lab.up()
    lab.wait_for_names(lab.ns_port, SERVICES)
    return lab


@pytest.fixture(scope="module")
def running(module_lab):
    return start(module_lab)


@pytest.fixture
def nameserver(running):
    with Pyro5.api.locate_ns(host="localhost", port=running.ns_port) as found:
        found._pyroTimeout = NEVER
        yield found


@pytest.fixture
def sample(nameserver):
    with proxy(nameserver.lookup("lab.sample")) as found:
        yield found


# The command line


def test_up_says_what_became_ready(running: Lab):
    for name in ["local", "bench", *SERVICES]:
        assert name in running.started.text


def test_ps_json_tells_everything(running: Lab):
    status = running.ps()
    assert set(status) >= {"nameservers", "daemons", "services"}
    assert [entry["name"] for entry in status["nameservers"]] == ["local"]
    assert [entry["name"] for entry in status["daemons"]] == ["bench"]
    assert sorted(entry["name"] for entry in status["services"]) == sorted(SERVICES)
    for entry in status["nameservers"] + status["daemons"]:
        assert entry["status"] == "running", entry
        assert not entry["error"], entry
        assert entry["restarts"] == 0, entry
        assert entry["since"], entry
        assert alive(entry["pid"]), entry
        assert Pyro5.api.URI(entry["uri"]).host == "localhost"
    for entry in status["services"]:
        assert entry["status"] == "running", entry
        assert not entry["error"], entry
        assert entry["daemon"] == "bench", entry
        # The object's id is the service's name, so that a URI outlives a restart.
        assert Pyro5.api.URI(entry["uri"]).object == entry["name"]
    assert str(running.ns_port) in status["nameservers"][0]["uri"]


def test_ps_shows_a_person_the_same(running: Lab):
    text = running.run("ps").stdout
    for name in ["local", "bench", *SERVICES]:
        assert name in text
    assert "running" in text


def test_nslist_shows_the_names(running: Lab):
    text = running.run("nslist").stdout
    for name in ["Pyro.NameServer", "bench", *SERVICES]:
        assert name in text
    assert running.uri("lab.sample") in text


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["lab.sample", "add", "1", "2", "3"], "6"),
        (["lab.sample", "add", "1.5", "-2"], "-0.5"),
        (["lab.sample", "echo", "'hi'"], "SERVER RECEIVED: hi"),
        (["lab.sample", "subtract", "a=5", "b=3"], "2"),
        (["lab.sample", "divide", "1", "den=8"], "0.125"),
        (["lab.sample", "multiply", "2", str(2**200)], str(2**201)),
        (["lab.sample", "ping"], "True"),
    ],
)
def test_call_by_name(running: Lab, words, printed):
    assert printed in running.run("call", *words).stdout


def test_call_by_uri_needs_no_nameserver(running: Lab):
    uri = running.uri("lab.sample")
    assert "6" in running.run("call", "--uri", uri, "add", 1, 2, 3).stdout
    with new_lab() as elsewhere:
        assert "6" in elsewhere.run("call", "--uri", uri, "add", 1, 2, 3).stdout


# A stock client


def test_the_nameserver_and_ps_agree(running: Lab, nameserver):
    for name in SERVICES:
        assert str(nameserver.lookup(name)) == running.uri(name)


def test_methods(sample):
    assert sample.echo("hello") == "SERVER RECEIVED: hello"
    assert sample.add(1, 2, 3) == 6
    assert sample.delayed_echo("later", 0.2) == "SERVER RECEIVED: later"
    assert sample.subtract(b=1, a=3) == 2
    assert sample.ping() is True


def test_a_property(sample):
    assert sample.attribute is False
    sample.attribute = {"range": [1, 2.5]}
    assert sample.attribute == {"range": [1, 2.5]}


def test_an_error_arrives_with_its_remote_traceback(sample):
    with pytest.raises(TypeError) as caught:
        sample.add("x", 1)
    assert str(caught.value) == "unsupported operand type(s) for +: 'int' and 'str'"
    remote = "".join(caught.value._pyroTraceback)
    assert "sample.py" in remote and "in add" in remote and "TypeError" in remote
    assert sample.add(1, 1) == 2


def test_a_session_has_its_own_instance(running: Lab):
    with running.proxy("lab.sample") as one, running.proxy("lab.sample") as two:
        assert one.whoami() == one.whoami()
        assert one.whoami() != two.whoami()
        one.attribute = "mine"
        assert two.attribute is False


def test_a_single_instance_is_everyones(running: Lab):
    with running.proxy("lab.shared") as one, running.proxy("lab.shared") as two:
        assert one.whoami() == two.whoami()
        one.attribute = "ours"
        assert two.attribute == "ours"


def test_autoconnect_passes_the_parameters_to_the_driver(running: Lab):
    with running.proxy("lab.laser") as laser:
        with pytest.raises(Exception) as caught:
            laser.autoconnect()
        assert type(caught.value) is Exception
        assert caught.value.args == ("This test method requires address to be '0.0.0.0'.",)
        assert caught.value._pyroTraceback
        with pytest.raises(Exception, match="cannot do work until connection is made"):
            laser.do_something()
        assert laser.connect(address="0.0.0.0", port=12345) is True
    with running.proxy("lab.laser") as again:
        assert again.do_something() is True


def test_names_resolve_in_a_proxy(running: Lab):
    with proxy(f"PYRONAME:lab.sample@localhost:{running.ns_port}") as sample:
        assert sample.add(1, 2) == 3


def test_pyrolabs_own_client_works(running: Lab):
    """In a separate process: importing `pyrolab.api` changes Pyro5's settings."""
    script = (
        "from pyrolab.api import Proxy, locate_ns\n"
        f"with locate_ns('localhost', {running.ns_port}) as ns:\n"
        "    uri = ns.lookup('lab.sample')\n"
        "with Proxy(uri) as sample:\n"
        "    print(sample.add(1, 2, 3), sample.pyrolab_version())\n"
    )
    client = running.start("-c", script, program=interpreter())
    assert client.communicate(timeout=NEVER)[0].split() == ["6", "0.5.0"]
    assert client.returncode == 0


# The end


def test_down_leaves_no_process_and_up_brings_everything_back(lab: Lab):
    start(lab)
    before = {entry["name"]: entry["uri"] for entry in lab.ps()["services"]}
    assert lab.processes()
    lab.down()
    lab.assert_nothing_left(timeout=1, what="`down` returns when everything has ended")
    lab.up()
    after = {entry["name"]: entry["uri"] for entry in lab.ps()["services"]}
    assert after == before, "URIs survive a restart"


def test_the_python_on_the_path_is_the_default(lab: Lab):
    """The issue's file as it stands; the tests' environment has its python3 on the PATH."""
    start(lab, CONFIGURATION)
    with lab.proxy("lab.sample") as sample:
        assert sample.add(1, 2, 3) == 6


def test_the_configuration_that_was_given_is_left_alone(lab: Lab):
    start(lab)
    file = lab.files / "lab.yaml"
    written = file.read_bytes()
    lab.down()
    assert file.read_bytes() == written


def test_up_keeps_no_terminal_busy(lab: Lab):
    """A script that pipes `up` into something must not wait for the lab to end."""
    lab.config(CONFIGURATION + PYTHON, ns_port=free_port())
    piped = lab.start("-c", f'"{lab.binary}" up | cat', program="/bin/sh")
    try:
        piped.communicate(timeout=NEVER)
    except subprocess.TimeoutExpired:
        pytest.fail("the lab in the background holds `up`'s standard output open")
    assert lab.entry("daemons", "bench")["status"] == "running"
