"""One whole configuration, broken in every line in every way: each is refused at its place.

The lab that runs meanwhile keeps what it has.
"""

import json
import re
import resource
import socket
import subprocess

import pytest
from harness import EXTENDED, NEVER, at_most, free_port

# Every key has its own line, so that a line tells the place.
WHOLE = """\
version: "1.0"
nameservers:
  local:
    host: localhost
    ns_port: $ns_port
    broadcast: false
    ns_bchost: localhost
    ns_bcport: 9091
    ns_autoclean: 15.0
    storage: memory
daemons:
  bench:
    module: pyrolab.server
    classname: LockableDaemon
    host: localhost
    port: 0
    servertype: thread
    nameservers: [local]
    reclaim_names: true
    threadpool_size: 80
    threadpool_size_min: 4
    max_message_size: 67108864
    commtimeout: 30.0
    compression: false
    iter_stream_lifetime: 600.0
    iter_stream_linger: 30.0
    supervision:
      give_up_after: 5
      stable_after: 600
      ready_timeout: 30
      stop_grace: 10
      term_grace: 5
      hang_timeout: 20
      backoff: [5, 15]
services:
  lab.meter:
    native: simulated.multimeter
    parameters: {}
    description: a meter
    daemon: bench
    nameservers: [local]
    read_while_locked: [identify]
  lab.mirror:
    module: mirror
    classname: Mirror
    instancemode: single
    arguments: []
    daemon: bench
    expose: all
    isolate: true
    watchdog: 30
    on_disconnect: [same]
    python:
      path: ["$drivers"]
      env: {A: b}
python:
  executable: "$python"
autolaunch:
  nameservers: [local]
  daemons: [bench]
"""

LINE = re.compile(r"^(\s*)([\w.]+):(?: (.*))?$")
# Names that people choose: any other is as good.
CHOSEN = {"local", "bench", "lab.meter", "lab.mirror"}
# Keys whose values are names: a misspelt one names nothing.
REFERENCES = ("daemon", "nameservers", "daemons", "native", "servertype", "instancemode", "classname", "storage", "version")
MEMORY = 1 << 30  # bytes of address space
SECONDS = 5 if EXTENDED else 60  # of processor time


def misspelt(indent, key, value):
    if key in CHOSEN or len(key) < 4:
        return None
    return f"{indent}{key[0]}{key[2]}{key[1]}{key[3:]}: {value}"


def wrong_type(indent, key, value):
    # These take any mapping, and lists.
    if key in ("parameters", "arguments"):
        return f"{indent}{key}: 7.5"
    return f"{indent}{key}: {{no: [such, value]}}" if key != "env" else f"{indent}{key}: [a]"


def out_of_range(indent, key, value):
    return f"{indent}{key}: -1" if re.fullmatch(r"[\d.]+", value) else None


def dangling(indent, key, value):
    if key not in REFERENCES or not value or value == "Mirror":
        return None
    return f"{indent}{key}: " + re.sub(r"\w+", lambda word: word[0] + "_nothing", value, count=1)


def twice(indent, key, value):
    return f"{indent}{key}: {value}\n{indent}{key}: {value}" if value else None


def tagged(indent, key, value):
    return f"{indent}{key}: !!python/object/apply:os.system {value}"


def tab(indent, key, value):
    return f"\t{indent}{key}: {value}" if indent else None


def unclosed(indent, key, value):
    return f"{indent}{key}: '{value}" if value else None


def bracket(indent, key, value):
    return f"{indent}{key}: {value}]" if value and value[-1] in "]}" else f"{indent}{key}: [{value}" if value else None


def no_colon(indent, key, value):
    return f"{indent}{key} {value}" if value else None


def control(indent, key, value):
    return f"{indent}{key}: {value}\x07" if value else None


def no_such_alias(indent, key, value):
    return f"{indent}{key}: *nowhere"


KINDS = [misspelt, wrong_type, out_of_range, dangling, twice, tagged, tab, unclosed, bracket, no_colon, control, no_such_alias]


def variants(kind):
    """The variants of a kind: the line that is broken, and the text."""
    lines = WHOLE.splitlines()
    for number, line in enumerate(lines):
        indent, key, value = LINE.match(line).groups(default="")
        broken = kind(indent, key, value)
        if broken is not None and broken != line:
            yield number + 1, "\n".join([*lines[:number], broken, *lines[number + 1 :]]) + "\n"


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def run(lab, *arguments):
    return subprocess.run(
        [lab.binary, *map(str, arguments)],
        env=lab.environment(),
        cwd=lab.files,
        preexec_fn=limits,
        capture_output=True,
        text=True,
        timeout=NEVER,
    )


