"""Members that `expose` and `except` open, in drivers without decorators."""

import pytest

from workers import (
    CALL, GET, SET, loaded, raises, served, service, single, start, wait_for_members,
)


OF_CLASS = {"slot", "constant", "counted", "cached"}
# Nobody asks the instrument's own `__getattr__` whether `virtual_call` is a method.
OF_INSTANCE = {"plain", "made", "virtual", "virtual_call"}
METHODS = {"sine", "partial", "method"}
CALLABLES = {"callable", "bound"}


def test_all_means_every_member():
    with start(single("Everything")) as worker:
        assert loaded(worker) == (METHODS | CALLABLES, OF_CLASS | OF_INSTANCE, [])
        channel = worker.channel()
        get = lambda name: channel.operation(GET, "lab.x", name)[1]
        assert [get(name) for name in ("slot", "plain", "constant", "cached", "virtual")] == [
            "slot", "plain", 5, "cached", "virtual"]
        assert get("counted") == 1, "listing has not read it"
        for name in ("slot", "plain", "constant"):
            channel.operation(SET, "lab.x", name, (9,))
            assert get(name) == 9
        calls = {"sine": (0,), "partial": (4,), "method": (), "callable": (), "bound": (2,),
                 "virtual_call": ()}
        assert [channel.call("lab.x", name, *args) for name, args in calls.items()] == [
            0.0, 8, "method", 1, 2, "called"]
        assert channel.call("lab.x", "callable", 6) == 6
        for name in ("_hidden", "Error", "nothing"):
            for kind in (CALL, GET):
                raises("builtins.AttributeError", channel, name, service="lab.x", kind=kind)
        raises("builtins.AttributeError", channel, "new", 1, service="lab.x", kind=SET)


def test_members_of_an_instance_are_known_with_the_first_one():
    with start(single("Everything", instancemode="session")) as worker:
        assert loaded(worker)[1] == OF_CLASS
        channel = worker.channel()
        assert channel.call("lab.x", "method") == "method"
        kind, name, members, _ = worker.message()
        assert (kind, name) == ("members", "lab.x")
        assert set(members["attrs"]) == OF_CLASS | OF_INSTANCE
        assert channel.operation(GET, "lab.x", "plain")[1] == "plain"


def test_a_method_that_is_made_up_is_listed_once_it_was_read():
    worker, daemon = served(single("Everything"))
    with worker:
        text = raises("builtins.AttributeError", worker.channel(), "virtual_call", service="lab.x",
                      kind=GET)
        assert text == ("'virtual_call' of service 'lab.x' is a method, which its class does not "
                        "show: connect anew to call it")
        members = wait_for_members(daemon)
        assert set(members["methods"]) == METHODS | CALLABLES | {"virtual_call"}
        assert "virtual_call" not in members["attrs"]


@pytest.mark.parametrize("mode", ["single", "session"])
def test_describing_asks_no_instrument_for_a_name(mode):
    """The instrument sends every name to its device."""
    with start(single("Asked", ["volt", "identify"], instancemode=mode)) as worker:
        assert loaded(worker) == (set(), {"volt", "identify"}, [])
        channel = worker.channel()
        assert channel.operation(GET, "lab.x", "volt")[1] == "volt?"
        assert channel.call("lab.x", "identify", "x") == "*IDN? x"
        channel.operation(SET, "lab.x", "volt", (3,))
        assert channel.operation(GET, "lab.x", "volt")[1] == 3
        assert channel.call("lab.x", "identify", "sent") == "*IDN? volt, identify, identify"


def test_members_of_what_an_instrument_wraps_are_what_they_are_there():
    expose = ["method", "counted", "constant", "wrapped_call", "plain"]
    with start(single("Wrapper", expose)) as worker:
        assert loaded(worker) == (
            {"method", "wrapped_call"}, {"counted", "constant", "plain"}, [])
        channel = worker.channel()
        assert channel.call("lab.x", "method") == "method"
        assert channel.operation(GET, "lab.x", "counted")[1] == 1, "listing has not read it"
        assert channel.call("lab.x", "wrapped_call") == 1


@pytest.mark.parametrize("mode, told", [
    ("single", ["expose: Channel has no 'leval'; did you mean 'level'?", "expose: Channel has no 'zzz'"]),
    ("session", ["expose: Channel has no 'leval'; did you mean 'level'?", "expose: Channel has no 'zzz'"]),
])
def test_clients_are_sent_no_name_that_does_not_exist(mode, told):
    expose = ["number", "leval", "zzz", "off"]
    with start(single("Channel", expose, instancemode=mode, arguments=[1])) as worker:
        assert loaded(worker) == ({"off"}, {"number"}, told)
        # An instance tells no more of it, and nothing twice.
        assert worker.channel().call("lab.x", "off") == "off"
        worker.send(("ping", 1))
        assert worker.message() == ("pong", 1)


