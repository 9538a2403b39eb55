"""Kinds of calls on the wire: batches, oneway calls, blobs, and what comes along with them.

Every case runs the same script of a stock client against Pyro5's own daemon and against ours.
"""

import contextlib
import itertools
import threading
import uuid

import Pyro5.api
import Pyro5.client
import Pyro5.errors
import pytest
from harness import (
    SERIALIZERS,
    SERVERTYPES,
    Service,
    both_sides,
    class_and_own_words,
    every_serializer,
    every_servertype,
    proxy,
    wait_for,
)
from harness.wire_lab import serve_wire

SERVICES = {
    "t.wire": Service("wire", "Wire", "single"),
    "t.session": Service("wire", "Wire", "session"),
    "t.percall": Service("wire", "Wire", "percall"),
}


@pytest.fixture(scope="module", params=SERVERTYPES)
def sides(request):
    with both_sides(SERVICES, SERVERTYPE=request.param) as made:
        yield made


@contextlib.contextmanager
def wire(side, serializer="serpent", name="t.wire", clears=True):
    """A proxy for an object that remembers nothing of other tests, where it `clears` them."""
    with side.proxy(name, serializer=serializer) as made:
        if clears:
            made.clear()
        yield made


@contextlib.contextmanager
def context(**settings):
    """The client's call context for the time of a script."""
    current = Pyro5.api.current_context
    try:
        for name, value in settings.items():
            setattr(current, name, value)
        yield current
    finally:
        current.annotations = {}
        current.response_annotations = {}
        current.correlation_id = None


def noted(proxy, count):
    wait_for(lambda: len(proxy.notes()) >= count, 20, f"{count} notes")
    return proxy.notes()


# batches


@every_serializer
@pytest.mark.parametrize("name", SERVICES)
def test_a_batch_gives_every_result(sides, serializer, name):
    def script(side):
        with wire(side, serializer, name) as made:
            batch = Pyro5.api.BatchProxy(made)
            batch.note("one")
            batch.echo(1, two=[2.5, None])
            batch.note("two")
            return list(batch())

    sides.assert_same(script)


@every_serializer
def test_a_batch_ends_behind_what_raises(sides, serializer):
    def script(side):
        with wire(side, serializer) as made:
            batch = Pyro5.api.BatchProxy(made)
            batch.note("before")
            batch.fail("in a batch")
            batch.note("behind")
            results = batch()
            seen = [next(results)]
            try:
                next(results)
            except ValueError as error:
                seen.append([type(error).__name__, list(error.args)])
            return [seen, made.notes()]

    sides.assert_same(script)


@pytest.mark.parametrize("member", ["_private", "nothing", "value", "__init__"])
def test_a_batch_cannot_reach_more_than_a_call(sides, member):
    def script(side):
        with wire(side) as made:
            made._pyroBind()
            return made._pyroInvokeBatch([("note", ("x",), {}), (member, (), {})])

    sides.assert_same(script)


@every_serializer
def test_a_oneway_batch_has_no_answer_and_is_carried_out_in_order(sides, serializer):
    def script(side):
        with wire(side, serializer) as made:
            batch = Pyro5.api.BatchProxy(made)
            for number in range(5):
                batch.note(number)
            return [batch(oneway=True), noted(made, 5)]

    sides.assert_same(script)


# oneway


@every_serializer
def test_a_oneway_call_has_no_answer(sides, serializer):
    def script(side):
        with wire(side, serializer) as made:
            answer = made.note_oneway("hello")
            return [answer, noted(made, 1)]

    sides.assert_same(script)


def test_oneway_calls_begin_in_their_order(sides):
    """And before the same client's next call. Of Pyro5's, one thread may overtake another."""
    seen = {}

    def script(side):
        with wire(side) as made:
            rounds = seen[side.name] = []
            for _ in range(5):
                made.clear()
                for number in range(50):
                    made.note_oneway(number)
                made.note("behind")
                rounds.append(noted(made, 51))
            return [sorted(notes, key=str) for notes in rounds]

    sides.assert_same(script)
    assert seen[sides.ours.name] == 5 * [[*range(50), "behind"]]


def test_a_oneway_call_that_raises_harms_nobody(sides):
    def script(side):
        with wire(side) as made:
            made.fail_oneway()
            return [noted(made, 1), made.echo(1)]

    sides.assert_same(script)


def test_oneway_calls_run_beside_other_calls_and_each_other(sides):
    """In both server types. However many they are, ours begin in their order."""
    begun = {}

    def script(side):
        with wire(side) as made, wire(side, clears=False) as other:
            for number in range(200):
                made.note_later(number)
            notes = begun[side.name] = noted(made, 200)
            meanwhile = other.echo("meanwhile")
            other.go_on()
            noted(made, 400)
            return [sorted(notes), meanwhile]

    sides.assert_same(script)
    assert begun[sides.ours.name] == [("begun", number) for number in range(200)]


