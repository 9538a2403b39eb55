"""The command line's words: arguments of `call`, results that cannot be shown, texts of several
lines, the user of a lock, `info` and `locks` where something is missing."""

import json
import os
import pwd
import signal

import pytest
from harness import NEVER, wait_for

CONFIGURATION = """\
python: {executable: "$python", path: [.]}
daemons:
  bench: {classname: LockableDaemon, host: localhost}
  plain: {host: localhost}
services:
  lab.odd: {module: oddments, classname: Oddments, expose: all, instancemode: single, daemon: bench}
  lab.free: {module: oddments, classname: Oddments, expose: all, instancemode: single, daemon: plain}
  lab.visa:
    module: oddments
    classname: Silent
    arguments: ["GPIB0::7::INSTR"]
    expose: all
    instancemode: single
    daemon: plain
autolaunch: {daemons: [bench, plain]}
"""
DRIVER = """\
import logging
import pathlib
import threading
import time


class Emptied:
    __slots__ = ()


class Frame:
    def __init__(self):
        self.columns = ["a"]
        self.data = Emptied()


class Point:
    def __init__(self):
        self.x = 1


class Oddments:
    level = property(lambda self: self._level, lambda self, value: setattr(self, "_level", value))
    _level = 0

    def echo(self, *args, **kwargs):
        return args, kwargs

    def path(self):
        return pathlib.Path("/data")

    def frame(self):
        return [Frame()]

    def point(self):
        return Point()

    def nothing(self):
        return None

    def raw(self):
        return [b"abc\\x00", {"data": 1, "encoding": "base64"}]

    def samples(self):
        yield from (1, b"ab", {"a": (1, 2)})

    def fails_midway(self):
        yield 1
        raise ValueError("midway")

    def holds_a_path(self):
        yield 1
        yield pathlib.Path("/data")

    def endless(self, file, pause):
        try:
            number = 0
            while True:
                yield number
                number += 1
                time.sleep(pause)
        finally:
            pathlib.Path(file).write_text("closed")

    def unsent(self):
        return [object.__new__(object), threading.Lock()]

    def warn(self):
        logging.getLogger("oddments").warning("the first line\\n2026-01-01 00:00:00.000 INFO  supervisor  forged")

    def text(self):
        raise RuntimeError("the first line\\n  the second line")


class Silent:
    def __init__(self, address):
        raise RuntimeError("VI_ERROR_TMO\\n  while it was opened at " + address)

    def read(self):
        return 1
"""


@pytest.fixture(scope="module")
def odd(module_lab):
    module_lab.write(DRIVER, name="oddments.py")
    module_lab.config(CONFIGURATION)
    module_lab.up(check=False)
    module_lab.wait_until_loaded()
    return module_lab


def call(lab, service, *words, check=True):
    return lab.run("call", "--uri", lab.uri(service), *words, check=check)


@pytest.mark.parametrize(
    ("words", "args", "kwargs"),
    [
        (["*IDN?"], "('*IDN?',)", "{}"),
        (["5.0", "'5.0'", "[1, 2]"], "(5.0, '5.0', [1, 2])", "{}"),
        (["VOLT:RANG 5;*OPC?"], "('VOLT:RANG 5;*OPC?',)", "{}"),
        (["[1, 2", "COM3"], "('[1, 2', 'COM3')", "{}"),
        (["address=GPIB0::7::INSTR", "port=5"], "()", "{'address': 'GPIB0::7::INSTR', 'port': 5}"),
    ],
)
def test_an_argument_that_is_no_literal_is_text(odd, words, args, kwargs):
    assert call(odd, "lab.odd", "echo", *words).stdout == f"({args}, {kwargs})\n"


def test_bytes_are_printed_as_bytes(odd):
    printed = "[b'abc\\x00', {'data': 1, 'encoding': 'base64'}]\n"
    assert call(odd, "lab.odd", "raw").stdout == printed


