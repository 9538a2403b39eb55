"""Services whose instance is made at the start: by a factory, or to see its members."""

import pytest

from workers import GET, loaded, service, single, start, wait_for


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


@pytest.mark.parametrize("multiplex", [False, True])
def test_a_factory_that_hangs_holds_up_no_neighbour_that_loads(tmp_path, multiplex):
    """In a multiplex daemon, none that needs no instance at its start."""
    now = tmp_path / "now"
    with start(multiplex=multiplex) as worker:
        worker.send(("load", [
            service("hanging", "factories", "make_late", expose="all", arguments=[str(now)]),
            service("other", "members", "make", expose="all", arguments=[5]),
            service("marked", "standard", "Probe"),
        ]))
        first = worker.message()
        assert first[:2] == ("loaded", "marked")
        if not multiplex:
            assert worker.message()[:2] == ("loaded", "other")
            assert worker.channel().operation(GET, "other", "number")[1] == 5
        now.touch()
        told = {message[1]: message for message in (worker.message() for _ in range(1 + multiplex))}
        assert told["hanging"][2]["attrs"] == ["late"]


def test_the_instance_of_a_factory_is_released_where_its_service_cannot_be_made():
    spec = service("made", "factories", "make_unlisted", on_disconnect=["off"])
    with start(spec) as worker:
        kind, _, _, text, _ = worker.loaded["made"]
        assert kind == "failed" and "the members of Unreleased cannot be listed" in text
        worker.record(lambda record: record == ("out", "made", "off"))
