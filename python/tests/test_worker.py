"""A worker does with drivers what Pyro5's daemon and PyroLab do."""

import os
import pathlib
import queue
import re
import sys
import threading
from importlib import metadata

import pytest

from workers import (
    BATCH, BEGUN, CALL, CLOSE, DRIVERS, END, GET, JSON, MARSHAL, MSGPACK, RAISED, REST,
    SERPENT, SET, STREAM, TIMEOUT, VALUE, Raised, Worker, probe, raises, service, start,
    wait_for,
)


def test_members(shared):
    kind, _, members, remarks = shared.loaded["lab.probe"]
    assert (kind, remarks) == ("loaded", [])
    assert members["attrs"] == ["fixed", "readings", "value"]
    assert members["oneway"] == ["later"]
    assert {"echo", "inherited", "static", "clsmethod", "later", "__len__", "__getitem__"} <= set(
        members["methods"])
    assert not {"_private", "_Probe__private", "hidden", "__init__"} & set(members["methods"])


@pytest.mark.parametrize("on_disconnect, read_while_locked, expected", [
    (["_private", "hidden", "static", "clsmethod"], ["echo", "value", "islocked"], []),
    # A property is no safe state, and what is not exposed is none of others' business.
    (["value", "nothing_like_it"], ["hiden", "of_a_part"],
     ["on_disconnect: Probe has no method 'value'", "on_disconnect: Probe has no method 'nothing_like_it'"]),
    (["clsmethd"], ["vaule"],
     ["on_disconnect: Probe has no method 'clsmethd'; did you mean 'clsmethod'?",
      "read_while_locked: Probe exposes no 'vaule'; did you mean 'value'?"]),
])
def test_names_of_members_that_there_are_not(on_disconnect, read_while_locked, expected):
    spec = probe(on_disconnect=on_disconnect, read_while_locked=read_while_locked)
    with start(spec) as worker:
        assert worker.loaded["lab.probe"][3] == expected


@pytest.mark.parametrize("member, args, result", [
    ("echo", (1, "a"), ((1, "a"), {})), ("inherited", (), "inherited"), ("static", (1,), 2),
    ("clsmethod", (), "Probe"), ("__len__", (), 3), ("__getitem__", (4,), 8), ("bump", (), 1),
])
def test_calls(channel, member, args, result):
    assert channel.call("lab.probe", member, *args) == result


def test_keyword_arguments(channel):
    assert channel.call("lab.probe", "echo", 1, a=2) == ((1,), {"a": 2})


@pytest.mark.parametrize("kind, member, text", [
    (CALL, "_private", "attempt to access private attribute '_private'"),
    (CALL, "__init__", "attempt to access private attribute '__init__'"),
    (CALL, "__class__", "attempt to access private attribute '__class__'"),
    (CALL, "hidden", "attempt to access unexposed attribute 'hidden'"),
    (CALL, "count", "attempt to access unexposed attribute 'count'"),
    (CALL, "nothing", "'Probe' object has no attribute 'nothing'"),
    (CALL, "echo.__func__", "'Probe' object has no attribute 'echo.__func__'"),
    (GET, "echo", "attempt to access unexposed or unknown remote attribute 'echo'"),
    (GET, "setting", "attempt to access unexposed or unknown remote attribute 'setting'"),
    (SET, "fixed", "attempt to access unexposed or unknown remote attribute 'fixed'"),
    (GET, "nothing", "type object 'Probe' has no attribute 'nothing'"),
])
def test_what_is_refused(channel, kind, member, text):
    args = (1,) if kind == SET else ()
    assert raises("builtins.AttributeError", channel, member, *args, kind=kind) == text


def test_properties(channel):
    assert channel.operation(GET, "lab.probe", "value") == (VALUE, 1)
    assert channel.operation(SET, "lab.probe", "value", ([2],)) == (VALUE, None)
    assert channel.operation(GET, "lab.probe", "value") == (VALUE, [2])
    kind, number = channel.operation(GET, "lab.probe", "readings")
    assert kind == STREAM
    assert channel.next(number) == (VALUE, 1)


def test_exceptions(channel):
    with pytest.raises(Raised) as caught:
        channel.call("lab.probe", "fail", code=9)
    state = caught.value.state
    assert state["__class__"] == "standard.ProbeError"
    assert state["args"] == ("broken", 9)
    assert state["attributes"]["code"] == 9
    lines = state["attributes"]["_pyroTraceback"]
    assert lines[0] == "Traceback (most recent call last):\n"
    assert "standard.py" in lines[1] and "ferrolab" not in "".join(lines)
    assert lines[-1] == "standard.ProbeError: ('broken', 9)\n"


