"""Safe states: when the methods of `on_disconnect` are called, and when not again."""

import pytest

from workers import CALL, LEAVE, RAISED, REST, TIMEOUT, VALUE, service, start, wait_for


def test_what_is_called_on_disconnect():
    with start(service("rest", "standard", "Resting", on_disconnect=["fail", "rest"])) as worker:
        channel, other = worker.channel(), worker.channel()
        channel.call("rest", "events")
        channel.close()
        wait_for(lambda: other.call("rest", "events") == ["rest"])
        assert worker.record(lambda r: r[0] == "log")[1] == "rest"


@pytest.mark.parametrize("mode", ["single", "session"])
def test_an_instance_comes_to_rest_once(mode):
    """When a lock's owner is gone. The end of its session does not do it again."""
    settings = {"on_disconnect": ["fail", "rest"], "instancemode": mode}
    with start(service("rest", "standard", "Resting", **settings)) as worker:
        first, beside, other = worker.channel(1), worker.channel(1), worker.channel(2)
        assert beside.request(REST, "rest", "rest", False) == (VALUE, mode)
        assert first.call("rest", "events") == [], "no instance was made for it"
        kind, state = beside.request(REST, "rest", "fail", False)
        assert (kind, state["args"]) == (RAISED, ("cannot rest",))
        assert beside.request(REST, "rest", "rest", False) == (VALUE, None)
        beside.close()
        first.close()
        assert other.call("rest", "events") == ["rest"]
        again = worker.channel(3)
        assert again.call("rest", "events") == ["rest"]


def test_a_stream_that_is_read_after_the_safe_state_makes_it_due_again():
    settings = {"on_disconnect": ["rest"], "instancemode": "single"}
    with start(service("rest", "standard", "Resting", **settings)) as worker:
        reader, other = worker.channel(1), worker.channel(2)
        _, number = reader.operation(CALL, "rest", "sweep")
        assert reader.next(number) == (VALUE, 0)
        assert other.request(REST, "rest", "rest", False) == (VALUE, None)
        assert reader.next(number) == (VALUE, 1)
        worker.send(("stop", 5.0))
        assert worker.process.wait(timeout=TIMEOUT) == 0
        said = lambda: worker.record(lambda record: record[:2] == ("out", "rest"))[2]
        assert [said() for _ in range(4)] == ["driven", "resting", "driven", "resting"]


@pytest.mark.parametrize("leaves", [False, True])
def test_a_session_runs_the_safe_state_of_an_instance_whose_stream_it_took_over(leaves):
    settings = {"on_disconnect": ["fail", "rest"], "instancemode": "session"}
    with start(service("rest", "standard", "Resting", **settings)) as worker:
        first, reader, asks = worker.channel(1), worker.channel(2), worker.channel(3)
        _, number = first.operation(CALL, "rest", "sweep")
        first.close()
        wait_for(lambda: asks.call("rest", "events") == ["rest"])
        assert reader.next(number) == (VALUE, 0)
        assert asks.call("rest", "events") == ["rest", "driven"]
        if leaves:
            assert reader.request(LEAVE, "rest", True) == (VALUE, None)
            assert asks.call("rest", "events") == ["rest", "driven", "rest"]
        reader.close()
        wait_for(lambda: len(asks.call("rest", "events")) >= 3)
        last = worker.channel(4)
        last.call("rest", "events")
        last.close()
        # The session of `last` has its own instance, whose safe state comes after the others.
        wait_for(lambda: asks.call("rest", "events")[3:])
        assert asks.call("rest", "events") == ["rest", "driven", "rest", "rest"]


def test_a_stream_that_hangs_at_its_end_holds_up_those_of_its_own_service_only(tmp_path):
    """Where the daemon has no channel for the ends of streams."""
    now = tmp_path / "now"
    ends = lambda name: service(name, "standard", "Ends", arguments=[str(now)])
    with start(ends("hanging"), ends("other")) as worker:
        channel = worker.channel()
        for name, hangs in (("hanging", True), ("hanging", False), ("other", False)):
            _, number = channel.operation(CALL, name, "sweep", (hangs,))
            assert channel.next(number) == (VALUE, 0)
            worker.send(("close_stream", number))
        worker.record(lambda record: record == ("out", "other", "ended"))
        now.touch()
        for _ in range(2):
            worker.record(lambda record: record == ("out", "hanging", "ended"))


@pytest.mark.parametrize("multiplex", [False, True])
@pytest.mark.parametrize("oneway", [False, True])
def test_a_safe_state_that_has_begun_is_waited_for_at_a_stop(tmp_path, multiplex, oneway):
    record = tmp_path / "record"
    settings = {"on_disconnect": ["rest"], "instancemode": "session", "arguments": [str(record)]}
    with start(service("slow", "slow_rest", "SlowToRest", **settings), multiplex=multiplex) as worker:
        channel = worker.channel()
        if oneway:
            channel.oneway("slow", "use", 1)
        else:
            channel.call("slow", "use")
        channel.close()
        wait_for(record.exists)
        worker.send(("stop", 5.0))
        while worker.message() != ("released",):
            pass
        assert record.read_text() == "begins\nends\n"
        assert worker.process.wait(timeout=TIMEOUT) == 0
