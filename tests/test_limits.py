"""Limits on members: the configuration's and the driver's hold for everybody, on every path."""

import math
import time

import Pyro5.api
import pytest
from harness import new_lab, proxy

LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {host: localhost, classname: $classname, servertype: $servertype}
services:
  lab.supply:
    module: limited
    classname: Supply
    instancemode: single
    daemon: bench
    expose: all
    parts: [ch_1, ch_2]
    members:
      voltage: {minimum: 0, maximum: 30, unit: V}
      ch_1.voltage: {maximum: 5}
      set_level: {choices: [1, 10, high]}
      move: {arguments: {x: {minimum: 0, maximum: 100, unit: mm}, speed: {maximum: 2}}}
      forward: {arguments: {x: {minimum: 0, maximum: 100, unit: mm}}}
      later: {minimum: 0, maximum: 100}
      steps: {maximum: 3}
      set_voltage: {maximum: 7}
  lab.native:
    native: simulated.power_supply
    daemon: bench
    members:
      voltage: {minimum: 1, maximum: 12, unit: V}
  lab.free: {native: simulated.power_supply, daemon: bench}
autolaunch: {daemons: [bench]}
"""
KINDS = [("Daemon", "thread"), ("LockableDaemon", "thread"), ("LockableDaemon", "multiplex")]
SERIALIZERS = ["serpent", "json", "msgpack"]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: "-".join(kind))
def limited(request):
    classname, servertype = request.param
    with new_lab() as lab:
        lab.config(LAB, classname=classname, servertype=servertype)
        lab.up()
        yield lab


@pytest.fixture(params=SERIALIZERS)
def supply(limited, request):
    with limited.proxy("lab.supply") as remote:
        remote._pyroSerializer = request.param
        remote.reached()
        yield remote


def set_(name, value):
    return lambda supply: setattr(supply, name, value)


def call(name, *args, **kwargs):
    return lambda supply: getattr(supply, name)(*args, **kwargs)


VOLTS = "lab.supply.voltage must be 0 to 30 V, not "
X = r"lab.supply.{}\(\) argument 'x' must be 0 to 100 mm, not "
REFUSED = {
    "above": (set_("voltage", 31), VOLTS + "31"),
    "below": (set_("voltage", -0.5), VOLTS + "-0.5"),
    "nan": (set_("voltage", math.nan), VOLTS),
    "infinite": (set_("voltage", math.inf), VOLTS),
    "huge": (set_("voltage", 10**30), VOLTS),
    "text": (set_("voltage", "5"), "lab.supply.voltage must be a number, 0 to 30 V, not '5'"),
    "none": (set_("voltage", None), "must be a number, 0 to 30 V, not None"),
    "in a list": (set_("voltage", [1, 31]), VOLTS + "31"),
    "by place": (call("move", 101), X.format("move") + "101"),
    "by name": (call("move", x=101), X.format("move") + "101"),
    "by name only": (call("move", 1, speed=3), r"argument 'speed' must be at most 2, not 3"),
    "choice": (call("set_level", 5), r"lab.supply.set_level\(\) argument 'level' must be one of 1, 10"),
    "choice by name": (call("set_level", level="low"), "must be one of 1, 10, 'high', not 'low'"),
    "passed on by name": (call("forward", x=101), X.format("forward") + "101"),
    "passed on by place": (call("forward", 50), "'x' has a limit, and its place is not known"),
    "stream": (lambda supply: list(supply.steps(4)), "argument 'count' must be at most 3, not 4"),
    "annotated": (call("drive", 6), r"lab.supply.drive\(\) argument 'volts' must be 0.* to 5.* V, not 6"),
    "private": (lambda supply: supply._pyroInvoke("__setattr__", ("voltage", 31), {}), VOLTS),
}
REACHED = {
    "lowest": (set_("voltage", 0), "('voltage', 0)"),
    "highest": (set_("voltage", 30.0), "('voltage', 30.0)"),
    "by place": (call("move", 100, -1), "('move', 100, -1, 1)"),
    "by name": (call("move", y=1000, x=0), "('move', 0, 1000, 1)"),
    "choice": (call("set_level", 10.0), "('set_level', 10.0)"),
    "word": (call("set_level", "high"), "('set_level', 'high')"),
    "default": (call("drive"), "('drive', None)"),
    "optional": (call("drive", None), "('drive', None)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_value_out_of_its_limit_does_not_reach_the_driver(supply, case):
    script, text = REFUSED[case]
    with pytest.raises(ValueError, match=text):
        script(supply)
    assert supply.reached() == []


@pytest.mark.parametrize("case", REACHED)
def test_a_value_within_its_limit_does(supply, case):
    script, seen = REACHED[case]
    script(supply)
    assert supply.reached() == [seen]


def test_a_batch_ends_where_a_value_is_out_of_its_limit(supply):
    batch = Pyro5.api.BatchProxy(supply)
    batch.move(1)
    batch.move(2)
    batch.move(101)
    batch.move(3)
    results = batch()
    assert [next(results), next(results)] == [[1, 0, 1], [2, 0, 1]]
    with pytest.raises(ValueError, match=X.format("move") + "101"):
        next(results)
    assert supply.reached() == ["('move', 1, 0, 1)", "('move', 2, 0, 1)"]
    batch.move(101)
    with pytest.raises(ValueError):
        list(batch())
    batch.set_level(5)
    batch.move(1)
    batch(oneway=True)
    assert supply.reached() == []


def test_an_earlier_exception_ends_a_batch_first(supply):
    batch = Pyro5.api.BatchProxy(supply)
    batch.move()
    batch.move(101)
    with pytest.raises(TypeError, match="missing 1 required"):
        list(batch())


def test_a_oneway_call_out_of_its_limit_is_not_made(supply):
    supply.later(101)
    supply.later(100)
    deadline = time.monotonic() + 60
    seen = []
    while not seen and time.monotonic() < deadline:
        seen += supply.reached()
    assert seen == ["('later', 100)"]


def test_parts_have_the_limits_of_their_service_and_their_own(limited):
    for path, most in (("ch_1", 5), ("ch_2", 30)):
        with proxy(limited.uri("lab.supply").replace("supply@", f"supply.{path}@")) as part:
            part.voltage = most
            with pytest.raises(ValueError, match=f"lab.supply.{path}.voltage must be"):
                part.voltage = most + 1
            with pytest.raises(ValueError, match="must be at most 7, not 8"):
                part.set_voltage(8)
            assert part.voltage == most


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_native_services_have_limits(limited, serializer):
    with limited.proxy("lab.native") as supply, limited.proxy("lab.free") as free:
        supply._pyroSerializer = serializer
        supply.voltage = 12
        for value in (0.5, 13, math.nan):
            with pytest.raises(ValueError, match="lab.native.voltage must be 1 to 12 V, not "):
                supply.voltage = value
        assert supply.voltage == 12
        free.voltage = 0.5
        assert free.voltage == 0.5


def test_a_blob_is_read_where_its_method_has_limits(limited):
    from Pyro5.client import SerializedBlob

    with limited.proxy("lab.supply") as supply:
        for content in ([101], 101):
            with pytest.raises(ValueError, match="must be 0 to 100 mm, not 101"):
                supply.move(SerializedBlob("about", content))


def test_the_card_has_limits_and_stock_clients_see_their_own_metadata(limited):
    uri = limited.uri("lab.supply")
    with proxy("PYRO:Pyro.Daemon@" + uri.split("@")[1]) as daemon, proxy(uri) as supply:
        metadata = daemon.get_metadata("lab.supply")
        supply._pyroBind()
        locks = {"lock", "unlock", "islocked", "lock_info"}
        assert set(metadata["methods"]) == supply._pyroMethods - locks
        card = metadata["ferrolab"]
        assert card["class"] == "Supply" and len(card["version"]) == 16
        voltage = card["members"]["voltage"]
        assert (voltage["minimum"], voltage["maximum"], voltage["unit"]) == (0, 30, "V")
        move = {one["name"]: one for one in card["members"]["move"]["parameters"]}
        assert move["x"]["unit"] == "mm" and "minimum" not in move["y"]
        assert daemon.get_metadata("lab.free")["ferrolab"]["members"]["voltage"]["writable"] is True
        assert daemon.get_metadata("lab.native")["ferrolab"]["members"]["voltage"]["maximum"] == 12


def test_names_that_nothing_has_are_in_the_status(lab):
    lab.config(
        """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {host: localhost}}
services:
  lab.supply:
    module: limited
    classname: Supply
    daemon: bench
    members:
      voltge: {maximum: 5}
      move: {arguments: {z: {maximum: 5}, x: {maximum: 5}}}
      forward: {arguments: {z: {maximum: 5}}}
autolaunch: {daemons: [bench]}
"""
    )
    lab.up()
    status = lab.run("status", check=False).stdout
    assert "members: Supply has no 'voltge'; did you mean 'voltage'?" in status, status
    assert "members: 'move' has no argument 'z'" in status, status
    assert "forward" not in status, status
    # A limit on a name that appears later holds all the same.
    with lab.proxy("lab.supply") as supply:
        with pytest.raises(ValueError, match="lab.supply.voltge must be at most 5"):
            supply._pyroInvoke("__setattr__", ("voltge", 6), {})