def test_an_exit_does_not_reach_the_client(channel):
    text = raises("Pyro5.errors.DaemonError", channel, "leave")
    assert text == "'leave' of service 'lab.probe' raised SystemExit: 3"


def test_arguments_that_do_not_fit(channel):
    text = raises("builtins.TypeError", channel, "static")
    assert "missing 1 required positional argument" in text


def test_a_result_that_cannot_be_sent(channel):
    text = raises("builtins.TypeError", channel, "odd")
    assert text.startswith("don't know how to serialize class <class 'object'>. Give it vars() or an "
                    "appropriate __getstate__ (in the result of 'odd' of service ")
    text = raises("Pyro5.errors.SerializeError", channel, "odd", serializer=JSON)
    assert "<class 'object'> using serializer JsonSerializer" in text


def test_unknown_service(channel):
    assert raises("Pyro5.errors.DaemonError", channel, "x", service="no") == "unknown object"


def test_instance_modes(shared):
    one, two = shared.channel(), shared.channel()
    ids = {name: [c.call(name, "bump") for c in (one, two, one)]
           for name in ("lab.probe", "lab.single", "lab.percall")}
    assert ids == {"lab.probe": [1, 1, 2], "lab.single": [1, 2, 3], "lab.percall": [1, 1, 1]}


def test_two_services_of_one_class_are_apart(shared):
    channel = shared.channel()
    assert channel.call("lab.probe", "whoami") != channel.call("lab.single", "whoami")


def test_a_session_may_have_several_channels(shared):
    one, two = shared.channel(77), shared.channel(77)
    assert one.call("lab.probe", "whoami") == two.call("lab.probe", "whoami")
    assert one.call("lab.probe", "thread") != two.call("lab.probe", "thread")


def test_single_instances_are_made_once():
    with start(service("lab.slow", "standard", "Slow", instancemode="single")) as worker:
        channels = [worker.channel() for _ in range(5)]
        answers = []
        threads = [threading.Thread(target=lambda c=c: answers.append(c.call("lab.slow", "count")))
                   for c in channels]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert answers == [1] * 5


def test_instance_creators():
    with start(service("a", "standard", "Created"), service("b", "standard", "WronglyCreated"),
               service("c", "standard", "instance")) as worker:
        channel = worker.channel()
        assert channel.call("a", "get") == "created"
        text = raises("builtins.TypeError", channel, "get", service="b")
        assert text == "instance creator returned object of different type"
        assert channel.call("c", "get") == "beforehand"


def test_streams(shared):
    channel = shared.channel()
    kind, number = channel.operation(CALL, "lab.probe", "stream", (2,))
    assert kind == STREAM
    assert channel.next(number) == (VALUE, {"n": 0})
    assert channel.call("lab.probe", "bump") == 1
    assert channel.next(number) == (VALUE, {"n": 1})
    assert channel.next(number) == (END,)
    assert channel.next(number)[1]["args"] == ("item stream terminated",)

    kind, number = channel.operation(CALL, "lab.probe", "stream", (2, 0))
    kind, state = channel.next(number)
    assert (kind, state["__class__"], state["args"]) == (RAISED, "builtins.ValueError", ("at 0",))
    assert channel.next(number)[0] == RAISED

    ended = channel.call("lab.probe", "events").count("stream ended")
    number = channel.operation(CALL, "lab.probe", "stream", (5,))[1]
    channel.next(number)
    channel.send(CLOSE, number)
    assert channel.call("lab.probe", "events").count("stream ended") == ended + 1

    number = channel.operation(CALL, "lab.probe", "stream", (5,))[1]
    channel.next(number)
    shared.send(("close_stream", number))
    wait_for(lambda: channel.call("lab.probe", "events").count("stream ended") == ended + 2)


def test_batches(channel):
    calls = [("bump", [], {}), ("echo", [1], {"a": 2}), ("fail", [], {}), ("bump", [], {})]
    kind, results = channel.operation(BATCH, "lab.probe", "", calls)
    assert results[:2] == [1, ((1,), {"a": 2})]
    assert len(results) == 3
    assert results[2]["__class__"] == "Pyro5.core._ExceptionWrapper"
    assert results[2]["exception"]["__class__"] == "standard.ProbeError"
    assert raises("builtins.AttributeError", channel, "", ("_private", [], {}), kind=BATCH)


