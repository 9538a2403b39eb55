"""Members that `expose`, `except` and `parts` open, in drivers without decorators."""

import threading

import pytest

from workers import CALL, GET, SET, Raised, raises, service, start, wait_for


def loaded(worker, name="lab.x"):
    kind, _, members, remarks = worker.loaded[name]
    assert kind == "loaded"
    return set(members["methods"]), set(members["attrs"]), remarks


def single(classname, expose="all", **more):
    more.setdefault("instancemode", "single")
    return service("lab.x", "members", classname, expose=expose, **more)


OF_CLASS = {"slot", "constant", "counted", "cached"}
OF_INSTANCE = {"plain", "made", "virtual"}
METHODS = {"sine", "partial", "method"}
CALLABLES = {"callable", "bound", "virtual_call"}


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


@pytest.mark.parametrize("mode", ["single", "session"])
@pytest.mark.parametrize("expose, methods, attributes, remarks", [
    (["all", "Error"], METHODS | {"Error"}, OF_CLASS, []),
    (["method", "plain", "slot"], {"method"}, {"plain", "slot"}, []),
    (["method", "callable"], {"method"}, {"callable"}, []),
    (["methd"], set(), {"methd"}, ["expose: Everything has no 'methd'; did you mean 'method'?"]),
    (["all", "zzz"], METHODS, OF_CLASS, ["expose: Everything has no 'zzz'"]),
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


class Daemon:
    """The daemon's part in the serving of parts."""

    def __init__(self, worker, refused=()):
        self.worker, self.refused, self.parts, self.asked, self.told = worker, refused, {}, [], []
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self):
        while True:
            message = self.worker.messages.get()
            if message[0] != "ask":
                self.told.append(message)
                self.worker.loaded.setdefault(message[1], message)
                continue
            _, number, what, arguments = message
            if what == "location":
                value = ["localhost:77", None, None]
            else:
                self.asked.append(arguments)
                listed = arguments[1]
                self.parts = {name: listed[name] for name in listed if name not in self.refused}
                value = [["lock"], {name: "taken" for name in self.refused if name in listed}]
            self.worker.send(("answer", number, True, value))


def served(spec, refused=()):
    worker = start()
    daemon = Daemon(worker, refused)
    worker.send(("load", [spec]))
    wait_for(lambda: spec["name"] in worker.loaded)
    return worker, daemon


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


def test_members_for_others_while_it_is_locked():
    names = ["plain", "plane", "method"]
    with start(single("Everything", read_while_locked=names)) as worker:
        assert loaded(worker)[2] == [
            "read_while_locked: Everything exposes no 'plane'; did you mean 'plain'?"]


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
        told = ["loaded", "broken", "members", "mended"]
        wait_for(lambda: [message[0] for message in daemon.told] == told)


def test_a_constructor_that_hangs_at_the_start_holds_up_no_neighbour(tmp_path):
    with start() as worker:
        names = ["hanging", "lab.x", "marked"]
        worker.send(("load", [
            service("hanging", "members", "Hanging", expose="all", instancemode="single",
                    arguments=[str(tmp_path / "now")]),
            single("Everything"), service("marked", "standard", "Probe"),
        ]))
        told = [worker.message()[1] for _ in range(2)]
        assert sorted(told) == names[1:]
        assert worker.channel().call("lab.x", "method") == "method"
        (tmp_path / "now").touch()
        kind, name, members, _ = worker.message()
        assert (kind, name, members["attrs"]) == ("loaded", "hanging", ["late"])


@pytest.mark.parametrize("mode", ["session", "percall"])
def test_parts_need_one_instance(mode):
    with start(single("Supply", parts=["all"], instancemode=mode)) as worker:
        assert loaded(worker)[2] == [
            "parts: they need one instance for all clients, `instancemode: single`; with '{}' there "
            "are none".format(mode)]


def test_factories_instances_and_modules():
    specs = {
        "made": ("make", {"arguments": [5]}),
        "nothing": ("make", {"arguments": {"what": "nothing"}}),
        "class": ("make", {"arguments": {"what": "class"}}),
        "instance": ("here", {}),
        "module": (None, {}),
    }
    with start(*(service(name, "members", classname, expose="all", **more)
                 for name, (classname, more) in specs.items())) as worker:
        channel = worker.channel()
        assert channel.operation(GET, "made", "number")[1] == 5
        assert loaded(worker, "made") == ({"off"}, {"level", "number"}, [])
        assert channel.operation(GET, "instance", "number")[1] == 7
        methods, attributes, _ = loaded(worker, "module")
        assert methods == {"make", "double"} and "here" in attributes
        assert channel.call("module", "double", 4) == 8
        for name, shown in (("nothing", "None"), ("class", "<class 'members.Channel'>")):
            kind, _, _, text, _ = worker.loaded[name]
            assert kind == "failed" and "members.make() has returned {}, and".format(shown) in text
