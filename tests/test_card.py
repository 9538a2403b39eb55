"""The service card: `describe`, `call NAME`, stubs, and what the Python client shows of it."""

import inspect
import json
import os
import re
import shutil
import subprocess

import ferrolab
import pytest
from harness import Service, new_lab, stock_daemon
from harness.lab import TESTS

LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers", "$described"]}
daemons:
  bench: {host: localhost}
  locked: {host: localhost, classname: LockableDaemon}
services:
  lab.every: {module: annotated, classname: Everything, instancemode: single, daemon: bench}
  lab.bare: {module: annotated, classname: Bare, instancemode: single, daemon: bench}
  lab.attributes: {module: annotated, classname: Attributes, instancemode: single, daemon: bench, expose: all}
  lab.many: {module: annotated, classname: many, instancemode: single, daemon: bench, expose: all}
  lab.supply:
    native: simulated.power_supply
    daemon: locked
    members:
      voltage: {minimum: 0, maximum: 12, unit: V, doc: Volts of the bench}
  class:
    module: hard_to_stub
    classname: Hard
    instancemode: single
    daemon: bench
    members: {go: {arguments: {speed: {choices: [1, fast]}}}}
autolaunch: {daemons: [bench, locked]}
"""
TYPES = os.environ.get("FERROLAB_TEST_TYPES")


@pytest.fixture(scope="module")
def described():
    with new_lab() as lab:
        lab.config(LAB, described=str(TESTS.parent / "python" / "tests" / "drivers"))
        lab.up()
        yield lab


def test_describe_and_call_without_a_member_list_what_there_is(described):
    shown = described.run("describe", "lab.supply").stdout
    for line in (
        r"lab.supply: PowerSupply",
        r"MEMBER +VALUE +ABOUT",
        r"voltage +float V, 0 to 12 +Volts of the bench",
        r"output +bool +Whether the output is on\.",
        r"identify\(\) +str +Maker, model, serial number and version",
        r"reset\(\) +Goes back",
        r"lock\(user: str = '', wait: float \| None \[s\] = None, ",
    ):
        assert re.search(line, shown), shown
    assert described.run("call", "lab.supply").stdout == shown
    every = described.run("call", "lab.every").stdout
    for line in (
        r"drive\(volts: float \[V, 0 to 30\], channel: int = 1\)",
        r"plain\(a: int, b: float = 1.5, \*, c: str = 'x', d: bool = False\)\n +complex",
        r"bare\(a, b = None, \*args, \*\*kwargs\)",
        r"later\(a: int\) +\(not waited for\)",
        r"items\(\) +float \(items\)",
        r"serial +str \(read only\)",
    ):
        assert re.search(line, every), every
    uri = described.uri("lab.supply")
    assert "voltage" in described.run("call", "--uri", uri).stdout
    assert "voltage" in described.run("describe", "--uri", uri).stdout
    wrong = described.run("describe", "lab.suply", check=False)
    assert wrong.returncode == 1 and "did you mean `lab.supply`?" in wrong.stderr


def test_objects_of_other_daemons_have_names_only(described):
    with stock_daemon({"stock.thing": Service("counter", "Counter", "single")}) as server:
        shown = described.run("describe", "--uri", server.uris["stock.thing"]).stdout
        assert re.search(r"bump\(\.\.\.\)", shown) and "count" in shown, shown
    uri = "PYRO:Pyro.Daemon@" + described.uri("lab.bare").split("@")[1]
    assert re.search(r"get_metadata\(\.\.\.\)", described.run("describe", "--uri", uri).stdout)


def test_describe_as_json_has_a_schema_for_each_value(described):
    card = json.loads(described.run("describe", "lab.supply", "--json").stdout)
    assert card["class"] == "PowerSupply" and re.fullmatch("[0-9a-f]{16}", card["version"])
    assert card["members"]["voltage"] == {
        "kind": "property", "doc": "Volts of the bench", "readable": True, "writable": True,
        "value": {"type": "number", "unit": "V", "minimum": 0.0, "maximum": 12.0}}
    every = json.loads(described.run("call", "--json", "lab.every").stdout)["members"]
    assert every["plain"]["arguments"] == {
        "type": "object", "required": ["a"], "additionalProperties": False, "properties": {
            "a": {"type": "integer"}, "b": {"type": "number", "default": 1.5},
            "c": {"type": "string", "default": "x"}, "d": {"type": "boolean", "default": False}}}
    assert every["plain"]["order"] == ["a", "b"]
    assert every["enums"]["result"] == {"enum": ["fast", "slow"]}
    assert every["items"]["item"] == {"type": "number"}
    assert len(json.loads(described.run("describe", "lab.many", "--json").stdout)["members"]) == 2000


def test_describe_as_openapi_and_as_thing(described):
    document = json.loads(described.run("describe", "lab.supply", "--openapi").stdout)
    assert document["openapi"] == "3.1.0" and document["info"]["title"] == "lab.supply"
    voltage = document["paths"]["/lab.supply/voltage"]
    schema = voltage["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["maximum"] == 12 and "get" in voltage
    assert all(
        operation["responses"] for path in document["paths"].values() for operation in path.values())
    ids = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids))
    thing = json.loads(described.run("describe", "lab.every", "--wot").stdout)
    assert thing["@context"] == "https://www.w3.org/2022/wot/td/v1.1"
    assert thing["properties"]["serial"]["readOnly"] is True
    assert thing["actions"]["plain"]["input"]["required"] == ["a"]
    forms = [one["forms"] for one in [*thing["properties"].values(), *thing["actions"].values()]]
    assert all(form[0]["href"] == described.uri("lab.every") for form in forms)


DEMO = """\
version: "1.0"
python: {executable: "$python", path: ["$demo"]}
daemons: {bench: {host: localhost, classname: LockableDaemon}}
services:
  demo.supply: {native: simulated.power_supply, daemon: bench}
  demo.meter: {native: simulated.multimeter, daemon: bench}
  demo.loopback: {native: simulated.loopback, daemon: bench}
  demo.logbook: {module: drivers, classname: Logbook, instancemode: single, daemon: bench}
