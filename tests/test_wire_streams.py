"""Item streams: iterators and generators that a client reads one item at a time."""

import contextlib
import gc
import uuid

import Pyro5.api
import Pyro5.errors
import pytest
from harness import (
    SERVERTYPES,
    Service,
    both_sides,
    class_and_own_words,
    every_serializer,
    every_servertype,
    wait_for,
)

SERVICES = {"t.wire": Service("wire", "Wire", "single")}


@pytest.fixture(scope="module", params=SERVERTYPES)
def sides(request):
    with both_sides(SERVICES, SERVERTYPE=request.param) as made:
        yield made


@contextlib.contextmanager
def wire(side, serializer="serpent"):
    with side.proxy("t.wire", serializer=serializer) as made:
        made.clear()
        yield made


def next_of(stream):
    """The next item, or what came in its place."""
    try:
        return next(stream)
    except StopIteration:
        return "end"
    except Exception as error:
        # Ours goes on with the call, in brackets.
        return [type(error).__name__, [str(arg).partition(" (in the ")[0] for arg in error.args]]


@every_serializer
@pytest.mark.parametrize("call", ["letters", "strange"])
def test_items_come_one_by_one(sides, serializer, call):
    def script(side):
        with wire(side, serializer) as made:
            return list(getattr(made, call)())

    sides.assert_same(script, class_and_own_words)


def test_a_property_can_be_a_stream(sides):
    def script(side):
        with wire(side) as made:
            return list(made.stream)

    sides.assert_same(script)


@every_serializer
def test_an_error_ends_a_stream(sides, serializer):
    def script(side):
        with wire(side, serializer) as made:
            stream = made.failing(1)
            return [next_of(stream), next_of(stream), next_of(stream)]

    sides.assert_same(script)


def whole(stream):
    """The items of a stream, its own streams' among them, and what it returns."""
    items = []

    def read():
        items.append((yield from stream))

    read_items = [whole(item) if hasattr(item, "__next__") else item for item in read()]
    return read_items, items[0]


@every_serializer
@pytest.mark.parametrize("name", [
    "summary", "early", "nothing", "array", "refused", "raised", "lines", "iterators", "deep", "objects", "map",
    "empty lines", "views", "own", "own with a state",
])
def test_a_stream_of_streams_and_what_a_generator_returns(sides, serializer, name):
    def script(side):
        with wire(side, serializer) as made:
            return whole(made.streams(name))

    sides.assert_same(script, lambda outcome: outcome if outcome[0] == "returned" else outcome[:2])


@every_serializer
@pytest.mark.parametrize("name", ["iterators", "lines", "own", "own with a state", "map"])
@pytest.mark.parametrize("place", ["list", "dict", "tuple", "property", "batch"])
def test_an_iterator_inside_a_result_becomes_what_it_becomes_under_pyro5(sides, serializer, name, place):
    def script(side):
        with wire(side, serializer) as made:
            if place == "property":
                made.hold(name)
                return whole(made.held_stream)
            if place == "batch":
                batch = Pyro5.api.BatchProxy(made)
                batch.echo(1)
                batch.streams(name)
                return list(batch())
            return made.streams_within(name, place)

    # In a batch ours says which result cannot be sent, and sends the results before it.
    view = (lambda outcome: outcome[0]) if place == "batch" else (lambda outcome: outcome[:2])
    sides.assert_same(script, lambda outcome: outcome if outcome[0] == "returned" else view(outcome))


def test_streams_of_a_stream_are_read_in_any_order(sides):
    def script(side):
        with wire(side) as made:
            lines = list(made.streams("lines"))
            return [next(line) for line in lines] + [next(line) for line in reversed(lines)] + whole(lines[0])[0]

    sides.assert_same(script)


def test_two_streams_and_a_call_between_them(sides):
    def script(side):
        with wire(side) as made:
            one, other = made.numbers(3), made.numbers(4)
            seen = [next(one), next(other), next(one), made.echo(1), next(other)]
            return seen + list(one) + list(other)

    sides.assert_same(script)


def test_a_stream_that_is_closed_ends_its_generator(sides):
    def script(side):
        with wire(side) as made:
            stream = made.numbers(5)
            next(stream)
            stream.close()
            wait_for(lambda: made.notes(), 20, "the generator was closed")
            return [made.notes(), next_of(stream)]

    sides.assert_same(script)


