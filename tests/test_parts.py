"""Parts of instruments: objects below a service, by configuration alone."""

import secrets

import Pyro5.api
import pytest
from harness import NEVER, free_port, new_lab, proxy, wait_for

LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
nameservers: {local: {host: localhost, ns_port: $ns_port}}
daemons:
  bench: {host: localhost, classname: LockableDaemon, servertype: $servertype}
services:
  lab.psu: {module: supply, classname: Supply, instancemode: single, daemon: bench, nameservers: [local],
            expose: all, parts: $parts, read_while_locked: [number]}
  lab.other: {module: supply, classname: Supply, instancemode: single, daemon: bench, expose: [identify]}
  lab.opened: {module: supply, classname: open_supply, arguments: [3], daemon: bench, expose: all}
  lab.functions: {module: supply, daemon: bench, expose: all}
autolaunch: {nameservers: [local], daemons: [bench]}
"""

ALL = ["ch_1", "ch_2", "remote"]


class Parts:
    """A lab whose supply has parts."""

    def __init__(self, lab, servertype="thread", parts="[all, remote.inner]"):
        self.lab, self.values = lab, {"ns_port": free_port(), "servertype": servertype}
        lab.config(LAB, parts=parts, **self.values)
        lab.up()

    def names(self, expected):
        """Waits until the nameserver has the names below the service, and no others."""
        with proxy(f"PYRO:Pyro.NameServer@localhost:{self.values['ns_port']}") as nameserver:
            listed = lambda: sorted(nameserver.list("lab.psu."))
            # Promised within 5 s.
            wait_for(lambda: listed() == sorted(expected), 5, f"the names {expected}")
            return nameserver.list("lab.psu.", return_metadata=True)

    def part(self, path, **settings):
        return proxy(self.lab.uri("lab.psu").replace("lab.psu@", f"lab.psu.{path}@"), **settings)


@pytest.fixture(scope="module", params=["thread", "multiplex"])
def parts(request):
    with new_lab() as lab:
        yield Parts(lab, request.param)


def test_parts_have_names_below_their_service(parts):
    found = parts.names([f"lab.psu.{path}" for path in [*ALL, "remote.inner"]])
    for name, (uri, metadata) in found.items():
        assert metadata == {"Part of lab.psu"}
        with proxy(uri) as part:
            assert part._pyroBind() is not None
            assert set(part._pyroAttrs) >= {"voltage", "number"}, name
    shown = parts.lab.run("call", "lab.psu", "ch_2").stdout.strip()
    assert shown.startswith("'PYRO:lab.psu.ch_2@")
    result = parts.lab.run("call", "lab.psu.ch_2", "number")
    assert result.stdout.strip() == "2"


@pytest.mark.parametrize("serializer", ["serpent", "json", "msgpack"])
def test_a_stock_client_gets_a_proxy_when_it_reads_the_attribute(parts, serializer):
    with parts.lab.proxy("lab.psu", serializer=serializer) as supply:
        with supply.ch_1 as first, supply.ch_2 as second, supply.remote as remote:
            assert isinstance(first, Pyro5.api.Proxy)
            assert first._pyroUri.object == "lab.psu.ch_1"
            first.voltage, second.voltage = 1.5, 2.5
            assert (first.voltage, second.voltage) == (1.5, 2.5)
            assert list(second.ramp(3, 4)) == [3, 4]
            with pytest.raises(ValueError, match="31 V is too much for channel 2"):
                second.voltage = 31
            with remote.inner as inner:
                assert inner.number == 10
        assert [part.number for part in supply.channels] == [1, 2]
        both = supply.both()
        assert [both["first"].number, both["rest"][0].number] == [1, 2]
        with pytest.raises(AttributeError, match="'ch_1' is a part"):
            supply.ch_1 = 3


def test_parts_have_the_lock_of_their_service(parts):
    token = secrets.token_hex(8)
    with parts.lab.proxy("lab.psu") as ada, parts.part("ch_1") as eve, parts.part("ch_1") as hers:
        assert ada.lock("ada", token=token)
        with pytest.raises(ConnectionRefusedError, match="locked"):
            eve.voltage  # noqa: B018
        assert eve.number == 1, "others may read it while it is locked"
        assert hers.lock("ada", token=token), "joins the lock"
        hers.voltage = 2
        assert (hers.voltage, ada.identify()) == (2, "S-2")
        ada.unlock()
        assert eve.voltage == 2


def test_factories_and_modules(parts):
    with parts.lab.proxy("lab.opened") as opened, parts.lab.proxy("lab.functions") as functions:
        assert (opened.identify(), opened.model) == ("opened", "opened")
        assert functions.add(2, 3) == 5
        assert functions._pyroMethods >= {"add", "open_supply"} and not functions._pyroAttrs


@pytest.mark.parametrize(
    ("service", "name"),
    [("lab.functions", "getpid"), ("lab.functions", "os"), ("lab.psu", "channel_class")],
)
def test_what_a_module_imports_and_classes_are_no_members(parts, service, name):
    """Also for a client that does not look at the list: it could run any code."""
    with parts.lab.proxy(service) as remote:
        remote._pyroBind()
        assert name not in remote._pyroMethods | remote._pyroAttrs
        for attempt in [(name, (1,)), ("__getattr__", (name,)), ("__setattr__", (name, 1))]:
            with pytest.raises(AttributeError, match=f"attribute '{name}'"):
                remote._pyroInvoke(*attempt, {})


def test_the_worker_of_a_part_dies(parts):
    with parts.lab.proxy("lab.psu") as supply, parts.part("ch_1") as first:
        first.voltage = 7
        with pytest.raises(Pyro5.errors.DaemonError, match="during 'die'"):
            supply.die()
        # A part says why it cannot be called, and is the new instance's afterwards.
        ask = lambda: first.voltage == 0.0
        wait_for(ask, 20, "the part is served", ignoring=(Pyro5.errors.DaemonError,))
    parts.names([f"lab.psu.{path}" for path in [*ALL, "remote.inner"]])


def test_a_part_that_is_gone_says_so_until_another_takes_its_place(parts):
    with parts.lab.proxy("lab.psu") as supply, parts.part("ch_2") as second, parts.part("ch_1") as first:
        assert second.number == 2
        supply.replace("ch_2", None)
        for attempt in (lambda: second.number, lambda: setattr(second, "voltage", 1), lambda: list(second.ramp(1))):
            with pytest.raises(Pyro5.errors.DaemonError, match="^service 'lab.psu' has no part 'ch_2' now: 'ch_2' is None$"):
                attempt()
        assert first.number == 1
        supply.replace("ch_2", 2)
        second.voltage = 4
        assert (second.number, supply.ch_2.voltage) == (2, 4)


def test_parts_that_cannot_be_served_are_told(lab):
    parts = Parts(lab, parts="[ch_1, ch_7, broken, model]")
    parts.names(["lab.psu.ch_1"])
    error = lab.entry("services", "lab.psu")["error"]
    for told in [
        "Supply has no 'ch_7'; did you mean 'ch_1'?" if "'ch_1'?" in error else "has no 'ch_7'",
        "reading 'broken' raised OSError: [Errno 5] no answer",
        "'model' is a str, and a part is an object with methods",
    ]:
        assert told in error, error
    with lab.proxy("lab.psu") as supply, lab.proxy("lab.other") as other:
        assert (supply.ch_1.number, supply.identify(), other.identify()) == (1, "S-2", "S-2")
        with pytest.raises(AttributeError, match="ch_7"):
            supply.ch_7  # noqa: B018
        with pytest.raises(OSError, match="no answer"):
            supply.broken  # noqa: B018


def test_a_part_that_is_configured_no_longer_loses_its_name(lab):
    parts = Parts(lab, parts="[ch_1, ch_2]")
    parts.names(["lab.psu.ch_1", "lab.psu.ch_2"])
    for listed, names in [("[ch_2]", ["lab.psu.ch_2"]), ("[]", []), ("[ch_1]", ["lab.psu.ch_1"])]:
        lab.config(LAB, parts=listed, **parts.values)
        assert "service lab.psu" in lab.run("reload").stdout
        parts.names(names)


RESTING = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {host: localhost, classname: LockableDaemon}}
services:
  lab.psu: {module: supply, classname: Supply, arguments: {record: "$record"}, instancemode: single,
            daemon: bench, expose: all, parts: all, on_disconnect: ["off"]}
autolaunch: {daemons: [bench]}
"""


def test_an_instrument_that_a_part_has_driven_needs_its_safe_state(lab):
    record = lab.files / "record"
    lab.config(RESTING, record=str(record))
    lab.up()
    events = lambda: record.read_text().splitlines()
    kills = lambda: lab.run("logs", "show").stdout.count("the Python worker does not stop; killing it")
    for killed in range(5):
        record.write_text("")
        lab.start_again("daemon", "bench")
        with lab.proxy("lab.psu") as ada:
            assert ada.lock("ada")
        wait_for(lambda: events() == ["off"], 10, "the safe state after the owner's end")
        with lab.proxy("lab.psu") as supply:
            wait_for(lambda: supply.lock_info()["state"] == "free", NEVER, "the safe state has run")
        with proxy(lab.uri("lab.psu").replace("lab.psu@", "lab.psu.ch_1@")) as first:
            first.voltage = 5
            lab.run("stop", "daemon", "bench")
        if len(events()) > 1:
            break
        # A stop gives a driver its time, and a busy machine may need more.
        wait_for(lambda seen=killed: kills() > seen, NEVER, "it was killed before its safe state")
    assert events() == ["off", "off"], "at the end of the instrument, too"
