"""Parts of instruments: which are served, and which object a part is."""

import pytest

from workers import GET, SET, Raised, loaded, raises, served, single, start, wait_for


ODD = "parts: 'named' holds objects under 'not a name'; the key of a part has letters, digits and _ only"
ALL = {"ch_1", "ch_2", "nested", "loop", "parameter", "axes.0", "axes.1", "named.x"}


@pytest.mark.parametrize("wanted, expected, remarks", [
    (["all"], ALL, [ODD]),
    (["named"], {"named.x"}, [ODD]),
    (["ch_1", "named.x", "axes.1"], {"ch_1", "named.x", "axes.1"}, []),
    (["axes"], {"axes.0", "axes.1"}, []),
    (["shown"], {"shown.x"}, []),
    (["all", "nested.inner"], ALL | {"nested.inner"}, []),
    (["all.inner"], {"nested.inner"}, []),
    (["all", "all.all"], ALL | {"nested.inner"}, []),
    (["fresh"], {"fresh"}, []),
    (["ch_1", "ch_3"], {"ch_1"}, ["parts: Supply has no 'ch_3'; did you mean 'ch_2'?"]),
    (["asked", "ch_1"], {"ch_1"},
     ["parts: reading 'asked' raised ValueError: the instrument does not answer"]),
    (["exits", "ch_1"], {"ch_1"}, ["parts: reading 'exits' raised SystemExit: no instrument"]),
    (["number", "nothing", "ch_2"], {"ch_2"},
     ["parts: 'number' is a float, and a part is an object with methods",
      "parts: 'nothing' is None, and a part is an object with methods"]),
    (["axes.7"], set(), ["parts: list has no '7'"]),
    (["odd", "ch_1"], {"ch_1"},
     ["parts: odd: TypeError: the members of Unlisted cannot be listed: dir() raises ValueError: no "
      "list; name them in `expose: [...]`"]),
])
def test_parts_are_found(wanted, expected, remarks):
    worker, daemon = served(single("Supply", parts=wanted))
    with worker:
        assert {name[len("lab.x."):] for name in daemon.parts} == expected
        assert loaded(worker)[2][: len(remarks)] == remarks
        for path in wanted:
            if path != "all" and not path.startswith("all."):
                assert path.split(".")[0] in loaded(worker)[1], "it is read, and gives a proxy"


def test_the_search_for_parts_sends_nothing_to_the_instrument():
    worker, daemon = served(single("Supply", parts=["all"]))
    with worker, pytest.raises(Raised, match="'sent'"):
        worker.channel().operation(GET, "lab.x", "sent")


def test_a_part_has_its_own_members():
    worker, daemon = served(single("Supply", parts=["all"]))
    with worker:
        assert set(daemon.parts["lab.x.ch_1"]["attrs"]) == {"level", "number"}
        assert daemon.parts["lab.x.ch_1"]["methods"] == ["off"]
        assert {"ch_1", "parameter", "axes"} <= loaded(worker)[1]
        channel = worker.channel()
        channel.operation(SET, "lab.x.ch_2", "level", (3.5,))
        assert channel.operation(GET, "lab.x.ch_2", "level")[1] == 3.5
        assert channel.operation(GET, "lab.x.ch_1", "level")[1] == 0.0
        assert channel.call("lab.x.ch_2", "off") == "off"
        uri = lambda value: value["state"][0]
        assert uri(channel.operation(GET, "lab.x", "ch_1")[1]) == "PYRO:lab.x.ch_1@localhost:77"
        state = channel.operation(GET, "lab.x", "ch_1")[1]["state"]
        assert state[1:4] == ((), ("off", "lock"), ("level", "number"))
        first, second = channel.call("lab.x", "everything")
        assert [uri(first), uri(second["x"])] == [
            "PYRO:lab.x.ch_1@localhost:77", "PYRO:lab.x.named.x@localhost:77"]
        # The way back is the service itself.
        assert uri(channel.operation(GET, "lab.x.nested", "parent")[1]) == "PYRO:lab.x@localhost:77"
        text = raises("builtins.AttributeError", channel, "ch_1", 5, service="lab.x", kind=SET)
        assert text == "'ch_1' is a part: set its own members"