def test_a_stream_that_is_forgotten_is_closed(sides):
    """A stock client that has called something else meanwhile makes a connection for it."""

    def script(side):
        with wire(side) as made:
            stream = made.numbers(5)
            next(stream)
            made.echo("something else")
            del stream
            gc.collect()
            wait_for(lambda: made.notes(), 20, "the generator was closed")
            return made.notes()

    sides.assert_same(script)


def test_a_stream_can_be_read_on_behind_a_new_connection(sides):
    """For as long as it lingers."""

    def script(side):
        with wire(side) as made:
            stream = made.numbers(4)
            seen = [next(stream), next(stream)]
            made._pyroRelease()
            seen.append(next_of(stream))
            made._pyroReconnect()
            return seen + list(stream)

    sides.assert_same(script)


@every_serializer
def test_the_body_of_a_generator_sees_the_context_of_each_item(sides, serializer):
    current = Pyro5.api.current_context

    def item(stream, made, number):
        """An item of a request like no other, and the annotations that came with it."""
        current.annotations = {"WORD": b"number %d" % number}
        current.correlation_id = uuid.UUID(int=number)
        seen = next_of(stream)
        if isinstance(seen, dict):
            seen["port"] = seen["port"] == made._pyroConnection.sock.getsockname()[1]
        left = {key: bytes(data) for key, data in current.response_annotations.items()}
        return seen, left

    def script(side):
        try:
            with wire(side, serializer) as made:
                current.annotations = {"WORD": b"of the call"}
                current.correlation_id = uuid.UUID(int=77)
                stream = made.contexts(fails_at=4)
                items = [item(stream, made, number) for number in (1, 2)]
                # a lingering stream is read on by another connection
                made._pyroRelease()
                made._pyroReconnect()
                return items + [item(stream, made, number) for number in (3, 4, 5)]
        finally:
            current.annotations, current.correlation_id = {}, None

    sides.assert_same(script)


def test_an_unknown_stream_is_over(sides):
    def script(side):
        with side.daemon() as daemon:
            return daemon.get_next_stream_item("4711")

    sides.assert_same(script)


@every_servertype
@pytest.mark.parametrize("linger", [0.0, 0.5])
def test_a_stream_ends_when_it_has_lingered_for_its_client(servertype, linger):
    with both_sides(SERVICES, SERVERTYPE=servertype, ITER_STREAM_LINGER=linger) as sides:

        def script(side):
            with wire(side) as watcher:
                with side.proxy("t.wire") as made:
                    stream = made.numbers(3)
                    next(stream)
                # Both daemons look for streams to close every few seconds.
                wait_for(lambda: watcher.notes(), 20, "the generator was closed")
                made._pyroReconnect()
                seen = [next_of(stream), watcher.notes()]
                made._pyroRelease()
                return seen

        sides.assert_same(script)


@every_servertype
def test_a_stream_ends_with_its_lifetime(servertype):
    with both_sides(SERVICES, SERVERTYPE=servertype, ITER_STREAM_LIFETIME=0.5) as sides:

        def script(side):
            with wire(side) as made:
                stream = made.numbers(10**9)
                wait_for(lambda: isinstance(next_of(stream), list), 20, "the stream has ended")
                seen = [next_of(stream)]
                wait_for(lambda: made.notes(), 20, "the generator was closed")
                return seen + made.notes()

        sides.assert_same(script)


def test_a_stream_is_its_connections_own(sides):
    """Ours only: Pyro5 gives an item to every client that knows the stream's id."""
    with wire(sides.ours) as made, sides.ours.daemon() as other:
        stream = made.numbers(3)
        with pytest.raises(Pyro5.errors.PyroError, match="item stream terminated"):
            other.get_next_stream_item(stream.streamId)
        assert list(stream) == [0, 1, 2]


def test_a_connection_has_only_so_many_streams(sides):
    """Ours only: Pyro5 keeps them until its memory ends."""
    with wire(sides.ours) as made:
        streams = []
        with pytest.raises(Pyro5.errors.DaemonError, match="too many item streams"):
            while len(streams) < 2000:
                streams.append(made.numbers(1))
        assert len(streams) == 1000
        assert made.echo(1) == [[1], {}]
        for stream in streams:
            stream.proxy = None