def test_oneway(shared, channel):
    assert channel.oneway("lab.probe", "later") == (VALUE, None)
    assert channel.call("lab.probe", "bump") == 101
    for member, number, raised in [("later", 7, ()), ("fail", 8, ("standard.ProbeError", "('broken', 7)"))]:
        assert channel.oneway("lab.probe", member, number) == (BEGUN,)
        assert shared.message() == ("ended", number, *raised)
    assert channel.call("lab.probe", "bump") == 202
    record = shared.record(lambda r: r[0] == "log" and "oneway" in r[4])
    assert record[1] == "lab.probe" and "ProbeError" in record[5]


def test_callbacks_are_reported_here_too(shared, channel):
    raises("builtins.RuntimeError", channel, "called_back")
    record = shared.record(lambda r: r[0] == "log" and "callback" in r[4])
    assert "in a callback" in record[5]


def test_the_exception_of_a_method_that_cannot_say_whether_it_is_a_callback(channel):
    raises("builtins.ZeroDivisionError", channel, "elsewhere", service="lab.pyro")


def test_context(shared):
    channel = shared.channel()
    kind, value, left = channel.operation(
        CALL, "lab.pyro", "context", annotations=[("ABCD", b"there")], flags=2, serializer=MARSHAL)
    address = ("127.0.0.1", 5555)
    assert value == (address, 1, 2, MARSHAL, "01010101-0101-0101-0101-010101010101",
                     {"ABCD": b"there"}, address)
    assert left == [("XYZ1", b"back")]
    channel.call("lab.pyro", "track")
    channel.close()
    other = shared.channel()
    wait_for(lambda: other.call("lab.pyro", "closed") == ["closed"])


@pytest.mark.parametrize("serializer", [SERPENT, MARSHAL, JSON, MSGPACK])
def test_class_dicts(channel, serializer):
    def kind(value):
        return channel.operation(CALL, "lab.pyro", "kind", (value,), classes=True,
                                 serializer=serializer)[1]

    uri = {"__class__": "Pyro5.core.URI", "state": ("PYRO", "obj", None, "localhost", 5)}
    assert kind(uri) == ("URI", "PYRO:obj@localhost:5")
    proxy = {"__class__": "Pyro5.client.Proxy",
             "state": ("PYRO:obj@localhost:5", (), (), (), "hello", None)}
    assert kind(proxy)[0] == "Proxy"
    error = {"__class__": "builtins.ValueError", "__exception__": True, "args": ("x",),
             "attributes": {}}
    assert kind(error) == ("ValueError", "x")
    thing = {"__class__": "test.Thing", "n": 4}
    assert channel.operation(CALL, "lab.pyro", "double", (thing,), classes=True,
                             serializer=serializer)[1] == {"__class__": "test.Thing", "n": 8}
    if serializer == MSGPACK:
        date = {"__class__": "datetime.date", "ordinal": 5}
        assert kind([date]) == ("list", "[datetime.date(1, 1, 5)]")
        stamp = {"__class__": "datetime.datetime", "timestamp": 0.5}
        assert kind(stamp)[0] == "datetime"
    for bad, cls in [({"__class__": "os.system"}, "Pyro5.errors.SerializeError"),
                     ({"__class__": "a.__b__"}, "Pyro5.errors.SecurityError")]:
        raises(cls, channel, "kind", [bad], service="lab.pyro", classes=True, serializer=serializer)


def test_proxies_and_uris_are_sent_as_class_dicts(shared, channel):
    assert channel.call("lab.pyro", "proxy")["__class__"] == "Pyro5.client.Proxy"


ORDER = ["all", "some", "none"]


def test_expose_all():
    with start(
        service("all", "standard", "Plain", expose="all", arguments=[3]),
        service("some", "standard", "Plain", expose=["measure", "voltage", "name"],
                arguments={"channel": 2, "name": "some"}),
        service("none", "standard", "Plain"),
    ) as worker:
        listed = [(m["methods"], m["attrs"]) for _, _, m, _ in map(worker.loaded.get, ORDER)]
        assert listed == [(["__len__", "measure", "reset"], ["limit", "voltage"]),
                          (["measure"], ["name", "voltage"]), ([], [])]
        assert worker.record(lambda r: "exposes nothing" in r[4])[1] == "none"
        channel = worker.channel()
        assert channel.call("all", "measure") == ("plain", 3)
        assert channel.operation(GET, "all", "voltage")[1] == 4.5
        channel.operation(SET, "all", "voltage", (3.0,))
        assert channel.call("all", "measure") == ("plain", 2.0)
        assert channel.call("all", "__len__") == 2
        assert channel.operation(GET, "some", "name")[1] == "some"
        raises("builtins.AttributeError", channel, "reset", service="some")
        raises("builtins.AttributeError", channel, "_secret", service="all", kind=GET)


