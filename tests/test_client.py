"""Our Python client: calls, streams, threads, timeouts; against every server."""

import copy
import gc
import pickle
import signal
import weakref

import ferrolab
import Pyro5.errors
import pytest
from harness import NEVER, wait_for
from harness.clients import (
    every_server,
    every_server_running,
    in_a_fork,
    interrupted_by_alarm,
)
from harness.locks import later
from harness.values import COLLECTIONS, NUMBERS, TEXTS
from shape import shape


@pytest.fixture(scope="module")
def servers():
    with every_server_running() as running:
        yield running


@pytest.fixture
def server(servers, request):
    found = servers[request.param]
    with found.stock() as wire:
        wire.clear()
    return found


@pytest.fixture
def wire(server):
    with server.connect() as made:
        yield made


# Forms that are other ones at the receiver: an empty set has no literal in serpent.
CHANGED = {
    "bytearray": b"abc",
    "memoryview": b"abc",
    "ordered dict": {"b": 1, "a": 2},
}
SERPENT_CHANGES = {"empty set": (), "empty frozenset": (), "frozenset": {1, 2}}
# Serpent has no literal for these.
NOT_IN_SERPENT = {"set of nan", "set of frozensets", "dict frozenset keys", "dict none key", "complex nan inf", "set mixed", "complex minus zeros", "set of bytes", "dict bytes keys"}


@every_server
def test_values(server, wire):
    """Over marshal, with daemons that announce Ferrolab, every type of plain data survives."""
    for name, value in {**NUMBERS, **TEXTS, **COLLECTIONS}.items():
        if not server.ours and name in NOT_IN_SERPENT:
            continue
        expected = CHANGED.get(name, value)
        if not server.ours:
            expected = SERPENT_CHANGES.get(name, expected)
        [[got], kwargs] = wire.echo(value)
        assert shape(got) == shape(expected), name
        assert kwargs == {}


@every_server
@pytest.mark.parametrize("serializer", ["serpent", "json", "msgpack", "marshal"])
def test_every_serializer_can_be_chosen(server, serializer):
    if serializer == "marshal" and server.name in ("Pyro5 tcp", "PyroLab tcp"):
        pytest.skip("its answers have references, which the decoder of untrusted bytes refuses")
    with server.connect(serializer=serializer) as wire:
        assert wire.echo(1, 2.5, "é", [None, True], key={"a": [1]}) == [[1, 2.5, "é", [None, True]], {"key": {"a": [1]}}]
        with pytest.raises(ValueError, match="boom"):
            wire.fail("boom")


@every_server
def test_exceptions_have_their_class_and_the_remote_traceback(wire):
    with pytest.raises(ValueError) as caught:
        wire.fail("boom")
    assert caught.value.args == ("boom", 5)
    assert "wire.py" in "".join(caught.value._pyroTraceback)
    assert "raise ValueError(text, 5)" in str(caught.value.__cause__)


@every_server
def test_properties_and_names(wire):
    assert wire.value == 1
    wire.value = [5]
    assert wire.value == [5]
    wire.value = 1
    assert {"echo", "value"} <= set(dir(wire))
    assert not [name for name in vars(type(wire)) if not name.startswith("_")], "all public names are the service's"
    with pytest.raises(AttributeError, match="did you mean echo"):
        wire.ecco
    with pytest.raises(AttributeError, match="cannot be set"):
        wire.echo = 5
    with pytest.raises(AttributeError, match="has no member 'valu'"):
        wire.valu = 5


@every_server
def test_batch_and_oneway(wire):
    batch = ferrolab.BatchProxy(wire)
    batch.echo(1)
    batch.echo(2, k=3)
    assert list(batch()) == [[[1], {}], [[2], {"k": 3}]]
    batch.note("a")
    batch.fail("in the middle")
    batch.note("never")
    results = batch()
    assert next(results) == 1
    with pytest.raises(ValueError, match="in the middle"):
        next(results)
    assert wire.note_oneway("b") is None
    batch.note("c")
    assert batch(oneway=True) is None
    assert wait_for(lambda: len(wire.notes()) == 3 and wire.notes(), 20, "all notes") and sorted(wire.notes()) == ["a", "b", "c"]


