"""Classes without any decorator, served by `expose` and `arguments`, from several environments."""

import base64
import os

import pytest
from harness import Service, new_lab, outcome, proxy
from harness.lab import interpreter
from Pyro5.errors import PyroError

PYMEASURE = os.environ.get("FERROLAB_TEST_PYMEASURE")
LIBRARIES = os.environ.get("FERROLAB_TEST_LIBRARIES")

PLAIN = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {host: localhost, servertype: thread}
services:
  motor.x: {module: plain, classname: Motor, arguments: [x, -5, 5], expose: all, instancemode: single, daemon: bench}
  motor.y: {module: plain, classname: Motor, arguments: {axis: y, speed: 2.5, tags: [a, b]}, expose: all, daemon: bench}
  motor.shy: {module: plain, classname: Motor, arguments: [z], expose: [units, position, speed, __len__], daemon: bench}
  motor.none: {module: plain, classname: Motor, arguments: [z], daemon: bench}
  motor.wrong: {module: plain, classname: Motor, expose: all, daemon: bench}
  dice: {module: random, classname: Random, arguments: [42], expose: [randint, random], instancemode: single, daemon: bench}
autolaunch: {daemons: [bench]}
"""


@pytest.fixture(scope="module")
def plain(module_lab):
    module_lab.config(PLAIN)
    module_lab.up()
    return module_lab


def members(remote):
    remote._pyroBind()
    return set(remote._pyroMethods), set(remote._pyroAttrs)


def test_all_public_members_are_served(plain):
    with plain.proxy("motor.x") as motor:
        methods, attributes = members(motor)
        assert methods >= {"move_by", "settings", "units", "kind", "path", "__len__", "__getitem__"}
        assert not {name for name in methods if name.startswith("_") and name[1] != "_"}
        assert "position" in attributes
        assert motor.settings() == {"axis": "x", "limits": (-5, 5), "speed": 1.0, "tags": []}
        assert motor.move_by(1.5) == 1.5
        motor.position = 3
        assert motor.position == 3
        with pytest.raises(ValueError, match="500 is beyond 100.0"):
            motor.position = 500
        assert list(motor.path(3)) == [4, 5, 6]
        assert (motor.units(), motor.kind()) == ("mm", "Motor")
        assert (len(motor), motor[1]) == (2, 5)
        for hidden in ("_calibrate", "__init__", "__class__", "__reduce__"):
            with pytest.raises(AttributeError):
                motor._pyroInvoke(hidden, (), {})


def test_keyword_arguments(plain):
    with plain.proxy("motor.y") as motor:
        assert motor.settings() == {"axis": "y", "limits": (), "speed": 2.5, "tags": ["a", "b"]}


def test_listed_members_are_served_and_no_others(plain):
    with plain.proxy("motor.shy") as motor:
        assert members(motor) == ({"units", "__len__"}, {"position", "speed"})
        assert (motor.units(), len(motor), motor.position, motor.speed) == ("mm", 0, 0.0, 1.0)
        # An attribute that only the constructor sets can be listed too.
        motor.speed = 4.0
        assert motor.speed == 4.0
        with pytest.raises(AttributeError):
            motor.move_by(1)
        with pytest.raises(AttributeError):
            motor._pyroInvoke("move_by", (1,), {})
        with pytest.raises(AttributeError):
            motor._pyroInvoke("__getattr__", ("axis",), {})


def test_nothing_is_served_of_a_class_without_either(plain):
    with plain.proxy("motor.none") as motor, pytest.raises(PyroError, match="doesn't expose any"):
        motor.units()


def test_missing_arguments_are_told(plain):
    with plain.proxy("motor.wrong") as motor, pytest.raises(TypeError) as caught:
        motor.units()
    assert "missing 1 required positional argument: 'axis'" in str(caught.value)
    error = plain.wait_for_status("services", "motor.wrong", "failed")["error"]
    assert "'axis'" in error


def test_a_class_of_the_standard_library(plain):
    import random

    expected = random.Random(42)
    with plain.proxy("dice") as dice:
        assert [dice.randint(1, 6) for _ in range(10)] == [expected.randint(1, 6) for _ in range(10)]
        assert dice.random() == expected.random()


@pytest.mark.parametrize("serializer", ["serpent", "marshal", "json", "msgpack"])
def test_what_cannot_be_sent_is_named(plain, serializer):
    with plain.proxy("motor.y", serializer=serializer) as motor:
        with pytest.raises(Exception) as caught:
            motor.handle()
        assert "'handle'" in str(caught.value), caught.value
        assert motor.units() == "mm"


# PyroLab's sample drivers, beside the same under Pyro5's daemon

SERVICES = {
    "sample.service": Service("pyrolab.drivers.sample", "SampleService", "session"),
    "sample.shared": Service("pyrolab.drivers.sample", "SampleService", "single"),
    "sample.selective": Service("pyrolab.drivers.sample", "SelectiveSampleService", "session"),
    "sample.instrument": Service(
        "pyrolab.drivers.sample",
        "SampleAutoconnectInstrument",
        "session",
        {"address": "0.0.0.0", "port": 12345},
    ),
}


@pytest.mark.parametrize("service", SERVICES)
def test_a_sample_class_shows_the_same_members(sides, service):
    def script(side):
        with side.proxy(service) as remote:
            methods, attributes = members(remote)
            return sorted(methods), sorted(attributes), sorted(remote._pyroOneway)

    sides.assert_same(script)


def use_service(remote):
    remote.attribute = (1, {"a": 2})
    return [
        remote.attribute,
        remote.echo("x"),
        remote.delayed_echo("x", 0.01),
        remote.add(1, 2.5),
        remote.subtract(1, b=2),
        remote.multiply(2, 3, 4),
        remote.divide(1, 4),
        remote.whoami() == remote.whoami(),
    ]


def use_selective(remote):
    remote.items = [3, 1, 2]
    remote.sort()
    remote.set_item(0, "first")
    remote.attribute = None
    return [remote.items, remote.item(1), remote.attribute]


def use_instrument(remote):
    return [remote.autoconnect(), remote.do_something()]


USES = {
    "sample.service": use_service,
    "sample.shared": use_service,
    "sample.selective": use_selective,
    "sample.instrument": use_instrument,
}


@pytest.mark.parametrize("service", USES)
def test_a_sample_class_does_the_same(sides, service):
    def script(side):
        with side.proxy(service) as remote:
            return USES[service](remote)

    assert sides.assert_same(script)[0] == "returned"


@pytest.mark.parametrize(
    ("service", "member", "arguments"),
    [
        ("sample.service", "divide", (1, 0)),
        ("sample.selective", "objectid", ()),
        ("sample.selective", "item", (7,)),
        ("sample.instrument", "do_something", ()),
        ("sample.instrument", "close", (1,)),
    ],
)
def test_a_sample_class_refuses_the_same(sides, service, member, arguments):
    def script(side):
        with side.proxy(service) as remote:
            return remote._pyroInvoke(member, arguments, {})

    assert sides.assert_same(script)[0] == "raised"


# Two environments in one daemon

TWO = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {host: localhost, servertype: thread}
services:
  lab.sample: {module: pyrolab.drivers.sample, classname: SampleService, daemon: bench}
  lab.fake:
    module: pymeasure.instruments.fakes
    classname: SwissArmyFake
    arguments: {wait: 0}
    expose: all
    instancemode: single
    daemon: bench
    python: {executable: "$pymeasure"}
  lab.lockin:
    module: lock_in
    classname: LockIn
    expose: all
    instancemode: single
    daemon: bench
    python: {executable: "$pymeasure", path: ["$drivers"]}
autolaunch: {daemons: [bench]}
"""