def test_load_errors(tmp_path):
    (tmp_path / "halfway.py").write_text("import nothing_like_it\n")
    (tmp_path / "later.py").write_text("")
    with Worker([
        service("a", "nosuch", "X"), service("b", "halfway", "X"), service("c", "later", "X"),
        service("d", "standard", "function"), service("e", "standard", "Probe"),
    ], path=[DRIVERS, tmp_path]) as worker:
        errors = {name: message[2:4] for name, message in worker.loaded.items()}
        module = "builtins.ModuleNotFoundError"
        assert errors["a"] == (module, "ModuleNotFoundError: No module named 'nosuch'")
        place = " ({} line 1)".format(tmp_path / "halfway.py")
        assert errors["b"] == (module, "ModuleNotFoundError: No module named 'nothing_like_it'" + place)
        assert "halfway.py" in worker.loaded["b"][4][1]
        assert errors["c"] == ("builtins.AttributeError",
                               "AttributeError: module 'later' has no class 'X'")
        assert errors["d"][1].startswith("TypeError: standard.function() has returned 1, and a")
        assert worker.loaded["e"][0] == "loaded"
        (tmp_path / "later.py").write_text("import ferrolab\n@ferrolab.expose\nclass X:\n"
                                           " def x(self): return 'there'\n")
        worker.send(("load", [service("c", "later", "X")]))
        assert worker.message()[0] == "loaded"
        assert worker.channel().call("c", "x") == "there"


def test_constructors_that_raise():
    with start(service("lab.picky", "standard", "Picky")) as worker:
        channel = worker.channel()
        for _ in range(2):
            raises("builtins.OSError", channel, "ok", service="lab.picky")
            assert worker.message()[:4] == ("broken", "lab.picky", "builtins.OSError",
                                            "OSError: [Errno 5] no device")
        assert channel.call("lab.picky", "ok") == 3
        assert worker.message() == ("mended", "lab.picky")


pyrolab_as_today = pytest.mark.skipif(
    metadata.version("pyrolab") < "0.5", reason="an older PyroLab, for an older Python")


@pyrolab_as_today
def test_pyrolab():
    sample = "pyrolab.drivers.sample"
    with start(
        service("laser", sample, "SampleAutoconnectInstrument", instancemode="single",
                parameters={"address": "0.0.0.0", "port": 12345}),
        service("dark", sample, "SampleAutoconnectInstrument", instancemode="session"),
    ) as worker:
        channel = worker.channel()
        assert channel.call("laser", "autoconnect") is True
        assert channel.call("laser", "do_something") is True
        # without parameters nothing is set on the class, and this one's constructor sets nothing
        raises("builtins.AttributeError", channel, "autoconnect", service="dark")


CLOSING = """
from pyrolab.drivers import Instrument
from pyrolab.api import expose
closed = []

@expose
class Lamp(Instrument):
    def close(self):
        print("closed", self._pyroId)
        closed.append(self._pyroId)
        if self._pyroId == "bad":
            raise ValueError("stuck")
    def closed(self):
        return closed
"""


@pyrolab_as_today
def test_instruments_are_released(tmp_path):
    (tmp_path / "closing.py").write_text(CLOSING)
    modes = {"one": "session", "bad": "session", "all": "single"}
    with Worker([service(name, "closing", "Lamp", instancemode=mode)
                 for name, mode in modes.items()], path=[tmp_path]) as worker:
        channel, other = worker.channel(), worker.channel()
        for name in modes:
            channel.call(name, "closed")
        channel.close()
        wait_for(lambda: sorted(other.call("all", "closed")) == ["bad", "one"])
        assert "stuck" in worker.record(lambda r: r[0] == "log" and "failed" in r[4])[5]
        other.call("one", "closed")
        worker.send(("stop", 5.0))
        assert worker.process.wait(timeout=TIMEOUT) == 0
        worker.record(lambda r: r == ("out", "one", "closed one"))
        worker.record(lambda r: r == ("out", "all", "closed all"))