@every_server
def test_streams(wire):
    assert list(wire.numbers(4)) == [0, 1, 2, 3]
    assert list(wire.stream) == [1, 2]
    assert [list(line) for line in wire.streams("lines")] == [[0, 1, 2], [10, 11, 12]]
    first, second, _, seven = wire.streams("iterators")
    assert [next(first), next(second), list(first), list(second), seven] == [1, "3", [2], ["4"], 7]
    stream, other = wire.numbers(3), wire.numbers(2)
    assert [next(stream), next(other), wire.echo(5)[0], next(stream), next(other)] == [0, 0, [5], 1, 1]
    failing = wire.failing(1)
    assert next(failing) == 0
    with pytest.raises(ZeroDivisionError):
        next(failing)
    assert list(failing) == []
    wire.clear()
    with wire.numbers(7) as closed:
        next(closed)
    assert list(closed) == []
    wait_for(lambda: ("closed", 7) in map(tuple, wire.notes()), 20, "the generator is closed")


@every_server
def test_a_stream_outlives_its_proxy(server, wire):
    stream = server.connect().numbers(3)
    gc.collect()
    assert list(stream) == [0, 1, 2]


@every_server
def test_a_stream_that_is_dropped_is_closed_by_the_next_call(wire):
    next(wire.numbers(9))
    gc.collect()
    wire.echo(1)
    wait_for(lambda: ("closed", 9) in map(tuple, wire.notes()), 20, "the generator is closed")


@every_server
def test_objects_come_as_proxies(server, wire):
    if not server.registers:
        pytest.skip("PyroLab's daemon registers classes only")
    child = wire.adopt("eve")
    assert isinstance(child, ferrolab.Proxy)
    assert child.who() == "eve"
    assert wire.child_of("eve")["the child"][0].who() == "eve"
    wire.disown("eve")


@every_server
def test_proxies_and_uris_as_arguments(server, wire):
    with server.stock() as stock:
        [[proxy, theirs, uri], _] = wire.echo(wire, stock, wire._pyroUri)
    assert proxy == theirs == wire and uri == wire._pyroUri
    assert proxy.echo(1)[0] == [1]


@every_server
def test_closing_wakes_a_call_of_another_thread(server, tmp_path):
    with server.connect() as wire:
        call = later(lambda: wire.hold("x", str(tmp_path / "gate")))
        with server.stock() as stock:
            wait_for(lambda: stock.notes(), 20, "the call runs")
        ferrolab.close(wire)
        with pytest.raises(ferrolab.ConnectionClosedError) as caught:
            call()
        assert caught.value.outcome == "unknown"
        (tmp_path / "gate").touch()
        assert wire.echo(1)[0] == [1]


# Threads


@every_server
def test_a_slow_call_of_one_thread_delays_no_other(wire, tmp_path):
    gate = tmp_path / "gate"
    slow = later(lambda: wire.hold("x", str(gate)))
    wait_for(lambda: wire.notes(), 20, "the slow call runs")
    assert wire.echo(5)[0] == [5]
    assert slow.is_running()
    gate.touch()
    slow()


@every_server
def test_threads_share_a_proxy(wire):
    def calls(number):
        for index in range(50):
            assert wire.echo(number, index)[0] == [number, index]

    for result in [later(lambda number=number: calls(number)) for number in range(16)]:
        result()
    # Their connections go to other threads: no more than there were at once.
    later(lambda: calls(99))()
    assert len(wire._remote.pool._by_thread) <= 17


# Timeouts and interruptions


@every_server
def test_a_timeout_leaves_no_stale_answer(server, wire, tmp_path):
    gate = tmp_path / "gate"
    with pytest.raises(ferrolab.TimeoutError) as caught:
        wire.hold.with_timeout(0.3)("x", str(gate))
    assert isinstance(caught.value, TimeoutError)
    # A daemon of ours that is busy says that it has not begun.
    may_have_run = caught.value.outcome == "unknown" and "may have run" in str(caught.value)
    assert may_have_run or server.ours and caught.value.outcome == "not started", caught.value
    gate.touch()
    for number in range(20):
        assert wire.echo(number)[0] == [number]
    begun = [note[1] for note in wire.notes() if note[0] == "begin"]
    assert begun in ([], ["x"]) if may_have_run else begun == [], "it was not made again"


