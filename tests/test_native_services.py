"""A service written in Rust is to a client what a Python class with the same members is."""

import pytest
from harness import Service, outcome, proxy

SERVICES = {
    "t.supply": Service("twin", "PowerSupply", "single"),
    "t.meter": Service("twin", "Multimeter", "single"),
}
LAB = """\
version: "1.0"
daemons:
  bench: {host: localhost, servertype: thread}
services:
  t.supply: {native: simulated.power_supply, daemon: bench, instancemode: single}
  t.meter: {native: simulated.multimeter, daemon: bench, instancemode: single, parameters: {noise: 0}}
autolaunch: {daemons: [bench]}
"""
# marshal is not among them: Pyro5's own client cannot read a property with it.
SERIALIZERS = ["serpent", "json", "msgpack"]


@pytest.fixture(scope="module")
def native(module_lab):
    module_lab.config(LAB)
    module_lab.up()
    return module_lab


def set_voltage(value):
    def script(supply, _):
        supply.voltage = value
        return supply.voltage

    return script


def batch(supply, _):
    from Pyro5.api import BatchProxy

    calls = BatchProxy(supply)
    calls.on()
    calls.identify()
    calls.identify(1)
    calls.off()
    seen = []
    try:
        for result in calls():
            seen.append(result)
    except TypeError as error:
        seen.append(str(error))
    return [*seen, supply.output]


def past_the_metadata(method, *args):
    return lambda supply, _: supply._pyroInvoke(method, args, {})


SCRIPTS = {
    "methods": lambda supply, _: [supply.identify(), supply.on(), supply.output, supply.reset()],
    "a property": set_voltage(5),
    "a refused value": set_voltage(31.5),
    "a list": lambda _, meter: meter.sample(3),
    "a keyword": lambda _, meter: meter.sample(count=2),
    "too many arguments": lambda supply, _: supply.identify(1, 2),
    "an argument missing": lambda _, meter: meter.sample(),
    "an unknown keyword": lambda _, meter: meter.sample(counts=1),
    "an argument given twice": lambda _, meter: meter.sample(1, count=1),
    "a batch": batch,
    "an unknown member": past_the_metadata("explode"),
    "a private member": past_the_metadata("_voltage"),
    "an unknown property": past_the_metadata("__getattr__", "colour"),
    "a method read as a property": past_the_metadata("__getattr__", "identify"),
    "a property that cannot be set": past_the_metadata("__setattr__", "colour", 1),
}


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_native_service_is_to_clients_as_a_python_one(pyro_daemon, native, serializer, script):
    def run(uris):
        with (
            proxy(uris("t.supply"), serializer) as supply,
            proxy(uris("t.meter"), serializer) as meter,
        ):
            supply.reset()
            return outcome(lambda: script(supply, meter))

    assert run(native.uri) == run(pyro_daemon.uris.__getitem__)


def test_arguments_of_a_wrong_type_are_refused_by_name(native):
    with native.proxy("t.meter") as meter:
        with pytest.raises(TypeError, match=r"sample\(\) argument 'count' must be an int, not str"):
            meter.sample("three")
        with pytest.raises(TypeError, match="Multimeter.noise must be a number, not str"):
            meter.noise = "loud"


def test_members_are_told_in_the_handshake(native):
    with native.proxy("t.supply") as supply:
        supply._pyroBind()
        assert supply._pyroMethods == {"identify", "on", "off", "reset"}
        assert supply._pyroAttrs == {"voltage", "current_limit", "output"}


def test_the_daemon_tells_what_members_are_for(native):
    location = native.uri("t.supply").partition("@")[2]
    with proxy(f"PYRO:Pyro.Daemon@{location}") as daemon:
        told = daemon.get_metadata("t.supply")
    assert told["docs"]["on"] == "Switches the output on."
    with native.proxy("t.supply") as supply:
        # A client that knows nothing of documentation takes this for metadata as any other.
        supply._Proxy__processMetadata(told)
        assert "on" in supply._pyroMethods