def test_multiplex():
    with start(probe(), multiplex=True) as worker:
        channels = [worker.channel() for _ in range(3)]
        threads = {channel.call("lab.probe", "thread") for channel in channels}
        assert len(threads) == 1
        assert threads.pop()[1] is True
        assert [channel.call("lab.probe", "bump") for channel in channels] == [1, 1, 1]
        channels[0].close()
        assert channels[1].call("lab.probe", "bump") == 2
        worker.send(("ping", 1))
        assert worker.message() == ("pong", 1)
        worker.send(("stop", 1.0))
        assert worker.process.wait(timeout=TIMEOUT) == 0


def answer_asks(worker, answers, seen):
    message = worker.message()
    assert message[0] == "ask"
    seen.append(message[2:])
    worker.send(("answer", message[1], *answers[message[2]]))


def test_objects_registered_at_run_time():
    with start(service("reg", "standard", "Registering", instancemode="single"),
               service("lab.pyro", "pyro", "Service")) as worker:
        answers = {"register": (True, None), "location": (True, ["localhost:77", None, None]),
                   "unregister": (True, None)}
        seen = []

        def serve():
            try:
                while True:
                    answer_asks(worker, answers, seen)
            except queue.Empty:
                pass

        threading.Thread(target=serve, daemon=True).start()
        channel = worker.channel()
        assert channel.call("reg", "make") == "PYRO:thing@localhost:77"
        kind, (name, members, part_of) = seen[0]
        assert (kind, name, part_of) == ("register", "thing", "reg")
        assert members["methods"] == ["__len__", "measure", "reset"]
        assert channel.call("thing", "measure") == ("plain", 1)
        state = channel.call("reg", "give")
        assert state["__class__"] == "Pyro5.client.Proxy"
        assert state["state"][0] == "PYRO:thing@localhost:77"
        assert channel.call("lab.pyro", "uri") == {
            "__class__": "Pyro5.core.URI", "state": ("PYRO", "lab.pyro", None, "localhost", 77)}
        (me,), name = channel.call("reg", "me")
        assert me["state"][0] == "PYRO:reg@localhost:77" and name == "reg"
        channel.call("reg", "drop")
        raises("Pyro5.errors.DaemonError", channel, "measure", service="thing")
        raises("builtins.AttributeError", channel, "rigid", service="reg")
        assert [(kind, name) for kind, (name, *_) in seen[-2:]] == [
            ("register", "rigid"), ("unregister", "rigid")]


def interpreters():
    """The interpreters of this machine that a worker can run with."""
    versions = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv")) / "versions"
    found = {sys.executable}
    for python in list(versions.glob("3.*/bin/python")) + [
        pathlib.Path("/usr/bin/python3.{}".format(minor)) for minor in range(8, 20)
    ]:
        minor = re.search(r"3\.(\d+)", str(python))
        if python.exists() and minor and int(minor.group(1)) >= 8:
            found.add(str(python))
    return sorted(found)


@pytest.mark.parametrize("python", interpreters())
def test_interpreters(python):
    with start(probe(), service("all", "standard", "Plain", expose="all"), python=python,
               multiplex="3.9" in python) as worker:
        channel = worker.channel()
        assert worker.loaded["lab.probe"][0] == "loaded"
        assert channel.call("lab.probe", "bump") == 1
        assert channel.call("all", "measure") == ("plain", 1)
        assert channel.operation(GET, "lab.probe", "value") == (VALUE, 1)
        assert raises("standard.ProbeError", channel, "fail") == "broken"
        kind, number = channel.operation(CALL, "lab.probe", "stream", (1,))
        assert channel.next(number) == (VALUE, {"n": 0})
        assert channel.next(number) == (END,)
        error = {"__class__": "builtins.OSError", "__exception__": True, "args": (2, "x")}
        (args, _) = channel.operation(CALL, "lab.probe", "echo", (error,), classes=True)[1]
        assert args[0]["__class__"].endswith("FileNotFoundError")
        raises("Pyro5.errors.SerializeError", channel, "echo", {"__class__": "some.thing"},
               classes=True)
        raises("Pyro5.errors.SerializeError", channel, "odd", serializer=JSON)
        channel.call("lab.probe", "talk", "hello")
        worker.record(lambda r: r == ("out", "lab.probe", "hello"))
        channel.call("lab.probe", "close_low")
        assert worker.channel().call("lab.probe", "bump") == 1
        worker.send(("stop", 1.0))
        assert worker.process.wait(timeout=TIMEOUT) == 0


def test_large_values(channel):
    for size in (10, 40_000, 65_530, 65_536, 5_000_000):
        data = b"x" * size
        assert channel.call("lab.probe", "echo", data) == ((data,), {})