def test_oneway_calls_of_a_multiplex_daemon_begin_in_turn():
    """One that comes during a call begins when that has ended."""
    with both_sides({"t.wire": SERVICES["t.wire"]}, SERVERTYPE="multiplex") as sides:

        def call_slowly(side):
            with wire(side, clears=False) as made:
                made.slow("call")

        def script(side):
            with wire(side) as made:
                running = threading.Thread(target=call_slowly, args=[side])
                running.start()

                def has_ended():
                    made.note_oneway("oneway")
                    return not running.is_alive()

                wait_for(has_ended, 20, "the end of the call")
                notes = made.notes()
                begin = notes.index(("begin", "call"))
                return notes[begin + 1]

        assert "'end'" in repr(sides.assert_same(script))


def test_a_queue_of_oneway_calls_delays_another_client_by_one_of_them(lab):
    """Where they take their turns: a multiplex daemon with `oneway_threaded: false`."""
    uri, _ = serve_wire(lab, "{servertype: multiplex, oneway_threaded: false}")
    with proxy(uri) as queued, proxy(uri) as other:
        # As many as a busy machine does not end meanwhile; more than 1000 would be too many.
        for number in range(900):
            queued.slow_oneway(number)

        def begun():
            return sum(1 for what, _ in other.notes() if what == "begin")

        # Its client may be slow in between, so that the smallest step counts.
        seen = [begun() for _ in range(10)]
        assert seen[-1] < 900, "its calls waited for all of them"
        assert min(after - before for before, after in itertools.pairwise(seen)) <= 1, seen


@every_servertype
def test_oneway_calls_that_are_not_threaded_run_one_after_the_other(lab, servertype):
    """Ours only: Pyro4 had such a setting."""
    uri, _ = serve_wire(lab, f"{{servertype: {servertype}, oneway_threaded: false}}")
    with proxy(uri) as made:
        for number in range(5):
            made.slow_oneway(number)
        each = [[("begin", number), ("end", number)] for number in range(5)]
        assert made.notes() == sum(each, [])


# blobs


@every_serializer
def test_a_blob_arrives_as_it_was_sent(sides, serializer):
    def script(side):
        with wire(side, serializer) as made:
            return made.blob(Pyro5.client.SerializedBlob("about it", [1, "two", {"three": 3.5}]))

    sides.assert_same(script)


@every_serializer
def test_a_dispatcher_passes_a_blob_on(sides, serializer):
    def script(side):
        with wire(side, serializer) as made:
            target = side.uris["t.session"]
            answer = made.pass_on(Pyro5.client.SerializedBlob(target, ["content"]))
            return [answer[0], answer[1] == target, answer[2]]

    if sides.multiplex:
        pytest.skip("a multiplexing server cannot call itself: it is busy with the call")
    sides.assert_same(script)


def test_a_blob_must_be_the_only_argument(sides):
    def script(side):
        with wire(side) as made:
            return made.blob(Pyro5.client.SerializedBlob("info", []), 2)

    sides.assert_same(script)


@pytest.mark.parametrize("member", ["_private", "nothing"])
def test_a_blob_cannot_reach_more_than_a_call(sides, member):
    def script(side):
        with wire(side) as made:
            made._pyroBind()
            blob = Pyro5.client.SerializedBlob("info", [])
            return made._pyroInvoke(member, (blob,), {})

    sides.assert_same(script)


# what comes along


@every_serializer
def test_annotations_travel_both_ways(sides, serializer):
    def script(side):
        with wire(side, serializer) as made, context() as current:
            current.annotations = {"ABCD": b"from the client", "EFGH": b""}
            got = made.context()["annotations"]
            if serializer == "marshal" or serializer == "msgpack":
                made.annotate({"WXYZ": b"from the server", "NONE": b""})
            else:
                current.annotations = {}
                batch = Pyro5.api.BatchProxy(made)
                batch.echo()
                batch()
            left = {key: bytes(data) for key, data in current.response_annotations.items()}
            made.echo()
            return [got, left, dict(current.response_annotations)]

    sides.assert_same(script, class_and_own_words)


def test_annotations_come_with_a_stream(sides):
    """Pyro5 sends them with the next answer."""
    with wire(sides.ours) as made, context() as current:
        stream = made.annotate_numbers()
        assert bytes(current.response_annotations["MINE"]) == b"with a stream"
        assert list(stream) == [1]


@pytest.mark.parametrize("annotations", [{"toolong": b"x"}, {"abc": b"x"}, {"abc\xe9": b"x"}])
def test_an_annotation_that_is_none_is_the_callers_error(sides, annotations):
    """Pyro5's daemon closes the connection; its multiplexing one answers nobody any more."""
    with wire(sides.ours, "marshal") as made:
        with pytest.raises(Pyro5.errors.ProtocolError, match="must be 4 ascii characters"):
            made.annotate(annotations)