def test_attributes_that_an_instance_gets_later_are_told():
    worker, daemon = served(single("Growing"))
    with worker:
        assert loaded(worker) == ({"call", "get", "grow"}, {"first"}, [])
        channel = worker.channel()
        channel.call("lab.x", "call")
        assert not daemon.told[1:], "nothing new"
        channel.call("lab.x", "grow", "second")
        assert wait_for_members(daemon)["attrs"] == ["first", "second"]
        assert channel.operation(GET, "lab.x", "second")[1] == "second"


def test_an_attribute_that_is_called_says_when_clients_know_it():
    with start(single("Growing", instancemode="session")) as worker:
        text = raises("builtins.AttributeError", worker.channel(), "first", service="lab.x")
        assert "'first' is an attribute that only the instance has" in text
        assert "`instancemode: single`" in text


def test_names_that_cannot_be_printed_are_sent_to_nobody():
    worker, daemon = served(single("Growing"))
    with worker:
        channel = worker.channel()
        channel.call("lab.x", "grow", "second", b"\xff")
        assert wait_for_members(daemon)["attrs"] == ["first", "second"]
        assert channel.call("lab.x", "get", "second") == "second"


@pytest.mark.parametrize("mode", ["single", "session"])
@pytest.mark.parametrize("expose, methods, attributes, remarks", [
    (["all", "Error"], METHODS | {"Error"}, OF_CLASS, []),
    (["method", "plain", "slot"], {"method"}, {"plain", "slot"}, []),
    (["method", "callable"], {"method"}, {"callable"}, []),
    (["methd"], set(), {"methd"}, ["expose: Everything has no 'methd'; did you mean 'method'?"]),
    (["all", "zzz"], METHODS, OF_CLASS | {"zzz"}, []),
])
def test_lists_of_members(mode, expose, methods, attributes, remarks):
    with start(single("Everything", expose, instancemode=mode)) as worker:
        found = loaded(worker)
        assert found[0] >= methods and found[1] | found[0] >= attributes
        # A class that makes up members says nothing about names that nobody knows.
        assert found[2] == ([] if mode == "session" else remarks)
        if "all" not in expose:
            assert found[0] | found[1] == methods | attributes


def test_a_name_that_no_code_of_a_class_mentions_is_told():
    with start(single("Channel", ["number", "leval"], instancemode="session", arguments=[1])) as worker:
        assert loaded(worker)[2] == ["expose: Channel has no 'leval'; did you mean 'level'?"]


def test_a_name_in_except_that_nothing_has_is_told():
    hidden = {"except": ["leval", "number"]}
    with start(single("Channel", arguments=[1], **hidden)) as worker:
        assert loaded(worker)[2] == ["except: Channel has no 'leval'; did you mean 'level'?"]


def test_except_takes_away():
    hidden = ["method", "plain", "cached", "bound"]
    with start(single("Everything", **{"except": hidden})) as worker:
        methods, attributes, _ = loaded(worker)
        assert not (methods | attributes) & set(hidden)
        channel = worker.channel()
        for name in hidden:
            for kind in (CALL, GET):
                raises("builtins.AttributeError", channel, name, service="lab.x", kind=kind)
        raises("builtins.AttributeError", channel, "plain", 1, service="lab.x", kind=SET)
    with start(service("lab.x", "standard", "Probe", **{"except": ["echo", "value"]})) as worker:
        methods, attributes, _ = loaded(worker)
        assert "inherited" in methods and "echo" not in methods and "value" not in attributes
        raises("builtins.AttributeError", worker.channel(), "echo", service="lab.x")


def test_classes_that_cannot_be_listed():
    with start(single("Unlisted"), service("b", "members", "UnlistedClass", expose="all"),
               service("c", "members", "UnlistedClass", expose=["method"])) as worker:
        assert loaded(worker)[2] == [
            "TypeError: the members of Unlisted cannot be listed: dir() raises ValueError: no list; "
            "name them in `expose: [...]`"]
        assert worker.channel().call("lab.x", "method") == "method"
        kind, _, _, text, _ = worker.loaded["b"]
        assert kind == "failed" and "no list of the class; name them in `expose: [...]`" in text
        assert worker.channel().call("c", "method") == "method"


def test_members_for_others_while_it_is_locked():
    names = ["plain", "plane", "method"]
    with start(single("Everything", read_while_locked=names)) as worker:
        assert loaded(worker)[2] == [
            "read_while_locked: Everything exposes no 'plane'; did you mean 'plain'?"]
