"""A driver that calls other servers: it hands over proxies of itself and of what it registered."""

import threading

import Pyro5.api
import pytest
from harness import EXTENDED, SERVERTYPES, Service, both_sides, every_serializer, outcome, wait_for
from teller import Teller

MODES = ["single", "session", "percall"]
SERVICES = {f"t.{mode}": Service("teller", "Teller", mode) for mode in MODES}
PROXIES = ["serpent", "json", "msgpack"]
with_proxies = pytest.mark.parametrize("serializer", PROXIES)


@pytest.fixture(scope="module", params=SERVERTYPES)
def sides(request):
    with both_sides(SERVICES, SERVERTYPE=request.param) as made:
        yield made


@pytest.fixture(scope="module")
def takers():
    """Another Pyro5 daemon and another daemon of ours."""
    with both_sides({"t.taker": Service("teller", "Taker", "single")}) as made:
        yield {"Pyro5": made.stock.uris["t.taker"], "Ferrolab": made.ours.uris["t.taker"]}


with_takers = pytest.mark.parametrize("taker", ["Pyro5", "Ferrolab"])


@with_takers
@every_serializer
@pytest.mark.parametrize("what", ["itself", "kid", "class", "weak", "nested", "list", "proxy", "unregistered", "stranger"])
def test_what_is_registered_is_passed_as_a_proxy(sides, takers, taker, serializer, what):
    def script(side):
        # Pyro5 takes its daemon from an object that marshal refuses: so it is the session's.
        with side.proxy("t.session") as teller:
            return teller.tell(what, takers[taker], serializer)

    # Where Pyro5's daemon sends what no server can read, the words of the error are the taker's.
    sides.assert_same(script, lambda outcome: outcome if outcome[0] == "returned" else outcome[:2])


@with_proxies
@pytest.mark.parametrize("mode", MODES)
def test_each_instance_passes_its_own_service(sides, takers, serializer, mode):
    def script(side):
        with side.proxy(f"t.{mode}") as teller:
            return [
                teller.tell("itself", takers["Pyro5"], serializer),
                teller.tell_keyword(takers["Pyro5"], serializer),
                teller.tell_in_batch(takers["Pyro5"]),
            ]

    shown = sides.assert_same(script)
    assert f"proxy of t.{mode}" in str(shown)


@with_takers
@with_proxies
def test_the_other_server_can_call_it(sides, takers, taker, serializer):
    if sides.multiplex:
        pytest.skip("a multiplex daemon has one call at a time: it would wait for itself")

    def script(side):
        with side.proxy("t.single") as teller:
            called = [teller.tell(what, takers[taker], serializer, "call") for what in ("itself", "kid", "weak")]
            return [*called, teller.tell("itself", takers[taker], serializer, "call_back")]

    shown = sides.assert_same(script)
    assert "hello from the teller" in str(shown) and "called back" in str(shown)


@with_proxies
def test_what_a_stream_gives_is_a_proxy_too(sides, serializer):
    def script(side):
        with side.proxy("t.session", serializer=serializer) as teller:
            kid, (itself, again) = teller.stream()
            with kid, itself, again:
                return [kid.hello(), kid == again, itself._pyroUri.object, again.hello()]

    sides.assert_same(script)


@every_serializer
def test_of_a_converter_and_a_registered_object_the_later_one_wins_where_it_does_with_pyro5(sides, serializer):
    sides.assert_same(lambda side: side.proxy("t.single").twins(serializer))


@with_proxies
@pytest.mark.parametrize("object_id", [None, "", False, 0, 0.0, [], {}], ids=repr)
def test_an_id_that_is_none_is_made_up(sides, serializer, object_id):
    def script(side):
        with side.proxy("t.single", serializer=serializer) as teller:
            made_up, kid = teller.register_as(object_id)
            with kid:
                return made_up, kid.hello()

    sides.assert_same(script)


@pytest.mark.parametrize("object_id", [5, True, ["x"], 1.5], ids=repr)
def test_an_id_that_is_no_text_is_refused(sides, object_id):
    sides.assert_same(lambda side: side.proxy("t.single").register_as(object_id))


def test_the_objects_of_a_daemon_are_those_that_pyro5_lists(sides):
    sides.assert_same(lambda side: side.proxy("t.single").catalogue())


def test_an_object_of_a_registered_class_that_is_not_registered_is_no_proxy(sides, takers):
    """Pyro5 would pass a proxy of the registered one."""
    with sides.ours.proxy("t.single") as teller:
        teller.tell("kid", takers["Pyro5"], "serpent")
        assert teller.tell("not registered", takers["Pyro5"], "serpent") == ["'another'", "None"]


def test_the_driver_is_not_changed_for_it():
    """Importing the class in a program that hosts nothing registers nothing."""
    assert "_pyroDaemon" not in vars(Teller)


LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {servertype: $servertype}}
services:
  lab.safe:
    module: teller
    classname: Safe
    daemon: bench
    instancemode: single
    on_disconnect: ["off"]
autolaunch: {daemons: [bench]}
"""


def printed(lab):
    return lab.run("logs", "show", "-n", "0").stdout


LATE = "the Python worker does not stop; killing it"


def printed_in_time(lab, use):
    """The output of a lab that is up and used so. A busy machine may kill its worker for being
    late: then it is done again."""
    for _ in range(1 if EXTENDED else 10):
        before = printed(lab)
        lab.up()
        use()
        text = printed(lab).removeprefix(before)
        if LATE not in text:
            break
    return text


@pytest.mark.parametrize("leaves", [False, True])
def test_the_drivers_own_handler_of_sigterm_is_called_at_the_end(lab, leaves):
    lab.config(LAB, servertype="multiplex")

    def use():
        with lab.proxy("lab.safe") as safe:
            safe.install(leaves)
            lab.down()

    text = printed_in_time(lab, use)
    assert "the handler ran in MainThread for SIGTERM" in text
    # The handler comes before the instrument's own end.
    assert "off after 1 signals" in text


def test_the_handler_can_end_a_call_that_runs(lab):
    lab.config(LAB, servertype="multiplex")

    def use():
        before = printed(lab).count("waiting")
        with lab.proxy("lab.safe") as safe:
            safe.install()
            caller = threading.Thread(target=lambda: outcome(lab.proxy("lab.safe").wait))
            caller.start()
            wait_for(lambda: printed(lab).count("waiting") > before, 30, "the call runs")
            lab.down()
            caller.join()

    assert "the call ended: True" in printed_in_time(lab, use)
