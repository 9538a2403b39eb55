"""Nothing is lost silently: exceptions that a client cannot read are in the log, an error at import
has its place, settings without an effect are reported."""

import json

import Pyro5.api
import Pyro5.errors
import pytest
from harness import SERIALIZERS, wait_for

CONFIGURATION = """\
python: {executable: "$python", path: [.]}
daemons:
  bench: {host: localhost}
  queue: {host: localhost, servertype: multiplex}
services:
  lab.dmm: {module: dmm, classname: Dmm, expose: all, instancemode: single, daemon: bench}
  lab.queued: {module: dmm, classname: Dmm, expose: all, instancemode: single, daemon: queue}
  lab.boom: {module: boom, classname: X, instancemode: single, daemon: bench}
  lab.torn: {module: torn, classname: X, instancemode: single, daemon: bench}
  lab.typo: {module: dmm, classname: Dnm, instancemode: single, daemon: bench}
  lab.noexp: {module: dmm, classname: Dmm, instancemode: single, daemon: bench}
  lab.bare: {module: dmm, classname: Bare, expose: all, instancemode: single, daemon: bench}
  lab.param:
    {module: dmm, classname: Dmm, expose: all, parameters: {port: COM3}, instancemode: single, daemon: bench}
  lab.reads:
    {module: dmm, classname: Reads, expose: all, parameters: {port: COM3}, instancemode: single, daemon: bench}
autolaunch: {daemons: [bench, queue]}
"""
DMM = """\
import sqlite3


class VendorError(Exception):
    '''As a vendor's: clients do not have it.'''


class Dmm:
    def read(self):
        try:
            {}["instrument"]
        except KeyError as error:
            raise VendorError("Timeout expired before operation completed.") from error

    def samples(self):
        yield 1
        raise VendorError("the sample is lost")

    def known(self, name):
        raise {"value": ValueError("v"), "sqlite": sqlite3.OperationalError("s")}[name]


class Bare:
    pass


class Reads:
    def open(self):
        return self._autoconnect_params["port"]
"""
BOOM = """\
import math
def f():
    return math.sqroot(2)
f()
class X: pass
"""


@pytest.fixture(scope="module")
def lossless(module_lab):
    for name, text in (("dmm", DMM), ("boom", BOOM), ("torn", "class X\n")):
        module_lab.write(text, name=f"{name}.py")
    module_lab.config(CONFIGURATION)
    module_lab.up(check=False)
    module_lab.wait_until_loaded()
    return module_lab


def unreadable(lab, service):
    """The records of exceptions of a service that no client could read."""
    lines = (lab.home / "logs" / "ferrolab.log").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [r["message"] for r in records if r.get("service") == service and "cannot read this class" in r["message"]]


def call(proxy):
    proxy.read()


def batch(proxy):
    calls = Pyro5.api.BatchProxy(proxy)
    calls.read()
    list(calls())


def stream(proxy):
    list(proxy.samples())


WAYS = {
    "a call": (call, "'read'", "Timeout expired before operation completed."),
    "a batch": (batch, "'read'", "Timeout expired before operation completed."),
    "a stream": (stream, "'samples'", "the sample is lost"),
}


@pytest.mark.parametrize("service", ["lab.dmm", "lab.queued"])
@pytest.mark.parametrize("way", WAYS)
def test_an_exception_that_the_client_cannot_read_is_in_the_log(lossless, way, service):
    run, member, text = WAYS[way]
    before = len(unreadable(lossless, service))
    with lossless.proxy(service) as proxy, pytest.raises(Pyro5.errors.SerializeError, match="unsupported"):
        run(proxy)
    message = wait_for(lambda: unreadable(lossless, service)[before:], 30, "the log has it")[0]
    first, _, traceback = message.partition("\n")
    assert member in first and "dmm.VendorError" in first and text in first and "127.0.0.1:" in first
    assert "dmm.py" in traceback and "in " + member.strip("'") in traceback
    assert ("KeyError: 'instrument'" in traceback) == (member == "'read'"), "the cause is there too"


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_an_exception_that_the_client_can_read_is_not(lossless, serializer):
    before = unreadable(lossless, "lab.dmm")
    with lossless.proxy("lab.dmm", serializer=serializer) as proxy:
        for name in ("value", "sqlite"):
            with pytest.raises(Exception, match=f"^{name[0]}$"):
                proxy.known(name)
    assert unreadable(lossless, "lab.dmm") == before


def test_an_error_at_import_has_its_place(lossless):
    """In `status`, in `ps` and for the client: the line that raised; no guess about `classname`."""
    found = {f["subject"]: f for f in json.loads(lossless.run("status", "--json", check=False).stdout)["findings"]}
    boom = found["service lab.boom"]
    place = f"{lossless.files / 'boom.py'} line 3"
    assert "AttributeError" in boom["problem"] and place in boom["problem"]
    assert "classname" not in boom["advice"] and "line" in boom["advice"]
    assert place in lossless.entry("services", "lab.boom")["error"]
    assert "torn.py\", line 1" in found["service lab.torn"]["problem"]
    typo = found["service lab.typo"]
    assert "no class 'Dnm'" in typo["problem"] and "classname" in typo["advice"]
    with lossless.proxy("lab.boom") as proxy, pytest.raises(Exception, match="boom.py line 3"):
        proxy.anything()


def test_settings_without_an_effect_are_told_of(lossless):
    found = {f["subject"]: f for f in json.loads(lossless.run("status", "--json", check=False).stdout)["findings"]}
    for service in ("lab.noexp", "lab.bare"):
        assert "exposes nothing" in found["service " + service]["problem"]
    assert "nothing reads the `parameters`" in found["service lab.param"]["problem"]
    assert "service lab.reads" not in found and "service lab.dmm" not in found
    assert lossless.entry("services", "lab.noexp")["status"] == "running"


def test_the_check_of_a_configuration_reads_the_drivers(lab):
    """Without an import: `config check` runs no code of a driver."""
    lab.write("raise SystemExit\nclass Real:\n    def read(self): ...\n", name="plain.py")
    file = lab.write(
        "python: {path: [.]}\n"
        "daemons: {bench: {}}\n"
        "services:\n"
        "  noexp: {module: plain, classname: Real, instancemode: single, daemon: bench}\n"
        "  param:\n"
        "    {module: plain, classname: Real, expose: all, parameters: {port: COM3}, instancemode: single, daemon: bench}\n"
    )
    warnings = json.loads(lab.run("config", "check", file, "--json").stdout)["warnings"]
    found = {warning["path"]: (warning["line"], warning["message"]) for warning in warnings}
    assert set(found) == {"services.noexp.classname", "services.param.parameters"}
    assert found["services.noexp.classname"][0] == 4 and "exposes nothing" in found["services.noexp.classname"][1]
    assert "nothing reads the `parameters`" in found["services.param.parameters"][1]