def test_the_items_of_a_stream_are_lines(odd):
    assert call(odd, "lab.odd", "samples").stdout == "1\nb'ab'\n{'a': (1, 2)}\n"
    lines = call(odd, "lab.odd", "samples", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [1, {"data": "YWI=", "encoding": "base64"}, {"a": [1, 2]}]
    for member, told in [("fails_midway", "raised ValueError: midway"), ("holds_a_path", "only the name")]:
        result = call(odd, "lab.odd", member, check=False)
        assert (result.returncode, result.stdout) == (1, "1\n") and told in " ".join(result.stderr.split())


@pytest.mark.parametrize("pause", [0.01, 5])
def test_an_interrupt_ends_a_stream(odd, tmp_path, pause):
    """Items are printed as they come, and the driver's `finally` has run soon after Ctrl-C."""
    closed = tmp_path / "closed"
    words = ["call", "--uri", odd.uri("lab.odd"), "endless", str(closed), str(pause)]
    calling = odd.start(*words)
    assert calling.stdout.readline() == "0\n"
    calling.send_signal(signal.SIGINT)
    rest, _ = calling.communicate(timeout=NEVER)
    assert calling.returncode == 130
    numbers = [int(line) for line in rest.splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))
    wait_for(closed.exists, NEVER, "the stream is closed")


def test_an_error_of_ferrolab_is_words_without_a_traceback(odd):
    result = call(odd, "lab.odd", "unsent", check=False)
    assert result.returncode == 1 and "don't know how to serialize" in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr and "<ferrolab>" not in result.stderr
    shown = call(odd, "lab.odd", "text", check=False)
    assert "Traceback" in shown.stderr and "oddments.py" in shown.stderr


def test_a_call_keeps_to_its_timeout_while_the_supervisor_is_silent(odd):
    """Without one it waits 10 s for the supervisor."""
    supervisor = odd.supervisor()
    os.kill(supervisor, signal.SIGSTOP)
    try:
        limited, patient = (odd.start("call", *limit, "lab.odd", "nothing") for limit in (["--timeout", "1"], []))
        told, _ = limited.communicate(timeout=NEVER)
        assert limited.returncode == 1 and "'lab.odd'" in told, told
        assert patient.poll() is None
        patient.communicate(timeout=NEVER)
    finally:
        os.kill(supervisor, signal.SIGCONT)


def test_a_word_that_looks_like_a_constant_is_sent_as_text_with_a_note(odd):
    result = call(odd, "lab.odd", "echo", "true")
    assert result.stdout == "(('true',), {})\n" and "`True`" in result.stderr


@pytest.mark.parametrize(("member", "named"), [("path", "pathlib.PosixPath"), ("frame", "oddments.Emptied")])
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["python", "json"])
def test_a_result_without_its_content_is_refused(odd, member, named, form):
    refused = call(odd, "lab.odd", member, *form, check=False)
    assert refused.returncode == 1 and refused.stdout == ""
    assert named in refused.stderr and member in refused.stderr and "only the name" in refused.stderr


def test_a_result_with_its_content_is_shown(odd):
    assert call(odd, "lab.odd", "point").stdout == "{'x': 1, '__class__': 'oddments.Point'}\n"
    assert call(odd, "lab.odd", "nothing").stdout == "None\n"


def test_setting_a_property_prints_nothing(odd):
    assert call(odd, "lab.odd", "level", "3").stdout == ""
    assert call(odd, "lab.odd", "level").stdout == "3\n"
    assert json.loads(call(odd, "lab.odd", "level", "4", "--json").stdout) is None


