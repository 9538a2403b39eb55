"""Questions of a person to a lab: status, logs, info; each in plain words and as JSON."""

import json
import os
import subprocess

import pytest
from harness import NEVER, free_port, wait_for
from harness.processes import kill

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: localhost, ns_port: $ns_port}
daemons:
  bench: {host: localhost, nameservers: [local]}
  broken: {host: localhost}
services:
  lab.mirror: {module: mirror, classname: Mirror, daemon: bench, nameservers: [local]}
  lab.missing: {module: no_such_module, classname: X, daemon: broken}
autolaunch: {nameservers: [local], daemons: [bench]}
"""


def findings(lab):
    result = lab.run("status", "--json", check=False)
    report = json.loads(result.stdout)
    assert result.returncode == (1 if report["findings"] else 0)
    return {f["subject"]: f["problem"] + " -> " + f["advice"] for f in report["findings"]}


def test_status_of_a_lab_that_is_not_up(lab):
    result = lab.run("status", check=False)
    assert result.returncode == 1
    assert "not up" in result.text and "ferrolab config update" in result.text


def test_status_says_what_is_wrong_and_what_to_do(running):
    # A busy nameserver may get a daemon's names only after `up`.
    wait_for(lambda: findings(running) == {}, NEVER, "all is well")
    result = running.run("status")
    assert "All is well." in result.text and "\x1b" not in result.text

    running.run("start", "daemon", "broken", check=False)
    found = findings(running)["service lab.missing"]
    assert "no_such_module" in found and "pip install" in found
    running.run("stop", "daemon", "broken")

    running.run("stop", "daemon", "bench")
    assert "ferrolab start daemon bench" in findings(running)["daemon bench"]
    running.start_again("daemon", "bench")

    file = running.home / "config.yaml"
    good = file.read_text()
    file.write_text(good + "# edited\n")
    assert "ferrolab reload" in findings(running)["the configuration file"]
    file.write_text(good + "nonsense: 1\n")
    assert "last good one" in findings(running)["the configuration file"]
    file.write_text(good)
    wait_for(lambda: findings(running) == {}, NEVER, "all is well again")


def test_status_tells_of_a_daemon_that_cannot_start(lab):
    """Its neighbours serve, and the cause is named."""
    port = free_port()
    lab.config(
        f"daemons:\n  a: {{port: {port}}}\n  b: {{port: {port}, supervision: {{backoff: [0], give_up_after: 2}}}}\n"
        "services: {x: {native: simulated.multimeter, daemon: a}}\nautolaunch: {daemons: [a]}\n"
    )
    lab.up()
    assert lab.run("start", "daemon", "b", check=False).returncode == 1
    found = findings(lab)
    assert set(found) == {"daemon b"}
    assert "already in use" in found["daemon b"] and "ss -ltnp" in found["daemon b"]
    with lab.proxy("x") as meter:
        meter._pyroBind()


def shown(lab, *arguments):
    return [json.loads(line) for line in lab.run("logs", "show", "--json", *arguments).stdout.splitlines()]


def test_logs_are_filtered(running):
    # The last lines of a start, in any order, and after `up` has returned: of the service and of
    # its daemon.
    last = ["ready", "ready", "registered"]

    def is_complete():
        messages = [line["message"] for line in shown(running, "--entry", "bench")]
        return last == sorted(message for message in messages if message in last)

    wait_for(is_complete, 10, "bench is ready and registered")
    everything = shown(running)
    assert everything[0]["message"] == "the lab starts"
    cases = [
        (("--entry", "bench"), lambda line: line["entry"] == "daemon bench"),
        (("--entry", "nameserver local"), lambda line: line["entry"] == "nameserver local"),
        (("--service", "lab.mirror"), lambda line: line.get("service") == "lab.mirror"),
        (("--grep", "READY"), lambda line: "ready" in json.dumps(line)),
    ]
    for arguments, wanted in cases:
        lines = shown(running, *arguments)
        assert lines and all(map(wanted, lines)), (arguments, lines)
        # The log is behind what clients see: lines may have come meanwhile.
        same = lambda arguments=arguments, wanted=wanted: shown(running, *arguments) == list(filter(wanted, shown(running)))
        wait_for(same, NEVER, f"{arguments} finds all that there is")
    assert len(shown(running, "-n", "2")) == 2
    assert shown(running, "--level", "error") == []
    same = lambda: shown(running, "-l", "INFO") == shown(running) == shown(running, "--level", "Debug")
    wait_for(same, NEVER, "a level has two names")
    assert shown(running, "--level", "WARNING") == shown(running, "--level", "warn")
    assert shown(running, "--until", "2001-01-01") == []
    assert len(shown(running, "--since", "1h")) >= len(everything)
    kill(running.entry("daemons", "bench")["pid"])
    wait_for(lambda: shown(running, "--level", "warn", "--entry", "bench"), 10, "the crash is in the log")


TAGGED = """
  bench: {host: localhost}
services:
  lab.laser: {native: simulated.loopback, daemon: bench, tags: [optics, room-2]}
  lab.camera: {native: simulated.loopback, daemon: bench, tags: [optics]}
  lab.pump: {native: simulated.loopback, daemon: bench}
