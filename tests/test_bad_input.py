"""Mistakes are reported with their place and what to do, and nothing else stops working."""

import re
import socket
import struct

import pytest
from harness import NEVER, free_port, outcome, proxy, wait_for, within
from harness.lab import SLOW_DRIVER

SOUND = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: localhost, ns_port: $ns_port}
daemons:
  bench: {host: localhost, port: $port, nameservers: [local]}
services:
  lab.mirror: {module: mirror, classname: Mirror, daemon: bench, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench]}
"""


def start(lab, text=SOUND, check=True):
    ports = {"ns_port": free_port(), "port": free_port()}
    lab.config(text, **ports)
    lab.started = lab.up(check=check)
    lab.wait_until_loaded()
    return ports


def assert_works(lab):
    with lab.proxy("lab.mirror") as mirror:
        assert mirror.same("alive") == "alive"


# A configuration with a mistake. Each: the file, the line of the mistake, what must be told.

MISTAKES = {
    "a daemon and a service register one name": (
        "nameservers: {local: {}}\ndaemons:\n  bench: {nameservers: [local]}\nservices:\n"
        "  bench: {native: simulated.multimeter, daemon: bench, nameservers: [local]}\n",
        5,
        ["services.bench", "the daemon `bench`", "`local` already", "at 3:3"],
    ),
    "two nameservers on one database": (
        "nameservers:\n  a: {storage: 'sql:x.db'}\n  b: {storage: 'sql:./x.db', ns_port: 9100}\n",
        3,
        ["nameservers.b.storage", "has this database file", "at 2:16"],
    ),
    "a tag of two words": (
        "daemons: {bench: {}}\nservices:\n  s:\n    native: simulated.multimeter\n    daemon: bench\n    tags: [optics, 'low temperature']\n",
        6,
        ["low temperature", "is not a tag", "one word"],
    ),
    "a health check of nothing": (
        "daemons: {d: {}}\nservices:\n  s: {native: simulated.multimeter, daemon: d, health: {every: 5s}}\n",
        3,
        ["services.s.health", "has no method", "`health: METHOD`"],
    ),
    "a health check of instances that come and go": (
        "daemons: {d: {}}\nservices:\n"
        "  s: {module: m, classname: C, daemon: d, health: ping, instancemode: session}\n",
        3,
        ["services.s.health", "each client has an instance", "`instancemode: single`"],
    ),
    "an early start of instances that come and go": (
        "daemons: {d: {}}\nservices:\n  s: {module: m, classname: C, daemon: d, start: eager}\n",
        3,
        ["services.s.start", "`instancemode: single`"],
    ),
    "a duration with a unit that is none": (
        "daemons:\n  d: {slow_call: 5 min}\n",
        2,
        ["daemons.d.slow_call", "`5 min`", "a unit may follow (`30s`, `5m`)"],
    ),
    "a notification to no address": (
        "notify:\n  url: ntfy.sh/my-lab\n",
        2,
        ["notify.url", "no address of a web server", "`https://HOST/PATH`"],
    ),
    "a page that is a text": ("web: localhost\n", 1, ["web", "`true` or `false`", "`localhost`"]),
    "a header of two lines": (
        'notify:\n  url: "http://localhost/"\n  headers: {A: "x\\r\\ny"}\n',
        3,
        ["notify.headers.A", "printable ASCII"],
    ),
    "a host that is an option": ("daemons:\n  bench: {host: -rf}\n", 2, ["`-rf` is not a host name"]),
    "a host that is no address": ("daemons:\n  bench: {host: 999.1.1.1}\n", 2, ["numbers from 0 to 255"]),
    "a number as the interpreter": ("python:\n  executable: 5\n", 2, ["expected a path", "the number 5"]),
    "no delay at all": (
        "daemons:\n  bench:\n    supervision: {backoff: []}\n",
        3,
        ["at least one delay"],
    ),
    "typo in a key of a daemon": (
        "daemons:\n  bench: {host: localhost, servertpye: thread}\n",
        2,
        ["servertpye", "servertype"],
    ),
    "typo in a section": ("nameserver:\n  local: {}\n", 1, ["nameserver", "nameservers"]),
    "typo in a key of a service": (
        "daemons:\n  bench: {}\nservices:\n  a:\n    module: m\n    clasname: C\n    daemon: bench\n",
        6,
        ["clasname", "classname"],
    ),
    "unknown daemon": (
        "daemons:\n  bench: {}\nservices:\n  lab.laser: {module: m, classname: C, daemon: bnech}\n",
        4,
        ["lab.laser", "bnech", "bench"],
    ),
    "unknown nameserver of a service": (
        "nameservers:\n  local: {}\ndaemons:\n  bench: {}\nservices:\n"
        "  a: {module: m, classname: C, daemon: bench, nameservers: [loacl]}\n",
        6,
        ["loacl", "local"],
    ),
    "parts without one instance for all": (
        "daemons:\n  bench: {}\nservices:\n  a: {module: m, classname: C, daemon: bench, parts: all}\n",
        4,
        ["parts", "each client", "instancemode: single"],
    ),
    "a path of a part": (
        "daemons:\n  bench: {}\nservices:\n"
        "  a: {module: m, classname: C, daemon: bench, instancemode: single, parts: ['x[0]']}\n",
        4,
        ["parts", "x[0]"],
    ),
    "a part with the name of a service": (
        "daemons:\n  bench: {}\nservices:\n"
        "  a: {module: m, classname: C, daemon: bench, instancemode: single, parts: [x]}\n"
        "  a.x: {module: m, classname: C, daemon: bench}\n",
        4,
        ["parts", "5:"],
    ),
    "a service without a class": (
        "daemons:\n  bench: {}\nservices:\n  a: {module: m, daemon: bench}\n",
        4,
        ["classname", "expose: all"],
    ),
    "unknown nameserver of a daemon": (
        "nameservers:\n  local: {}\ndaemons:\n  bench: {nameservers: [remote]}\n",
        4,
        ["bench", "remote"],
    ),
    "unknown entry in autolaunch": (
        "daemons:\n  bench: {}\nautolaunch:\n  daemons: [bench, beach]\n",
        4,
        ["beach", "bench"],
    ),
    "missing module": (
        "daemons:\n  bench: {}\nservices:\n  a: {classname: C, daemon: bench}\n",
        4,
        ["module"],
    ),
    "wrong type": ("nameservers:\n  local: {ns_port: many}\n", 2, ["ns_port", "many"]),
    "port out of range": ("daemons:\n  bench: {port: 70000}\n", 2, ["port", "70000"]),
    "wrong server type": ("daemons:\n  bench: {servertype: treads}\n", 2, ["treads", "thread"]),
    "wrong instance mode": (
        "daemons:\n  bench: {}\nservices:\n"
        "  a: {module: m, classname: C, daemon: bench, instancemode: singel}\n",
        4,
        ["singel", "single"],
    ),
    "a key twice": ("daemons:\n  bench: {}\n  bench: {}\n", 3, ["bench"]),
    "a list instead of a mapping": ("daemons:\n  - bench\n", 1, []),
    "brackets left open": ("daemons:\n  bench: {port: 1\nservices: {}\n", None, []),
    "a tab for indentation": ("daemons:\n\tbench: {}\n", 2, []),
    "a tag that constructs": (
        "daemons:\n  bench: {host: !!python/object/apply:os.system ['true']}\n",
        2,
        [],
    ),
}


# Reasons for which an entry cannot start now: `config check` refuses them, `config update` warns.
UNREADY = {
    "a folder of drivers": ("python:\n  path: [gone]\n", 2, "there is no such folder"),
    "an interpreter": ("python:\n  executable: gone/bin/python\n", 2, "there is no such file"),
    "a program": ("python:\n  executable: no-such-python\n", 2, "no such program in PATH"),
    "a certificate": (
        "daemons:\n  bench:\n    ssl: true\n    ssl_servercert: gone.pem\n",
        4,
        "there is no such file",
    ),
    "another daemon has the port": ("daemons:\n  a: {port: 9100}\n  b: {port: 9100}\n", 3, "two daemons on port"),
    "a socket's folder": ("daemons:\n  bench: {unixsocket: gone/x.sock}\n", 2, "there is no such folder"),
}


@pytest.mark.parametrize("name", UNREADY)
def test_what_cannot_start_is_found_by_the_check(lab, name):
    text, line, told = UNREADY[name]
    file = lab.write(text)
    for command, code in (("check", 1), ("update", 0)):
        result = lab.run("config", command, file, check=False)
        assert result.returncode == code, result.text
        assert told in result.text and f"lab.yaml:{line}:" in result.text, result.text


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_file_is_told_with_its_place(lab, name):
    text, line, told = MISTAKES[name]
    result = lab.config(text.replace("$", "$$"), check=False)
    assert result.returncode == 1, result.text
    place = re.search(r"lab\.yaml:(\d+):(\d+)", result.text)
    assert place, result.text
    if line is not None:
        assert f"lab.yaml:{line}:" in result.text, result.text
    for word in told:
        assert word in result.text, result.text
    assert "panicked" not in result.text


def test_every_mistake_is_told_at_once(lab):
    text = (
        "daemons:\n  bench: {servertpye: thread}\n"
        "services:\n  a: {module: m, classname: C, daemon: bnech}\n"
        "autolaunch: {daemons: [beach]}\n"
    )
    result = lab.config(text, check=False)
    assert result.returncode == 1
    for told in ["lab.yaml:2:", "servertpye", "lab.yaml:4:", "bnech", "lab.yaml:5:", "beach"]:
        assert told in result.text, result.text


@pytest.mark.parametrize("name", ["nothing.yaml", "."])
def test_a_file_that_cannot_be_read_is_named(lab, name):
    result = lab.run("config", "update", lab.files / name, check=False)
    assert result.returncode == 1, result.text
    assert str(lab.files / name).rstrip("/.") in result.text


def test_a_bad_file_changes_nothing_that_runs(lab):
    start(lab)
    before = lab.ps()
    for mistake in ["typo in a key of a daemon", "unknown daemon", "brackets left open"]:
        lab.config(MISTAKES[mistake][0], check=False)
        lab.run("up", check=False)
    after = lab.ps()
    for kind in ["nameservers", "daemons"]:
        assert [entry["pid"] for entry in after[kind]] == [entry["pid"] for entry in before[kind]]
    assert_works(lab)
    lab.down()
    lab.up()
    assert_works(lab)


# A lab of which a part cannot start.


def assert_told(result, *words):
    assert result.returncode == 1, result.text
    for word in words:
        assert word in result.text, result.text


@pytest.mark.parametrize(
    ("module", "classname", "told"),
    [
        ("no_such_module_anywhere", "Camera", "no_such_module_anywhere"),
        ("broken_import", "Camera", "vendor_sdk_that_is_not_here"),
        ("verbose_failure", "Camera", "too much to say"),
        ("broken_syntax", "Camera", "SyntaxError"),
        ("mirror", "Camera", "Camera"),
    ],
)
def test_a_driver_that_does_not_load_is_told_and_its_neighbours_serve(lab, module, classname, told):
    broken = f"  lab.broken: {{module: {module}, classname: {classname}, daemon: bench}}\n"
    text = SOUND.replace("autolaunch:", broken + "autolaunch:")
    start(lab, text, check=False)
    # On a busy machine `up` says no more of a driver than that it takes long.
    if SLOW_DRIVER not in lab.started.text:
        assert_told(lab.started, "lab.broken", told)
    entry = lab.entry("services", "lab.broken")
    assert entry["status"] in ("failed", "restarting"), entry
    assert told in entry["error"], entry
    assert lab.entry("services", "lab.mirror")["status"] == "running"
    assert_works(lab)
    with lab.proxy("lab.broken") as camera:
        refused = outcome(camera._pyroBind)
    assert refused[0] == "raised" and told in str(refused), refused


def test_an_interpreter_that_is_not_there_is_told(lab):
    start(lab, SOUND.replace("$python", "/nowhere/bin/python"), check=False)
    assert_told(lab.started, "lab.mirror", "/nowhere/bin/python")


@pytest.mark.parametrize(("taken", "name"), [("port", "bench"), ("ns_port", "local")])
def test_a_port_in_use_is_told_and_the_rest_serves(lab, taken, name):
    ports = {"ns_port": free_port(), "port": free_port()}
    with socket.create_server(("localhost", ports[taken])):
        other = "daemons:\n  other: {host: localhost}\n"
        text = SOUND.replace("daemons:\n", other, 1).replace(
            "autolaunch:",
            "  lab.other: {module: mirror, classname: Mirror, daemon: other}\nautolaunch:",
        )
        lab.config(text.replace("daemons: [bench]", "daemons: [bench, other]"), **ports)
        assert_told(lab.up(check=False), name, str(ports[taken]), "in use")
        kind = "nameservers" if taken == "ns_port" else "daemons"

        def is_told():
            entry = lab.entry(kind, name)
            return entry["status"] in ("failed", "restarting") and str(ports[taken]) in entry["error"]

        wait_for(is_told, NEVER, "`ps` tells of the port")
        with lab.proxy("lab.other") as mirror:
            assert mirror.same(5) == 5


# Clients that do not speak the protocol.


def header(version=502, kind=1, data=0, annotations=0, magic=0x4DC5):
    return struct.pack(
        "!4sHBBHHIIHH16x", b"PYRO", version, kind, 2, 0, 0, data, annotations, 0, magic
    )


GARBAGE = {
    "nothing": b"",
    "one byte": b"P",
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "zeros": bytes(4096),
    "random": bytes(range(256)) * 64,
    "cut header": header()[:20],
    "old protocol": header(version=48),
    "wrong magic": header(magic=1) + b"x" * 8,
    "unknown message": header(kind=99),
    "call before the handshake": header(kind=4, data=4) + b"aaaa",
    "reply from a client": header(kind=5, data=4) + b"aaaa",
    "announced too much": header(data=0xFFFFFFFF) + b"x" * 100,
    "announced annotations": header(annotations=0xFFFFFFFF) + b"x" * 100,
    "payload is noise": header(data=64) + bytes(range(64)),
    "annotations are noise": header(annotations=64) + b"\xff" * 64,
}


def send_and_drain(port, data):
    """Sends `data` and reads until the other side closes, which it must in good time."""
    with socket.create_connection(("localhost", port), within(15)) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except TimeoutError:
            raise
        except OSError:
            pass  # closed already, with or without a last word


@pytest.fixture(scope="module")
def garbage_lab(module_lab):
    module_lab.ports = start(module_lab)
    return module_lab


@pytest.mark.parametrize("target", ["port", "ns_port"])
@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_harms_nobody(garbage_lab, target, name):
    with garbage_lab.proxy("lab.mirror") as patient:
        patient._pyroBind()
        send_and_drain(garbage_lab.ports[target], GARBAGE[name])
        assert patient.same(1) == 1
    assert_works(garbage_lab)
    location = f"localhost:{garbage_lab.ports['ns_port']}"
    with proxy(f"PYRONAME:lab.mirror@{location}") as mirror:
        assert mirror.same(2) == 2
    status = garbage_lab.ps()
    assert [entry["restarts"] for entry in status["daemons"] + status["nameservers"]] == [0, 0]


def test_silent_clients_keep_nobody_out(garbage_lab):
    """More connections that say nothing than a thread pool has places."""
    silent = []
    try:
        for _ in range(120):
            port = garbage_lab.ports["port"]
            silent.append(socket.create_connection(("localhost", port), NEVER))
        assert_works(garbage_lab)
    finally:
        for connection in silent:
            connection.close()


def test_an_unknown_object_in_a_uri_is_refused_by_name(garbage_lab):
    uri = f"PYRO:lab.miror@localhost:{garbage_lab.ports['port']}"
    refused = outcome(proxy(uri)._pyroBind)
    assert refused[1] == "Pyro5.errors.CommunicationError"
    assert "unknown object" in refused[2]
    assert_told(garbage_lab.run("call", "--uri", uri, "same", 1, check=False), "lab.miror")
    assert_works(garbage_lab)


# The command line.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lab.miror", "same", "1"], ["lab.miror"]),
        (["lab.mirror", "smae", "1"], ["smae", "did you mean `same`?"]),
        (["lab.mirror", "same"], ["TypeError", "same"]),
        (["lab.mirror", "made", "'nothing'"], ["KeyError", "nothing"]),
        (["lab.mirror", "_private"], ["_private", "there are: ", "same"]),
        (["--uri", "PYRO:x@localhost:1", "ping"], ["localhost:1"]),
        (["--uri", "nonsense", "ping"], ["nonsense"]),
    ],
)
def test_a_call_that_fails_says_why(garbage_lab, words, told):
    assert_told(garbage_lab.run("call", *words, check=False), *told)


@pytest.mark.parametrize(
    "words",
    [["upp"], ["up", "--no-such-option"], ["call"], ["describe"], ["config", "update"]],
)
def test_wrong_usage_exits_2(lab, words):
    result = lab.run(*words, check=False)
    assert result.returncode == 2, result.text
    assert "Usage" in result.text or "usage" in result.text


def test_without_a_running_lab_commands_say_so(lab):
    lab.config(SOUND, ns_port=free_port(), port=free_port())
    result = lab.run("call", "lab.mirror", "same", 1, check=False)
    assert result.returncode == 1, result.text
    again = lab.down()
    assert re.search(r"not (up|running)", again.text), again.text
    lab.assert_nothing_left()


def test_up_twice_is_one_lab(lab):
    start(lab)
    before = lab.ps()
    assert lab.up().returncode == 0
    after = lab.ps()
    for kind in ["nameservers", "daemons"]:
        assert [entry["pid"] for entry in after[kind]] == [entry["pid"] for entry in before[kind]]
    assert_works(lab)
