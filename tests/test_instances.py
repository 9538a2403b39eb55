"""Instance modes: which instance answers, when it is made and when it goes."""

import threading

import pytest
from harness import NEVER, Service, wait_for

SERVICES = {
    "t.single": Service("counter", "Counter", "single"),
    "t.other": Service("counter", "Counter", "single"),
    "t.session": Service("counter", "Counter", "session"),
    "t.percall": Service("counter", "Counter", "percall"),
    "t.broken.single": Service("counter", "CannotBeMade", "single"),
    "t.broken.session": Service("counter", "CannotBeMade", "session"),
    "t.broken.percall": Service("counter", "CannotBeMade", "percall"),
    "t.slow": Service("counter", "SlowToMake", "single"),
    "t.closing": Service("counter", "Closing", "session", {"where": "port 7"}),
    "t.threads": Service("counter", "Threads", "single"),
}
MODES = ["single", "session", "percall"]


def renamed(identities):
    """The identities as numbers in order of appearance: only which are the same matters."""
    order = {}
    return [order.setdefault(identity, len(order)) for identity in identities]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("single", [0, 0, 0, 0, 0]),
        ("session", [0, 0, 1, 0, 2]),
        ("percall", [0, 1, 2, 3, 4]),
    ],
)
def test_which_instance_answers(sides, mode, expected):
    def script(side):
        with side.proxy(f"t.{mode}") as one, side.proxy(f"t.{mode}") as two:
            seen = [one.who(), one.who(), two.who(), one.who()]
            two._pyroRelease()
            return renamed([*seen, two.who()])

    sides.assert_same(script)
    assert script(sides.ours) == expected


@pytest.mark.parametrize("mode", MODES)
def test_what_an_instance_remembers(sides, mode):
    def script(side):
        with side.proxy(f"t.{mode}") as one, side.proxy(f"t.{mode}") as two:
            one.count = 10
            return [one.bump(), one.bump(), two.bump(), one.count, two.count]

    sides.assert_same(script)


def test_two_services_of_one_class_share_nothing(sides):
    def script(side):
        with side.proxy("t.single") as one, side.proxy("t.other") as two:
            return renamed([one.who(), two.who(), one.who()])

    assert script(sides.ours) == script(sides.stock) == [0, 1, 0]


def test_clients_that_come_at_once_get_one_single_instance(sides):
    numbers = []

    def client():
        with sides.ours.proxy("t.slow") as slow:
            numbers.append(slow.number())

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers == [1] * 8


@pytest.mark.parametrize("mode", MODES)
def test_a_constructor_that_fails_is_the_callers_exception(sides, mode):
    def script(side):
        with side.proxy(f"t.broken.{mode}") as broken:
            return broken.never()

    sides.assert_same(script, lambda outcome: outcome[:3])


def test_a_session_instance_is_closed_when_its_client_goes(sides):
    """PyroLab's daemons do so for its instruments; stock Pyro5 forgets them."""
    with sides.ours.proxy("t.closing") as watcher:
        with sides.ours.proxy("t.closing") as leaving:
            identity = leaving.who()
            assert identity not in watcher.closings()
        wait_for(lambda: identity in watcher.closings(), 5, "the instance was closed")
        assert watcher.who() not in watcher.closings()


def test_parameters_reach_autoconnect(sides):
    with sides.ours.proxy("t.closing") as closing:
        assert closing.autoconnect() == "connected to port 7"


def test_connections_are_served_at_the_same_time(sides):
    """`servertype: thread`: one client's long call keeps nobody waiting."""

    def script(side):
        most = []

        def client():
            with side.proxy("t.threads") as threads:
                most.append(threads.overlap(4, NEVER))

        clients = [threading.Thread(target=client) for _ in range(4)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        return most

    assert script(sides.ours) == [4] * 4


LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {servertype: $servertype}
services:
  t.default: {module: counter, classname: SingleByDecorator, daemon: bench}
  t.calls: {module: counter, classname: Threads, daemon: bench, instancemode: single}
autolaunch: {daemons: [bench]}
"""


def test_without_a_mode_the_configuration_means_session(lab):
    """As in PyroLab, whose default wins over the class's own decorator."""
    lab.config(LAB, servertype="thread")
    lab.up()
    with lab.proxy("t.default") as one, lab.proxy("t.default") as two:
        assert renamed([one.who(), two.who(), one.who()]) == [0, 1, 0]


def test_multiplex_runs_one_call_at_a_time(lab):
    lab.config(LAB, servertype="multiplex")
    lab.up()
    most = []

    def client():
        with lab.proxy("t.calls") as calls:
            most.append(calls.overlap(2, 0.3))

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 3