autolaunch: {daemons: [bench]}
"""


def test_cards_of_the_demo_are_as_recorded(lab):
    """Clients keep cards and stubs by them: a change of one is meant, and is recorded anew with
    FERROLAB_TEST_RECORD=1."""
    lab.config(DEMO, demo=str(TESTS.parent / "crates/program/src/cli/demo"))
    lab.up()
    for name in ("supply", "meter", "loopback", "logbook"):
        card = json.loads(lab.run("describe", f"demo.{name}", "--json").stdout)
        del card["uri"]
        file = TESTS / "cards" / f"{name}.json"
        if os.environ.get("FERROLAB_TEST_RECORD"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(card, indent=1) + "\n")
        assert card == json.loads(file.read_text()), name


def write_stubs(lab, folder):
    written = lab.run("stubs", "--out", folder).stdout.split()
    assert sorted(written) == sorted(str(path) for path in folder.iterdir())
    return written


def test_stubs_of_all_services(described, tmp_path):
    folder = tmp_path / "typings"
    write_stubs(described, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "class_.pyi", "lab_attributes.pyi", "lab_bare.pyi", "lab_every.pyi", "lab_many.pyi",
        "lab_supply.pyi"]
    for path in folder.iterdir():
        compile(path.read_text(), path.name, "exec")
    one = tmp_path / "one"
    described.run("stubs", "--out", one, "lab.bare")
    assert [path.name for path in one.iterdir()] == ["lab_bare.pyi"]
    lacking = described.run("stubs", "--out", one, "lab.bare", "lab.nothing", check=False)
    assert lacking.returncode == 1 and "lab.nothing" in lacking.stderr


USE = """\
from class_ import Hard
from lab_every import Everything
from lab_supply import PowerSupply


def use(supply: PowerSupply, every: Everything, hard: Hard) -> float:
    supply.voltage = 5
    every.drive(1.0, channel=2)
    items: list[float] = list(every.items())
    assert isinstance(every.enums("slow"), str)
    hard.go(1)
    return supply.voltage + items[0]
"""
WRONG = """\
from lab_every import Everything
from lab_supply import PowerSupply


def use(supply: PowerSupply, every: Everything) -> None:
    supply.voltage = "5"
    every.serial = "2"
    every.drive("1")
"""


@pytest.mark.skipif(not TYPES, reason="FERROLAB_TEST_TYPES names no interpreter with mypy")
def test_stubs_are_clean_under_mypy(described, tmp_path):
    folder = tmp_path / "typings"
    write_stubs(described, folder)
    (tmp_path / "use.py").write_text(USE)
    (tmp_path / "wrong.py").write_text(WRONG)
    check = lambda *files: subprocess.run(
        [TYPES, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), *map(str, files)],
        env=os.environ | {"MYPYPATH": str(folder)}, cwd=tmp_path, capture_output=True, text=True)
    done = check(*sorted(folder.iterdir()), "use.py")
    assert done.returncode == 0, done.stdout
    done = check("wrong.py")
    assert done.stdout.count(" error: ") == 3, done.stdout


@pytest.mark.skipif(not shutil.which("pyright"), reason="there is no pyright")
def test_stubs_are_clean_under_pyright(described, tmp_path):
    folder = tmp_path / "typings"
    write_stubs(described, folder)
    (tmp_path / "use.py").write_text(USE)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    done = subprocess.run(["pyright", "-p", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_client_shows_signatures_and_texts(described):
    with ferrolab.Proxy(described.uri("lab.every")) as every:
        shown = str(inspect.signature(every.plain))
        assert shown == (
            "(a: int, b: float = 1.5, *, c: str = 'x', d: bool = False) -> complex"), shown
        assert str(inspect.signature(every.items)) == "() -> Iterator[float]"
        assert every.drive.__doc__ == "volts: 0 to 30 V"
        assert every.wrapped.__doc__ == "Calls another one."
        assert "drive" in dir(every) and "voltage" in dir(every)
    with ferrolab.Proxy(described.uri("lab.supply")) as supply:
        assert str(inspect.signature(supply.unlock)) == "(*, token: str | None = None) -> bool"
        assert supply.identify.__doc__.startswith("Maker, model")
