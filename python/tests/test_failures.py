"""Drivers that print, break or exhaust something: their neighbours and the worker go on."""

import concurrent.futures
import os
import queue
import signal
import threading
from unittest.mock import ANY

import pytest

from workers import (
    CALL, RAISED, TIMEOUT, VALUE, Raised, Worker, probe, raises, service, start, wait_for,
)


def test_output(shared, channel):
    while not shared.records.empty():
        shared.records.get()
    channel.call("lab.probe", "talk", "one\ntwo")
    channel.call("lab.probe", "talk", "three", err=True)
    channel.call("lab.probe", "mutter")
    channel.call("lab.probe", "talk", "four")
    channel.call("lab.probe", "log", "five")
    channel.call("lab.probe", "log_error")
    got = [shared.records.get(timeout=TIMEOUT) for _ in range(7)]
    assert got[:6] == [
        ("out", "lab.probe", "one"), ("out", "lab.probe", "two"), ("err", "lab.probe", "three"),
        ("out", "lab.probe", "no newline"), ("out", "lab.probe", "four"),
        ("log", "lab.probe", 30, "standard", "said five", None),
    ]
    assert got[6][2:5] == (40, "standard", "went wrong")
    assert "ZeroDivisionError" in got[6][5]
    channel.call("lab.probe", "talk_in_thread", "from a thread")
    assert shared.records.get(timeout=TIMEOUT) == ("out", "lab.probe", "from a thread")


def test_the_only_service_owns_all_output():
    with start(probe(), only_service="lab.probe") as worker:
        worker.channel().call("lab.probe", "talk_in_thread", "from a thread")
        worker.record(lambda r: r == ("out", "lab.probe", "from a thread"))


def test_hostile_drivers():
    with start(probe()) as worker:
        channel = worker.channel()
        channel.call("lab.probe", "write_binary")
        assert channel.call("lab.probe", "fork") == "parent"
        wait_for(lambda: "printed by the child\n" in worker.printed)
        channel.call("lab.probe", "close_low")
        assert channel.call("lab.probe", "bump") == 1
        assert worker.channel().call("lab.probe", "bump") == 1
        worker.send(("ping", 3))
        assert worker.message() == ("pong", 3)
        child = channel.call("lab.probe", "spawn")
        with pytest.raises(EOFError):
            channel.call("lab.probe", "die", 5)
        assert worker.process.wait() == 5
        os.kill(child, 0)
        os.killpg(worker.process.pid, 9)


def test_orphans_end():
    with start(probe()) as worker:
        channel = worker.channel()
        channel.requests.sendall(b"")
        worker.control.shutdown(2)
        assert worker.process.wait(timeout=TIMEOUT) == 0


STUCK = """
import ctypes, ferrolab
@ferrolab.expose
class Stuck:
    def block(self):
        print("begun")
        ctypes.CDLL(None).sleep(3600)
    def run(self):
        import time
        print("begun")
        while True:
            try: time.sleep(3600)
            except BaseException: pass
"""


@pytest.mark.parametrize("method", ["block", "run"])
@pytest.mark.parametrize("multiplex", [False, True])
def test_stuck_orphans_end_too(tmp_path, method, multiplex):
    (tmp_path / "stuck.py").write_text(STUCK)
    with Worker([service("stuck", "stuck", "Stuck")], path=[tmp_path],
                multiplex=multiplex) as worker:
        channel = worker.channel()
        threading.Thread(target=lambda: pytest.raises(Exception, channel.call, "stuck", method),
                         daemon=True).start()
        worker.record(lambda r: r == ("out", "stuck", "begun"))
        worker.control.shutdown(2)
        # It ends itself: there is no daemon here whose guard would.
        assert worker.process.wait(timeout=TIMEOUT) == 0


def once_of_five(attempt):
    """Whether an attempt succeeds; a worker's deadlines pass too early where the machine stands
    still, and the next attempt has another worker."""
    return any(attempt() for _ in range(5))


@pytest.mark.parametrize("how", ["stop", "sigterm"])
def test_a_stop_waits_for_running_calls(how):
    def answered():
        with start(probe()) as worker:
            channel = worker.channel()
            channel.send(CALL, "lab.probe", "sleep", [0.1], {}, 1, 0, 1, b"\0" * 16, [], False)
            worker.record(lambda r: r == ("out", "lab.probe", "sleeping"))
            if how == "stop":
                worker.send(("stop", 5.0))
            else:
                os.kill(worker.process.pid, signal.SIGTERM)
            try:
                answer = channel.answer()
            except (EOFError, OSError):
                answer = None
            assert worker.process.wait(timeout=TIMEOUT) == 0
            assert answer in (None, (VALUE, "slept"))
            return answer is not None

    assert once_of_five(answered)


@pytest.mark.parametrize("multiplex", [False, True])
@pytest.mark.parametrize("how", ["terminate", "raise"])
def test_a_forked_child_releases_nothing(tmp_path, multiplex, how):
    released = tmp_path / "released"
    held = service("held", "standard", "Held", expose="all", arguments=[str(released)],
                   on_disconnect=["close"])
    with start(held, multiplex=multiplex) as worker:
        channel = worker.channel()
        status = channel.call("held", "run_and_terminate", how)
        assert status == (signal.SIGTERM if how == "terminate" else 0)
        assert not released.exists()
        channel.close()
        wait_for(lambda: released.exists() and released.read_text() == "worker\n")