def test_expose_and_except_are_those_of_the_service():
    spec = single("Supply", ["level", "renew"], parts=["ch_1", "nested"], **{"except": ["nested"]})
    worker, daemon = served(spec)
    with worker:
        level = {"methods": [], "oneway": [], "attrs": ["level"]}
        cards = {name: members.pop("card") for name, members in daemon.parts.items()}
        assert daemon.parts == {"lab.x.ch_1": level, "lab.x.nested": level}
        assert {name: list(card["members"]) for name, card in cards.items()} == {
            "lab.x.ch_1": ["level"], "lab.x.nested": ["level"]}
        assert loaded(worker) == ({"renew"}, {"ch_1"}, [])


def test_an_object_that_is_no_part_comes_with_advice():
    with start(single("Supply", instancemode="session")) as worker:
        channel = worker.channel()
        assert channel.call("lab.x", "renew") is None
        text = raises("builtins.ValueError", channel, "loop", service="lab.x", kind=GET)
        assert "Circular reference" in text
        assert text.endswith("; `parts: [loop]` in the configuration of 'lab.x' serves it")
        for _ in range(2):
            assert channel.operation(GET, "lab.x", "ch_1")[1]["__class__"] == "members.Channel"
        record = worker.record(lambda r: r[0] == "log")
        assert record[1] == "lab.x" and "'ch_1' is a Channel" in record[4]
        assert "`parts: [ch_1]`" in record[4]


@pytest.mark.parametrize("expose, wanted, bare", [
    (None, ["all"], "ch_1, ch_2, nested, loop, parameter"),
    (["renew"], ["ch_1"], "ch_1"),
    (["get"], ["all"], ""),
    (["get"], ["all", "ch_2"], "ch_1, ch_2, nested, loop, axes.0"),
])
def test_parts_that_expose_nothing(expose, wanted, bare):
    worker, daemon = served(single("Supply", expose, parts=wanted))
    with worker:
        assert set(daemon.parts) == ({"lab.x.parameter"} if expose == ["get"] else set())
        told = "parts: {} exposes nothing; `expose` of the service is for its parts, too".format(bare)
        remarks = [remark for remark in loaded(worker)[2] if remark != ODD]
        assert remarks == ([told] if bare else [])


def test_another_object_in_the_place_of_a_part():
    worker, daemon = served(single("Supply", parts=["ch_1", "ch_9", "fresh"]))
    with worker:
        channel = worker.channel()
        get = lambda name, member: channel.operation(GET, name, member)[1]
        channel.call("lab.x", "renew")
        get("lab.x", "ch_1")
        assert get("lab.x.ch_1", "number") == 100
        for _ in range(2):
            assert get("lab.x", "fresh")["state"][0] == "PYRO:lab.x.fresh@localhost:77"
        assert "lab.x.ch_9" not in daemon.parts
        channel.call("lab.x", "grow")
        assert get("lab.x", "ch_9")["state"][0] == "PYRO:lab.x.ch_9@localhost:77"
        assert channel.call("lab.x.ch_9", "get") == 1
        assert set(daemon.parts) == {"lab.x.ch_1", "lab.x.ch_9", "lab.x.fresh"}


def test_an_id_that_is_taken_stays_whose_it_is():
    worker, daemon = served(single("Supply", parts=["ch_1", "ch_2"]), refused=["lab.x.ch_2"])
    with worker:
        assert loaded(worker)[2] == ["parts: lab.x.ch_2: taken"]
        channel = worker.channel()
        assert channel.call("lab.x.ch_1", "off") == "off"
        with pytest.raises(Raised):
            channel.call("lab.x.ch_2", "off")
        looks = len(daemon.asked)
        for _ in range(2):
            with pytest.raises(Raised):
                channel.operation(GET, "lab.x", "ch_2")
        assert len(daemon.asked) == looks, "no parts are looked for again"


def test_parts_appear_with_the_first_instance_that_can_be_made():
    worker, daemon = served(single("Late", parts=["all"]))
    with worker:
        assert daemon.parts == {}
        channel = worker.channel()
        assert channel.call("lab.x.ch_1", "off") == "off"
        assert set(daemon.parts) == {"lab.x.ch_1"}
        told = ["broken", "loaded", "members", "mended"]
        wait_for(lambda: [message[0] for message in daemon.told] == told)


@pytest.mark.parametrize("mode", ["session", "percall"])
def test_parts_need_one_instance(mode):
    with start(single("Supply", parts=["all"], instancemode=mode)) as worker:
        assert loaded(worker)[2] == [
            "parts: they need one instance for all clients, `instancemode: single`; with '{}' there "
            "are none".format(mode)]


