"""Objects that methods return: a registered one comes as a proxy of itself, and of no other.

A call moves an instrument, so it must never reach another one of the same class.
"""

import Pyro5.api
import Pyro5.errors
import pytest
from harness import Service

MODES = ["single", "session", "percall"]
PROXIES = ["serpent", "json", "msgpack"]
SERVICES = {
    f"{name}.{mode}.{classname.lower()}": Service("twins", classname, mode)
    for classname in ["Stage", "Plain"]
    for mode in MODES
    for name in ["a", "b"]
}
with_proxies = pytest.mark.parametrize("serializer", PROXIES)
with_modes = pytest.mark.parametrize("mode", MODES)

SHAPES = {
    "result": lambda stage: stage.itself(),
    "nested": lambda stage: stage.nested(),
    "stream": lambda stage: list(stage.streamed()),
    "property": lambda stage: stage.as_property,
    "batch": lambda stage: batch(stage, "itself"),
}
with_shapes = pytest.mark.parametrize("shape", SHAPES)


def batch(stage, *methods):
    calls = Pyro5.api.BatchProxy(stage)
    for method in methods:
        getattr(calls, method)()
    return list(calls())


def ids(value):
    """The same with the ids of proxies' objects in their places."""
    if isinstance(value, Pyro5.api.Proxy):
        return f"proxy of {value._pyroUri.object}"
    if isinstance(value, dict):
        return {key: ids(item) for key, item in value.items()}
    return [ids(item) for item in value]


@with_shapes
@with_modes
@with_proxies
def test_an_instance_comes_as_a_proxy_of_its_own_service(sides, serializer, mode, shape):
    def script(side):
        found = []
        for name in ["a", "b", "a"]:
            with side.proxy(f"{name}.{mode}.stage", serializer=serializer) as stage:
                found.append(ids(SHAPES[shape](stage)))
        return found

    sides.assert_same(script)
    for name, shown in zip("aba", script(sides.ours), strict=True):
        assert f"proxy of {name}.{mode}.stage" in str(shown)


@with_shapes
@with_modes
@with_proxies
def test_an_object_that_is_not_registered_is_refused(sides, serializer, mode, shape):
    """Pyro5's client says so of what it gets; ours names the member, too."""

    def script(side):
        with side.proxy(f"b.{mode}.plain", serializer=serializer) as stage:
            return SHAPES[shape](stage)

    with pytest.raises(Pyro5.errors.SerializeError, match="unsupported serialized class: twins.Plain"):
        script(sides.stock)
    with pytest.raises(Pyro5.errors.SerializeError) as raised:
        script(sides.ours)
    member = {"nested": "nested", "stream": "streamed", "property": "as_property"}.get(shape, "itself")
    assert str(raised.value).startswith(
        "unsupported serialized class: twins.Plain: a proxy stands for an object that is registered, "
        f"and for no other of its class (in the result of '{member}' of service 'b.{mode}.plain', with "
        f"{serializer}: Plain <"
    )


@pytest.mark.parametrize("method", ["of_its_own_class", "copied", "heir"])
@with_modes
def test_the_likes_of_an_instance_are_not_the_instance(sides, mode, method):
    """Pyro5's daemons take them for a registered class, and the wrong instrument moves."""
    for name in ["a", "b"]:
        with sides.ours.proxy(f"{name}.{mode}.plain") as stage:
            with pytest.raises(Pyro5.errors.SerializeError, match=rf"twins\.(Plain|Heir): .*'{method}'"):
                getattr(stage, method)()


def test_no_proxy_goes_out_with_marshal(sides):
    for service in ["a.single.stage", "a.single.plain"]:
        with sides.ours.proxy(service, serializer="marshal") as stage:
            with pytest.raises(Pyro5.errors.SerializeError, match=r"twins\.\w+: with marshal.*'itself'"):
                stage.itself()


@with_proxies
def test_what_moves_is_the_instrument_that_was_meant(sides, serializer):
    def script(side):
        with side.proxy("a.single.stage", serializer=serializer) as a:
            with side.proxy("b.single.stage", serializer=serializer) as b:
                before = a.position, b.position
                with b.itself() as itself:
                    itself.move()
                return a.position - before[0], b.position - before[1]

    assert script(sides.ours) == script(sides.stock) == (0, 1)


@pytest.mark.parametrize("mode", ["single", "session"])
@with_proxies
def test_an_instance_of_another_service_comes_as_its_proxy(lab, serializer, mode):
    lab.config(LAB, mode=mode)
    lab.up()
    with lab.proxy("c", serializer=serializer) as first, lab.proxy("d", serializer=serializer) as second:
        assert ids(first.itself()) == "proxy of c"
        assert [ids(second.itself()), ids(second.other())] == ["proxy of d", "proxy of c"]


@with_proxies
def test_what_a_driver_registers_comes_as_a_proxy(sides, serializer):
    def script(side):
        with side.proxy("a.single.stage", serializer=serializer) as stage:
            (part,) = stage.registered()
            with part:
                return part._pyroUri.object.startswith("obj_"), part.turn()

    sides.assert_same(script)
    # Another of its class is data, which Pyro5's client cannot read.
    sides.assert_same(lambda side: side.proxy("b.single.stage", serializer=serializer).further_part())


def test_only_a_registered_object_has_an_address(sides):
    for mode in MODES:
        with sides.ours.proxy(f"b.{mode}.stage") as stage:
            assert stage.address(True).partition("@")[0] == f"PYRO:b.{mode}.stage"
            with pytest.raises(Pyro5.errors.DaemonError, match="object isn't registered in this daemon"):
                stage.address(False)


LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  one: {servertype: multiplex}
  two: {}
services:
  a: {module: twins, classname: Stage, daemon: one, instancemode: $mode}
  b: {module: twins, classname: Stage, daemon: one, instancemode: $mode, isolate: true}
  c: {module: twins, classname: Stage, daemon: two, instancemode: $mode}
  d: {module: twins, classname: Stage, daemon: two, instancemode: $mode}
  pa: {module: twins, classname: Plain, daemon: one, instancemode: $mode}
  pb: {module: twins, classname: Plain, daemon: one, instancemode: $mode, isolate: true}
  pc: {module: twins, classname: Plain, daemon: two, instancemode: $mode, parameters: {port: 1}}
  pd: {module: twins, classname: Plain, daemon: two, instancemode: $mode, parameters: {port: 2}}
autolaunch: {daemons: [one, two]}
"""


@pytest.mark.parametrize("mode", ["single", "session"])
def test_two_daemons_and_two_workers(lab, mode):
    lab.config(LAB, mode=mode)
    lab.up()
    for name in "abcd":
        with lab.proxy(name) as stage:
            assert ids(SHAPES["nested"](stage)) == {"all": [f"proxy of {name}", [f"proxy of {name}"]]}
            with stage.itself() as itself:
                assert str(itself._pyroUri) == lab.uri(name)
        with lab.proxy(f"p{name}") as stage:
            for shape in SHAPES.values():
                with pytest.raises(Pyro5.errors.SerializeError, match=r"twins\.Plain.* \(in the result of '"):
                    shape(stage)