def test_a_correlation_id_is_passed_along(sides):
    def script(side):
        with wire(side) as made, context(correlation_id=uuid.UUID(int=5)):
            seen = made.context()
            return [seen["correlation"], seen["flags"]]

    sides.assert_same(script)


def test_without_a_correlation_id_every_call_gets_one(sides):
    def script(side):
        with wire(side) as made:
            seen = [uuid.UUID(made.context()["correlation"]) for _ in range(2)]
            return [seen[0] != seen[1], [each.version for each in seen]]

    sides.assert_same(script)


@every_serializer
def test_the_rest_of_the_context(sides, serializer):
    def script(side):
        with wire(side, serializer) as made:
            seen = made.context()
            return [seen["flags"], seen["serializer"], seen["seq"], seen["address"]]

    sides.assert_same(script, class_and_own_words)


@every_serializer
def test_a_compressed_request_is_read(sides, serializer):
    def script(side):
        with wire(side, serializer) as made:
            Pyro5.config.COMPRESSION = True
            try:
                return [made.echo("x" * 5000), made.echo(1), made.context()["flags"]]
            finally:
                Pyro5.config.COMPRESSION = False

    sides.assert_same(script, class_and_own_words)


def test_a_handshake_may_carry_anything(sides):
    def script(side):
        with proxy(side.uris["t.wire"]) as made:
            made._pyroHandshake = {"user": "me", "numbers": [1, 2.5, None]}
            return made.echo(1)

    sides.assert_same(script)


# objects that come and go


@pytest.mark.parametrize("serializer", [name for name in SERIALIZERS if name != "marshal"])
def test_a_registered_object_arrives_as_a_proxy(sides, serializer):
    def script(side):
        with wire(side, serializer) as made:
            with made.adopt("anna") as anna:
                seen = [type(anna).__name__, str(anna._pyroUri).partition("@")[0], anna.who()]
            with made.child_of("anna")["the child"][0] as anna:
                seen.append(anna.who())
            made.disown("anna")
            return seen

    sides.assert_same(script)


def test_a_removed_object_is_unknown(sides):
    def script(side):
        with wire(side) as made:
            anna = made.adopt("anna")
            seen = [anna.who(), "child.anna" in side.daemon().registered()]
            made.disown("anna")
            seen.append("child.anna" in side.daemon().registered())
            try:
                anna.who()
            except Pyro5.errors.DaemonError as error:
                seen.append(str(error).startswith("unknown object"))
            anna._pyroRelease()
            return seen

    sides.assert_same(script)


@every_serializer
def test_an_object_of_the_clients_own_daemon_is_called_back(sides, serializer):
    import threading

    @Pyro5.api.expose
    class Listener:
        def hear(self, what):
            return ["heard", what]

    with Pyro5.api.Daemon(host="localhost") as daemon:
        threading.Thread(target=daemon.requestLoop, daemon=True).start()
        listener = Listener()
        uri = daemon.register(listener)

        def script(side):
            with wire(side, serializer) as made, proxy(uri) as target:
                return made.call_back(target, "news")

        sides.assert_same(script)
        daemon.shutdown()


def test_an_error_in_a_callback_is_the_callers_too(sides):
    def script(side):
        with wire(side) as made:
            try:
                made.complain()
            except ValueError as error:
                return list(error.args)

    sides.assert_same(script)


# the daemon itself


@every_serializer
def test_the_daemon_lists_its_objects(sides, serializer):
    def script(side):
        with side.daemon(serializer=serializer) as daemon:
            names = daemon.registered()
            # Ours has the service card besides, under a key that stock clients ignore.
            metadata = {
                key: value for key, value in daemon.get_metadata("t.wire").items() if key != "ferrolab"
            }
            return [
                [name for name in sorted(names) if name.startswith(("t.", "Pyro."))],
                {key: sorted(value) for key, value in metadata.items()},
                daemon.ping(),
                isinstance(daemon.info(), str),
            ]

    sides.assert_same(script)


@pytest.mark.parametrize("call", ["get_metadata", "get_next_stream_item", "close_stream"])
def test_the_daemon_and_what_it_does_not_know(sides, call):
    def script(side):
        with side.daemon() as daemon:
            return getattr(daemon, call)("nothing of that name")

    sides.assert_same(
        script, lambda outcome: outcome[:2] if call == "get_metadata" else outcome[:3]
    )


def test_a_ping_is_answered(sides):
    from Pyro5 import protocol

    def script(side):
        with wire(side) as made:
            ping = protocol.SendingMessage(protocol.MSG_PING, 0, 77, 42, b"anything")
            made._pyroConnection.send(ping.data)
            pong = protocol.recv_stub(made._pyroConnection, [protocol.MSG_PING])
            return [pong.type, pong.flags & ~64, pong.seq, pong.serializer_id, bytes(pong.data)]

    sides.assert_same(script)