@pytest.mark.parametrize("path, kind, cause", [
    ("ch_1", "nothing", "'ch_1' is None"),
    ("ch_1", "number", "'ch_1' is a float"),
    ("ch_1", "items", "'ch_1' is a list"),
    ("nested", "nothing", "'nested' is None"),
    ("axes", "items", "list has no '0'"),
    ("axes.0", "nothing", "'axes.0' is None"),
    ("named", "dict", "dict has no 'x'"),
    ("named", "nothing", "'named' is None"),
])
def test_calls_of_a_part_that_is_gone_say_so(path, kind, cause):
    parts = {"ch_1": "ch_1", "nested": "nested.inner", "axes": "axes.0", "axes.0": "axes.0", "named": "named.x"}
    worker, daemon = served(single("Supply", parts=["all", "nested.inner"]))
    with worker:
        channel, part = worker.channel(), "lab.x." + parts[path]
        assert channel.call(part, "off") == "off"
        channel.call("lab.x", "put", path, kind)
        for _ in range(2):
            text = raises("Pyro5.errors.DaemonError", channel, "off", service=part)
            assert text == "service 'lab.x' has no part '{}' now: {}".format(parts[path], cause)
        assert channel.operation(GET, "lab.x", "number")[1] == 1.5, "its neighbours are served"
        assert not [message for message in daemon.told if message[0] == "broken"]


@pytest.mark.parametrize("path, between", [
    ("ch_1", "nothing"), ("ch_1", "deleted"), ("ch_1", None), ("axes.0", "nothing"), ("axes.0", None),
])
def test_an_object_in_the_place_of_one_that_is_gone_is_driven(path, between):
    worker, daemon = served(single("Supply", parts=["all"]))
    with worker:
        channel, part = worker.channel(), "lab.x." + path
        if between:
            channel.call("lab.x", "put", path, between)
            raises("Pyro5.errors.DaemonError", channel, "off", service=part)
        channel.call("lab.x", "put", path, "channel")
        assert channel.operation(GET, part, "number")[1] == 200
        channel.call("lab.x", "put", path, "parameter")
        assert channel.call(part, "get") == 1, "of another class"
        raises("builtins.AttributeError", channel, "off", service=part)


def test_a_part_that_is_gone_keeps_its_name_when_others_come():
    worker, daemon = served(single("Supply", parts=["all"]))
    with worker:
        channel = worker.channel()
        channel.call("lab.x", "put", "ch_1", "nothing")
        channel.call("lab.x", "grow")
        assert channel.call("lab.x.ch_9", "get") == 1, "seen without being read"
        assert set(daemon.parts) == {"lab.x." + path for path in ALL | {"ch_9", "all_channels.0"}}
        raises("Pyro5.errors.DaemonError", channel, "off", service="lab.x.ch_1")
        channel.call("lab.x", "put", "ch_1", "channel")
        assert channel.operation(GET, "lab.x.ch_1", "number")[1] == 200


def test_a_property_that_gave_a_part_and_gives_none():
    worker, daemon = served(single("Supply", parts=["changing"]))
    with worker:
        channel, changing = worker.channel(), "lab.x.changing"
        assert channel.operation(GET, changing, "number")[1] == 40
        channel.call("lab.x", "put", "_changing", "nothing")
        assert channel.operation(GET, "lab.x", "changing")[1] is None
        text = raises("Pyro5.errors.DaemonError", channel, "off", service=changing)
        assert text == "service 'lab.x' has no part 'changing' now: 'changing' is None"
        channel.call("lab.x", "put", "_changing", "channel")
        assert channel.operation(GET, changing, "number")[1] == 200


def test_two_services_that_share_an_object_have_a_part_each():
    first = single("shared", parts=["all"])
    worker, daemon = served(first)
    with worker:
        worker.send(("load", [dict(first, name="lab.y")]))
        wait_for(lambda: "lab.y" in worker.loaded)
        channel = worker.channel()
        for _ in range(2):
            for name in ("lab.x", "lab.y"):
                assert loaded(worker, name)[2] == [ODD]
                channel.call(name, "grow")
                assert channel.call(name + ".ch_1", "off") == "off"


def test_parts_that_the_daemon_does_not_take_leave_those_before():
    worker, daemon = served(single("Supply", parts=["all"]))
    with worker:
        channel = worker.channel()
        daemon.fails = True
        channel.call("lab.x", "grow")
        assert channel.call("lab.x.ch_1", "off") == "off"
        with pytest.raises(Raised):
            channel.call("lab.x.ch_9", "get")
        daemon.fails = False
        channel.call("lab.x", "put", "ch_8", "channel")
        assert channel.call("lab.x.ch_9", "get") == 1