def test_lines_are_shown_as_lines(odd):
    """In `logs`, `status`, `up` and `ps`; and no line of a driver passes for one of ours."""
    call(odd, "lab.odd", "warn")
    call(odd, "lab.visa", "read", check=False)
    shown = wait_for(lambda: odd.run("logs", "show", "--grep", "the first line").stdout, 30, "the line is there")
    assert "the first line" in shown.splitlines()[0]
    assert shown.splitlines()[1] == "    2026-01-01 00:00:00.000 INFO  supervisor  forged"
    odd.wait_for_status("services", "lab.visa", "failed")
    for command in ("status", "ps", "up"):
        lines = odd.run(command, check=False).stdout.splitlines()
        number = next(number for number, line in enumerate(lines) if "VI_ERROR_TMO" in line)
        assert lines[number + 1].strip() == "while it was opened at GPIB0::7::INSTR", command
        assert lines[number + 1].startswith("      "), command


def test_the_advice_speaks_of_arguments_where_the_service_uses_them(odd):
    call(odd, "lab.visa", "read", check=False)
    odd.wait_for_status("services", "lab.visa", "failed")
    findings = json.loads(odd.run("status", "--json", check=False).stdout)["findings"]
    advice = next(found["advice"] for found in findings if found["subject"] == "service lab.visa")
    assert "`arguments`" in advice and "`parameters`" not in advice


@pytest.mark.parametrize("variables", [{}, {"USER": ""}, {"LOGNAME": "ada"}])
def test_a_lock_knows_its_user_without_the_variable(odd, variables, monkeypatch):
    for name in ("USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    uri = odd.uri("lab.odd")
    shown = odd.run("lock", uri, "--", odd.binary, "call", "--uri", uri, "lock_info", "--json").stdout
    expected = variables.get("LOGNAME") or pwd.getpwuid(os.geteuid()).pw_name
    assert json.loads(shown)["user"] == expected


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_a_service_without_a_lock_is_told_of(odd, form):
    refused = odd.run("locks", "lab.free", *form, check=False)
    assert refused.returncode == 1 and refused.stdout == ""
    assert "'lab.free' has no lock" in refused.stderr and "LockableDaemon" in refused.stderr


def test_info_names_its_files_where_the_configuration_has_a_problem(lab):
    (lab.home / "config.yaml").write_text("nonsense: 1\n")
    shown = lab.run("info", check=False)
    assert shown.returncode == 1 and str(lab.home / "logs" / "ferrolab.log") in shown.stdout
    assert "unknown key `nonsense`" in shown.stderr
    shown = lab.run("info", "--json", check=False)
    report = json.loads(shown.stdout)
    assert shown.returncode == 1 and report["configuration"] is None
    assert report["files"]["log"] and report["error"]["problems"][0]["line"] == 1


def test_a_forgotten_instancemode_is_a_warning(lab):
    """Of `config check` and of `status`, whose exit code stays that of a lab that is well."""
    lab.write(DRIVER, name="oddments.py")
    text = CONFIGURATION.split("  lab.visa:")[0] + "autolaunch: {daemons: [bench, plain]}\n"
    file = lab.write(text.replace("expose: all, instancemode: single", "expose: all", 1))
    checked = json.loads(lab.run("config", "check", file, "--json").stdout)
    (warning,) = checked["warnings"]
    assert warning["path"] == "services.lab.odd" and "`instancemode`" in warning["message"]
    lab.run("config", "update", file)
    lab.up()
    report = lab.run("status")
    assert "All is well." in report.stdout and "no `instancemode`" in report.stdout
    assert json.loads(lab.run("status", "--json").stdout)["warnings"][0]["line"] == warning["line"]


def test_the_log_survives_its_removal(lab):
    """No line is lost, and the new file has no empty one."""
    lab.config("daemons: {bench: {host: localhost}}\nautolaunch: {daemons: [bench]}\n")
    lab.up()
    file = lab.home / "logs" / "ferrolab.log"
    file.unlink()
    lab.run("restart", "daemon", "bench")

    def read():
        return file.exists() and "restart" in file.read_text()

    wait_for(read, 30, "the log has the restart")
    lab.down()
    lines = file.read_text().splitlines()
    assert all(json.loads(line) for line in lines), lines
    assert "lost" not in file.read_text()