@pytest.mark.parametrize("multiplex", [False, True])
def test_every_request_is_answered(multiplex):
    with start(service("ending", "standard", "Ending", expose="all"),
               service("hopeless", "standard", "Hopeless", expose="all"),
               multiplex=multiplex) as worker:
        channel = worker.channel()
        _, number = channel.operation(CALL, "ending", "exits")
        assert channel.next(number) == (VALUE, 1)
        kind, state = channel.next(number)
        assert (kind, state["__class__"]) == (RAISED, "Pyro5.errors.DaemonError")
        assert state["args"] == ("an item stream of service 'ending' raised SystemExit: 4",)
        for name, member in [("ending", "unspeakable"), ("ending", "exits_while_sent"),
                             ("hopeless", "fails")]:
            text = raises(ANY, channel, member, service=name)
            assert "Unspeakable" in text, text
        assert channel.call("ending", "fine") == "fine"


@pytest.mark.parametrize("multiplex", [False, True])
@pytest.mark.parametrize("request_bytes", [
    b"\xff\xff\xff\xffmore than there is memory for", b"\0\0\0\1\xff", b"\0\0\0\0"
], ids=["4 GiB announced", "no value", "nothing"])
def test_a_request_that_cannot_be_read_ends_its_channel_only(request_bytes, multiplex):
    with start(probe(), multiplex=multiplex) as worker:
        channel, other = worker.channel(), worker.channel()
        channel.requests.sendall(request_bytes)
        channel.requests.shutdown(1)
        with pytest.raises(EOFError):
            channel.answer()
        assert other.call("lab.probe", "bump") == 1


def careless(**settings):
    return start(service("careless", "standard", "Careless", expose="all"),
                 service("neighbour", "standard", "Careless", expose="all"),
                 service("talkative", "standard", "Talkative"), **settings)


def answer(worker, what, succeeded=True, value=None):
    kind, number, asked, arguments = worker.message()
    assert (kind, asked) == ("ask", what)
    worker.send(("answer", number, succeeded, value))
    return arguments


def test_lost_objects_are_unregistered_by_nobody_who_waits():
    with careless() as worker, concurrent.futures.ThreadPoolExecutor(1) as pool:
        channel = worker.channel()
        lost = pool.submit(channel.call, "careless", "lose")
        answer(worker, "register")
        answer(worker, "location", value=["localhost:77", None, None])
        assert lost.result(TIMEOUT) == "lost"
        assert answer(worker, "unregister") == ["thing"]


def test_an_id_that_the_daemon_refuses_stays_whose_it_is():
    with careless() as worker, concurrent.futures.ThreadPoolExecutor(1) as pool:
        channel = worker.channel()
        taken = pool.submit(channel.call, "careless", "take_over", "neighbour")
        answer(worker, "register", False, "there is a service of that name")
        with pytest.raises(Raised, match="there is a service of that name"):
            taken.result(TIMEOUT)
        assert channel.call("neighbour", "fine") == "fine"


def test_long_texts_are_cut():
    with careless() as worker:
        channel = worker.channel()
        channel.call("careless", "log_much")
        record = worker.record(lambda r: r[0] == "log")
        assert record[4].startswith("xxx") and len(record[4]) < 100000
        assert record[5].endswith("yyy\n") and len(record[5]) < 100000
        worker.record(lambda r: r[0] == "log" and r[4] == "and on")
        assert "zzz" in raises("builtins.ValueError", channel, "ok", service="talkative")
        kind, name, _, text, lines = worker.message()
        assert (kind, name) == ("broken", "talkative")
        assert len(text) < 100000 and sum(map(len, lines)) < 1000000


def test_what_drivers_ask_of_their_process():
    with careless() as worker:
        channel = worker.channel()
        assert channel.call("careless", "reconfigure") is True
        assert channel.call("careless", "wait_for_all") == 1


def test_an_answer_that_is_too_long_is_an_error_of_its_call():
    with careless(max_answer_bytes=100000) as worker:
        channel = worker.channel()
        text = raises(ANY, channel, "give_much", 100000, service="careless")
        assert "'give_much' of service 'careless'" in text and "100000 are allowed" in text
        assert len(channel.call("careless", "give_much", 90000)) == 90000


def scarce(**settings):
    return start(service("scarce", "scarce", "Scarce", expose="all"), **settings)


def refused(worker):
    """A new channel ends; the reason that the daemon is given."""
    with pytest.raises((EOFError, OSError)):
        worker.channel().call("scarce", "fine")
    kind, reason = worker.message()
    assert kind == "refuses"
    return reason