def test_there_are_enough_of_them():
    assert sum(1 for kind in KINDS for _ in variants(kind)) >= 300


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_is_refused_at_its_place(lab, kind):
    ns_port = free_port()
    assert run(lab, "config", "check", lab.write(WHOLE, ns_port=ns_port)).returncode == 0
    for line, text in variants(kind):
        said = run(lab, "config", "check", "--json", lab.write(text, ns_port=ns_port))
        shown = f"line {line}: {text.splitlines()[line - 1]!r}\n{said.stdout}{said.stderr}"
        assert said.returncode == 1, shown
        problems = json.loads(said.stdout)["problems"]
        assert problems, shown
        for problem in problems:
            assert problem["line"] >= 1 and problem["column"] >= 1 and problem["message"], shown
        # Broken YAML may show only in the line after.
        assert any(line <= problem["line"] <= line + 1 for problem in problems), shown


def test_a_running_lab_is_untouched_by_any(lab):
    ns_port = free_port()
    lab.config(WHOLE, ns_port=ns_port)
    lab.up()
    before, file = lab.ps(), (lab.home / "config.yaml").read_text()
    for kind in KINDS:
        for line, text in variants(kind):
            said = run(lab, "config", "update", lab.write(text, "broken.yaml", ns_port=ns_port), "--reload")
            assert said.returncode == 1, f"{kind.__name__}, line {line}: {said.stdout}{said.stderr}"
    assert (lab.home / "config.yaml").read_text() == file
    # Written past the command: the supervisor itself refuses it too.
    (lab.home / "config.yaml").write_text(file.replace("servertype: thread", "servertype: threads"))
    said = run(lab, "reload")
    assert said.returncode == 1 and "keeps the configuration" in said.stdout + said.stderr
    after = lab.ps()
    for rows in ("nameservers", "daemons"):
        same = [(row["name"], row["pid"], row["status"]) for row in before[rows]]
        assert [(row["name"], row["pid"], row["status"]) for row in after[rows]] == same
    with lab.proxy("lab.mirror") as mirror:
        assert mirror.same(1) == 1


@pytest.mark.parametrize("cut", [0.1, 0.3, 0.5, 0.7, 0.9], ids=str)
def test_a_torn_file_costs_nothing(lab, cut):
    ns_port = free_port()
    lab.config(WHOLE, ns_port=ns_port)
    lab.up()
    file = lab.home / "config.yaml"
    whole = file.read_bytes()
    at = whole.index(b":", int(len(whole) * cut)) - 2
    file.write_bytes(whole[:at])
    said = run(lab, "reload")
    assert said.returncode == 1, said.stdout + said.stderr
    assert {row["status"] for row in lab.ps()["daemons"]} == {"running"}
    lab.run("down")
    # A host that boots now comes back with the last good one, and says so.
    said = lab.up(check=False)
    assert said.returncode == 1 and "last good configuration" in said.text and "config.yaml:" in said.text
    assert {row["status"] for row in lab.ps()["services"]} == {"running"}
    assert "last good configuration" in lab.run("status", check=False).text


@pytest.mark.parametrize(
    "text",
    [
        "a: &t " + "x" * 400_000 + "\nservices: {s: {arguments: [" + "*t, " * 30_000 + "]}}\n",
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 10}]\n" for n in range(1, 30)),
        "[" * 500_000,
        "daemons: {d: {host: " + "y" * 900_000,
    ],
    ids=["text", "values", "depth", "one value"],
)
def test_a_bomb_costs_little(lab, text):
    """Refused within the limits of `run`, by the command line and by the supervisor."""
    ns_port = free_port()
    lab.config(WHOLE, ns_port=ns_port)
    lab.up()
    bomb = lab.files / "bomb.yaml"
    bomb.write_text(text)
    assert run(lab, "config", "check", bomb).returncode == 1
    supervisor = lab.ps()["host"]["pid"]
    (lab.home / "config.yaml").write_text(text)
    # Past the command, which would refuse it before it asks.
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(NEVER)
        control.connect(str(lab.home / "run" / "control.sock"))
        control.sendall(b'{"request": "reload", "seconds": 1}\n')
        answers = (json.loads(line)["answer"] for line in control.makefile())
        assert next(answer for answer in answers if answer != "progress") == "refused"
    assert {row["status"] for row in lab.ps()["daemons"]} == {"running"}
    with open(f"/proc/{supervisor}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    assert peak < at_most(200_000), f"the supervisor took {peak} KiB"