@every_server
def test_an_interrupted_call_leaves_no_stale_answer(wire, tmp_path):
    gate = tmp_path / "gate"
    with interrupted_by_alarm() as soon:
        with pytest.raises(KeyboardInterrupt):
            soon()
            wire.hold("x", str(gate))
    gate.touch()
    assert wire.echo(1)[0] == [1]


@every_server
@pytest.mark.parametrize("moment", ["is_stale", "call"])
def test_an_interrupt_between_calls_leaves_the_connection_to_the_thread(wire, monkeypatch, moment):
    def interrupt(*_):
        raise KeyboardInterrupt

    wire.echo(0)
    connection = wire._remote.pool.own()
    connection.used_at -= 10
    with monkeypatch.context() as patch:
        patch.setattr(type(connection), moment, interrupt)
        with pytest.raises(KeyboardInterrupt):
            wire.echo(1)
    assert wire.echo(2)[0] == [2]
    assert wire._remote.pool.own() is connection and not connection.busy.locked()


@every_server
def test_an_exception_of_a_signal_handler_is_the_program_s_own(wire, tmp_path):
    class Late(OSError):
        pass

    def late(*_):
        raise Late

    gate = tmp_path / "gate"
    with interrupted_by_alarm() as soon:
        signal.signal(signal.SIGALRM, late)
        with pytest.raises(Late):
            soon()
            wire.hold("x", str(gate))
    gate.touch()
    assert wire.echo(1)[0] == [1]


@every_server
def test_fork_pickle_and_copies(server, wire):
    assert wire.echo(0)[0] == [0]
    assert in_a_fork(lambda: 0 if wire.echo(1)[0] == [1] else 1) == 0
    assert wire.echo(2)[0] == [2]
    with server.connect(handshake="hello", timeout=NEVER) as made:
        for other in (pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
            assert other == made and other.echo(3)[0] == [3]
            ferrolab.close(other)
    assert b"a secret" not in pickle.dumps(ferrolab.Proxy(server.uri, handshake="a secret"))


@every_server
def test_a_proxy_is_collected_in_another_thread(server):
    made = [server.connect()]
    made[0].echo(1)
    pool = weakref.ref(made[0]._remote.pool)
    gc.disable()
    try:
        later(made.clear)()
        assert pool() is None, "its connections are closed at once"
    finally:
        gc.enable()
    with server.connect() as wire:
        assert wire.echo(1)[0] == [1]


@every_server
def test_errors_before_a_call(server):
    missing = "PYRO:t.missing@" + ferrolab.URI(server.uri).location
    with ferrolab.Proxy(missing, connect_timeout=NEVER) as made:
        with pytest.raises(ferrolab.CommunicationError, match="unknown object") as caught:
            made.echo(1)
        assert caught.value.outcome == "not started"
        # A program that has imported Pyro5 catches the same error by Pyro5's name.
        with pytest.raises(Pyro5.errors.PyroError):
            raise ferrolab.errors.class_of("CommunicationError")("x")
    with server.connect() as wire:
        with pytest.raises(ferrolab.SerializeError, match="builtins.object"):
            wire.echo(object())
        assert wire.echo(1)[0] == [1]


def test_the_names_of_pyro5_on_a_proxy(servers):
    server = servers["Pyro5 tcp"]
    with ferrolab.Proxy(server.uri) as made:
        made._pyroTimeout = NEVER
        made._pyroSerializer = "msgpack"
        assert (made._pyroTimeout, made._pyroSerializer, str(made._pyroUri)) == (NEVER, "msgpack", str(server.uri))
        made._pyroBind()
        made._pyroClaimOwnership()
        assert "echo" in made._pyroMethods and "value" in made._pyroAttrs and "note_oneway" in made._pyroOneway
        made._pyroRelease()
        assert made.echo(1)[0] == [1]
        later(made._pyroReconnect)()