def test_a_worker_without_threads_refuses_new_clients_and_goes_on():
    with scarce() as worker:
        channel = worker.channel()
        channel.call("scarce", "threads", False)
        reason = "no further thread can be started in the driver's process"
        for _ in range(3):
            assert refused(worker) == reason
        record = worker.record(lambda r: r[0] == "log")
        assert record[4] == "no new clients are served: " + reason
        assert channel.call("scarce", "fine") == "fine"
        worker.send(("ping", 1))
        assert worker.message() == ("pong", 1)
        channel.call("scarce", "threads", True)
        assert worker.channel().call("scarce", "fine") == "fine"
        assert worker.message() == ("refuses", None)
        # The next record is this one: no refusal is told twice.
        assert worker.record(lambda r: r[0] == "log")[4] == "new clients are served again"


@pytest.mark.parametrize("multiplex", [False, True])
@pytest.mark.parametrize("how", ["stop", "sigterm", "orphan"])
def test_a_worker_without_threads_ends(how, multiplex):
    def ended():
        with scarce(multiplex=multiplex) as worker:
            worker.channel().call("scarce", "threads", False)
            if how == "stop":
                worker.send(("stop", 0.2))
            elif how == "sigterm":
                os.kill(worker.process.pid, signal.SIGTERM)
            else:
                worker.control.shutdown(2)
            code = worker.process.wait(timeout=TIMEOUT)
            # Without a thread for its deadline the kernel kills a worker that is late.
            assert code in (0, -signal.SIGALRM)
            return code == 0

    assert once_of_five(ended)


@pytest.mark.parametrize("multiplex", [False, True])
@pytest.mark.parametrize("left", [0, 1, 2, 3, 4])
def test_a_worker_without_file_descriptors_refuses_new_clients_and_goes_on(left, multiplex):
    with scarce(multiplex=multiplex) as worker:
        channel = worker.channel()
        channel.call("scarce", "descriptors", left)
        # Each takes two.
        taken = [worker.channel() for _ in range(left // 2)]
        assert [one.call("scarce", "fine") for one in taken] == ["fine"] * len(taken)
        for _ in range(3):
            assert refused(worker) == "no file descriptors left in the driver's process"
        assert channel.call("scarce", "fine") == "fine"
        channel.call("scarce", "descriptors", 100)
        assert worker.channel().call("scarce", "fine") == "fine"
        assert worker.message() == ("refuses", None)


@pytest.mark.parametrize("multiplex", [False, True])
def test_what_waits_for_the_main_thread_holds_up_no_answers(tmp_path, multiplex):
    """Streams that end while a call is carried out that will ask the daemon for something."""
    with careless(multiplex=multiplex) as worker, concurrent.futures.ThreadPoolExecutor(1) as pool:
        channel = worker.channel()
        call = pool.submit(channel.call, "careless", "register_later", str(tmp_path / "now"))
        worker.record(lambda r: r == ("out", "careless", "waiting"))
        for number in range(2000):
            worker.send(("close_stream", number))
        worker.send(("ping", 1))
        assert worker.message() == ("pong", 1)
        (tmp_path / "now").touch()
        answer(worker, "register")
        answer(worker, "location", value=["localhost:77", None, None])
        assert call.result(TIMEOUT) == "PYRO:late@localhost:77"
        assert worker.channel().call("careless", "fine") == "fine"


@pytest.mark.parametrize("multiplex", [False, True])
@pytest.mark.parametrize("mode", ["single", "session"])
@pytest.mark.parametrize("hangs", ["constructor", "close"])
def test_what_hangs_keeps_nothing_else_from_being_released(tmp_path, multiplex, mode, hangs):
    released = tmp_path / "released"
    names = ["a", "hanging", "b", "c"]
    specs = [service(name, "standard", "Shutter", expose=["fine"], instancemode=mode,
                     on_disconnect=["close"],
                     arguments=[str(released), name, hangs if name == "hanging" else ""])
             for name in names]

    def all_released():
        released.write_text("")
        with start(*specs, multiplex=multiplex) as worker:
            channel = worker.channel()
            for name in names:
                if name != "hanging" or hangs == "close":
                    assert channel.call(name, "fine") == "fine"
            if hangs == "constructor":
                beside = worker.channel(channel.session)
                beside.send(CALL, "hanging", "fine", [], {}, 1, 0, 1, b"\0" * 16, [], False)
                worker.record(lambda r: r == ("out", "hanging", "hanging"))
            worker.send(("stop", 0.2))
            assert worker.process.wait(timeout=TIMEOUT) == 0
        found = sorted(released.read_text().split())
        # None is released twice.
        assert len(set(found)) == len(found)
        return found == ["a", "b", "c", "exit"]

    assert once_of_five(all_released)


def test_registering_at_the_same_time():
    with careless() as worker, concurrent.futures.ThreadPoolExecutor(8) as pool:
        def serve():
            while True:
                try:
                    kind, number, what, _ = worker.message()
                except queue.Empty:
                    return
                value = ["localhost:77", None, None] if what == "location" else None
                worker.send(("answer", number, True, value))

        threading.Thread(target=serve, daemon=True).start()
        channels = [worker.channel() for _ in range(8)]
        calls = [pool.submit(channel.call, "careless", "register_many", 300)
                 for channel in channels]
        assert max(call.result(TIMEOUT) for call in calls) == 8 * 300 + 4