autolaunch: {daemons: [bench]}
"""


def test_services_are_found_by_their_tags(lab):
    lab.config("daemons:" + TAGGED)
    lab.up()
    pid = lab.entry("daemons", "bench")["pid"]
    assert "optics, room-2" in lab.run("ps").stdout

    def tagged(*tags):
        words = [word for tag in tags for word in ("--tag", tag)]
        return [row["name"] for row in json.loads(lab.run("ps", "--json", *words).stdout)["services"]]

    assert tagged() == ["lab.laser", "lab.camera", "lab.pump"]
    assert (tagged("optics"), tagged("optics", "room-2"), tagged("optic")) == (["lab.laser", "lab.camera"], ["lab.laser"], [])
    shown = lab.run("ps", "--tag", "optics").stdout
    assert "lab.camera" in shown and "lab.pump" not in shown and "DAEMON" in shown
    assert "No service has the tag optic." in lab.run("ps", "--tag", "optic").stdout
    lab.config("daemons:" + TAGGED.replace("[optics]", "[optics, cryo]"))
    lab.run("reload")
    assert tagged("cryo") == ["lab.camera"]
    assert lab.entry("daemons", "bench")["pid"] == pid, "no restart for a tag"


def test_logs_start_with_the_labs_last_start(running):
    running.down()
    running.up()
    starts = [line for line in shown(running, "--all") if line["message"] == "the lab starts"]
    assert len(starts) == 2
    assert [line for line in shown(running) if line["message"] == "the lab starts"] == starts[1:]


def test_logs_help_with_a_mistyped_name_and_a_wrong_time(running):
    assert "did you mean `bench`?" in running.run("logs", "show", "--entry", "bnech").text
    for words, said in (
        (("logs", "show", "--since", "yesterday"), "2h"),
        (("logs", "export", "x", "--until", "5"), "2h"),
        (("logs", "follow", "--grep", "["), "unclosed character class"),
        (("ps", "--watch", "0"), "above 0"),
        (("status", "--watch", "soon"), "above 0"),
        (("call", "--timeout", "-1", "lab.mirror", "same"), "0 or more"),
    ):
        result = running.run(*words, check=False)
        assert result.returncode == 2 and said in result.text, (words, result.text)
    for wrong, said in (("loud", "there are: trace, debug, info, warn, error"), ("errro", "did you mean `error`?")):
        result = running.run("logs", "show", "--level", wrong, check=False)
        assert result.returncode == 2 and said in result.text


def test_logs_follow_export_and_clean(running):
    follow = running.start("logs", "follow", "--entry", "bench")
    running.restart("daemon", "bench")
    file = running.files / "out.log"
    running.run("logs", "export", file)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[0]["message"] == "the lab starts"
    # Ends when the line comes; a line that never comes is the test's own timeout.
    told = next(line for line in follow.stdout if "restarting: asked to" in line)
    assert "daemon bench" in told
    follow.terminate()
    assert running.run("logs", "clean", check=False).returncode == 1, "nobody is there to answer"
    before = shown(running, "--all")
    running.run("logs", "clean", "--yes")
    # Lines that the lab writes meanwhile come after it.
    assert before and not [line for line in shown(running, "--all") if line in before]
    running.restart("daemon", "bench")
    wait_for(lambda: shown(running), NEVER, "a running lab goes on with its log")


def test_info_tells_where_everything_is(running):
    report = json.loads(running.run("info", "--json").stdout)
    assert report["files"]["configuration"] == str(running.home / "config.yaml")
    assert report["files"]["configuration_from"] == str(running.files / "lab.yaml")
    assert [daemon["name"] for daemon in report["configuration"]["daemons"]] == ["bench", "broken"]
    said = running.run("info").text
    for word in ("lab.mirror", "mirror.Mirror", str(running.home / "logs/ferrolab.log")):
        assert word in said


def test_watching_shows_every_change(running):
    watching = running.start("ps", "--watch", "0.1")

    def until_shown(status):
        row = next(line for line in watching.stdout if "bench" in line and status in line)
        assert "\x1b" not in row

    until_shown("running")
    running.run("stop", "daemon", "bench")
    until_shown("stopped")
    running.start_again("daemon", "bench")
    until_shown("running")
    watching.terminate()


def test_a_pipe_that_closes_is_no_error(running):
    shell = f"'{running.binary}' logs show --all | head -1"
    result = subprocess.run(
        ["sh", "-c", shell], env=running.environment(), capture_output=True, text=True, timeout=NEVER
    )
    assert "panic" not in result.stderr, result.stderr


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_a_terminal_that_wants_them(running, variables, coloured):
    environment = running.environment() | {"TERM": "xterm"}
    del environment["NO_COLOR"]
    for words in (["ps"], ["status"]):
        ours, theirs = os.openpty()
        subprocess.run([running.binary, *words], env=environment | variables, stdout=theirs, timeout=NEVER)
        os.close(theirs)
        said = os.read(ours, 65536).decode()
        os.close(ours)
        assert ("\x1b[" in said) == coloured, (words, said)