@pytest.mark.skipif(not PYMEASURE, reason="FERROLAB_TEST_PYMEASURE is not set")
def test_instruments_of_two_environments_in_one_daemon(lab):
    lab.config(TWO, pymeasure=PYMEASURE)
    lab.up()
    rows = {row["name"]: row for row in lab.ps()["services"]}
    assert {row["uri"].rpartition("@")[2] for row in rows.values()} == {
        rows["lab.sample"]["uri"].rpartition("@")[2]
    }
    assert rows["lab.sample"]["python"] == interpreter()
    assert rows["lab.fake"]["python"] == rows["lab.lockin"]["python"] == PYMEASURE
    with proxy(rows["lab.sample"]["uri"]) as sample:
        assert sample.add(1, 2) == 3
    with proxy(rows["lab.fake"]["uri"]) as fake:
        assert fake.voltage == 10
        fake.output_voltage = 2.5
        assert fake.output_voltage == 2.5
        assert -1 <= fake.wave <= 1
        fake.frame_width, fake.frame_height = 4, 3
        frame = fake.frame
        assert [len(row) for row in frame] == [4, 4, 4]
        assert all(type(pixel) is int for row in frame for pixel in row)
        with pytest.raises(ValueError):
            fake.frame_format = "colour"
    with proxy(rows["lab.lockin"]["uri"]) as lock_in:
        assert lock_in.frequency == 1000
        lock_in.frequency = 500
        assert lock_in.frequency == 500
        assert lock_in.xy == [0.25, -0.5]
        assert lock_in.phase == 45


# Heavy libraries: `cargo xtask test --extended`

HEAVY = """\
version: "1.0"
daemons:
  bench: {host: localhost, servertype: thread}
services:
  lab.dummy:
    module: qcodes.instrument_drivers.mock_instruments
    classname: DummyInstrument
    arguments: {name: dac, gates: [ch1, ch2]}
    expose: [get, set, ask, snapshot, get_idn]
    instancemode: single
    daemon: bench
  lab.frames: {module: frames, classname: Frames, instancemode: single, daemon: bench}
python: {executable: "$libraries", path: ["$drivers"]}
autolaunch: {daemons: [bench]}
"""


needs_libraries = pytest.mark.skipif(
    not LIBRARIES, reason="only with `cargo xtask test --extended`"
)


@pytest.fixture(scope="module")
def heavy():
    with new_lab() as lab:
        lab.config(HEAVY, libraries=LIBRARIES)
        lab.up()
        yield lab


@needs_libraries
def test_an_instrument_of_qcodes(heavy):
    with heavy.proxy("lab.dummy") as dummy:
        assert dummy.get("ch1") == 0
        dummy.set("ch1", 1.5)
        assert dummy.get("ch1") == 1.5
        assert "DummyInstrument" in dummy.get_idn()["model"]
        with pytest.raises(Exception, match="ch9"):
            dummy.get("ch9")


FRAMES = ["series", "frame", "index", "timestamp", "timedelta", "missing", "records", "values"]


@needs_libraries
@pytest.mark.parametrize("serializer", ["serpent", "marshal", "json", "msgpack"])
@pytest.mark.parametrize("name", FRAMES)
def test_what_pyro5_makes_of_pandas_ours_makes_too(heavy, serializer, name):
    import Pyro5.serializers

    def as_pyro5():
        with heavy.proxy("lab.frames") as frames:
            data = base64.b64decode(frames.dumped(serializer, name))
        return Pyro5.serializers.serializers[serializer].loads(data)

    with heavy.proxy("lab.frames", serializer=serializer) as frames:
        expected, actual = outcome(as_pyro5), outcome(lambda: frames.made(name))
        if expected[0] == "returned":
            assert actual == expected
        assert frames.made("values") == [1, 2], "the connection goes on"
