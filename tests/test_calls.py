"""Calls that run or wait: `ferrolab calls`, and what `status` and `ps` say of them."""

import contextlib
import getpass
import json
import subprocess
import threading

import Pyro5.errors
import pytest
from harness import NEVER, wait_for
from harness.lab import binary
from harness.locks import later, own
from harness.relay import Relay

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon, slow_call: 1}
  turns: {servertype: multiplex}
  socket: {servertype: multiplex, unixsocket: "$socket"}
  everywhere: {servertype: multiplex, host: "::"}
  queue: {servertype: multiplex, classname: LockableDaemon}
services:
  lab.stage: {module: wire, classname: Wire, daemon: bench, instancemode: single}
  lab.turns: {module: wire, classname: Wire, daemon: turns, instancemode: single}
  lab.circle: {module: circle, classname: Circle, daemon: turns, instancemode: single}
  lab.socket: {module: circle, classname: Circle, daemon: socket, instancemode: single}
  lab.everywhere: {module: circle, classname: Circle, daemon: everywhere, instancemode: single}
  lab.bounded: {$bounded, daemon: bench, members: {hold: {call_timeout: 1}}}
  lab.restarted: {$bounded, daemon: bench, call_timeout: 1, on_timeout: restart, isolate: true}
  lab.members: {$bounded, daemon: bench, call_timeout: 1, members: {$members}}
  lab.stuck: {$bounded, daemon: queue, members: {hold: {call_timeout: 1}}}
  lab.owned: {$bounded, daemon: queue}
autolaunch: {daemons: [bench, turns, socket, everywhere, queue]}
"""
MEMBERS = (
    "hold: {call_timeout: 0}, held: {call_timeout: 10}, note_later: {call_timeout: 0.5}, "
    # A busy machine may take longer for these than the limit of the service.
    "let_end: {call_timeout: 0}, go_on: {call_timeout: 0}, notes: {call_timeout: 0}"
)


@pytest.fixture
def running(lab, tmp_path):
    socket = lab.folder / "s.sock"
    wire = "module: wire, classname: Wire, instancemode: single"
    lab.config(CONFIGURATION, socket=socket, bounded=wire, members=MEMBERS)
    lab.up()
    gate = tmp_path / "gate"
    lab.gate = str(gate)
    yield lab
    gate.touch()


@contextlib.contextmanager
def calling(lab, service, *steps):
    """A client that makes these calls, one after the other, on a thread."""

    def call():
        with lab.proxy(service) as proxy:
            for member, *arguments in steps:
                getattr(proxy, member)(*arguments)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        open(lab.gate, "w").close()
        thread.join(NEVER)


def listed(lab, *arguments):
    return json.loads(lab.run("calls", "--json", *arguments).stdout)


def seen(lab, *arguments):
    calls = listed(lab, *arguments)
    return sorted((c["service"], c["member"], c["kind"], c["user"] or "", c["waits_for"] or "") for c in calls)


def overdue(lab):
    return [(call["kind"], call["member"]) for call in listed(lab) if call["is_overdue"]]


def findings(lab):
    found = json.loads(lab.run("status", "--json", check=False).stdout)["findings"]
    return {finding["subject"]: finding["problem"] for finding in found}


def test_calls_that_run_and_wait_are_listed_until_they_end(running):
    assert listed(running) == []
    hold = ("hold", "it", running.gate)
    with calling(running, "lab.stage", ("lock", "ada"), hold, ("unlock",)):
        own = [("lab.stage", "hold", "call", "ada", "")]
        wait_for(lambda: seen(running) == own, NEVER, "the call that runs")
        with calling(running, "lab.stage", ("lock", "bob", 600), ("unlock",)):
            both = [*own, ("lab.stage", "lock", "call", "", "the lock of ada")]
            wait_for(lambda: seen(running, "--service", "lab.stage") == both, NEVER, "the call that waits")
            assert listed(running, "--service", "lab.turns") == []
            rows = running.ps()["services"]
            assert {row["name"]: row["calls"] for row in rows if row["calls"]} == {"lab.stage": 2}
            slow = wait_for(lambda: findings(running).get("service lab.stage"), NEVER, "a finding")
            assert slow.startswith("hold of lab.stage by ada at 127.0.0.1:"), slow
            assert "; after it waits: lock of lab.stage by 127.0.0.1:" in slow
            assert "hold" in running.run("calls").stdout and "CALLS" in running.run("ps").stdout
    wait_for(lambda: listed(running) == [], NEVER, "their end")
    assert findings(running) == {}


def test_calls_of_a_multiplex_daemon_wait_for_their_turn(running):
    with running.proxy("lab.turns") as turns:
        turns.note_later("oneway")
        with calling(running, "lab.turns", ("hold", "it", running.gate)):
            own = ("lab.turns", "hold", "call", "", "")
            wait_for(lambda: own in seen(running), NEVER, "the call that runs")
            with calling(running, "lab.turns", ("echo",)):
                expected = [
                    ("lab.turns", "echo", "call", "", "its turn"),
                    own,
                    ("lab.turns", "note_later", "oneway", "", ""),
                ]
                wait_for(lambda: seen(running) == expected, NEVER, "the calls")
        turns.go_on()
    wait_for(lambda: listed(running) == [], NEVER, "their end")


def test_changes_are_followed(running):
    command = [binary(), "calls", "--follow", "--json"]
    with subprocess.Popen(command, env=running.environment(), stdout=subprocess.PIPE, text=True) as following:
        try:
            with calling(running, "lab.turns", ("hold", "it", running.gate)):
                lines = [json.loads(following.stdout.readline())]
            lines.append(json.loads(following.stdout.readline()))
        finally:
            following.kill()
    assert [(line["event"], line["member"]) for line in lines] == [("begun", "hold"), ("ended", "hold")]


# Ways of a driver to its own daemon: the daemon, the method, its further arguments, the driver's
# address.
WAYS_BACK = {
    "a proxy": ("turns", "call_back", [], "127.0.0.1:"),
    "a proxy that waits for half a second": ("turns", "call_back", [0.5], "127.0.0.1:"),
    "a relay": ("turns", "call_back", [], "127.0.0.1:"),
    "a thread": ("turns", "call_back_from_a_thread", [], "127.0.0.1:"),
    "a process": ("turns", "call_back_from_a_process", [], "127.0.0.1:"),
    "a Unix socket": ("socket", "call_back", [], f"{getpass.getuser()} at a Unix socket"),
    "a thread and a Unix socket": ("socket", "call_back_from_a_thread", [], f"{getpass.getuser()} at a Unix socket"),
    # The daemon's socket is one of IPv6, and its clients' of IPv4.
    "all addresses": ("everywhere", "call_back_from_a_thread", [], ""),
}


@pytest.mark.parametrize("way", WAYS_BACK)
def test_a_daemon_that_waits_for_itself_is_named(running, way):
    daemon, method, arguments, address = WAYS_BACK[way]
    service = {"turns": "lab.circle"}.get(daemon, f"lab.{daemon}")
    uri = str(running.uri(service))
    if way == "a relay":
        uri = Relay(uri).uri
    with calling(running, service, (method, uri, running.gate, *arguments)):
        told = wait_for(lambda: findings(running).get(f"daemon {daemon}"), NEVER, "that it is named")
    assert told.startswith("it waits for a call to itself since "), told
    assert f"ping of {service} by {address}" in told and f"as {method} of {service}" in told
    wait_for(lambda: findings(running) == {}, NEVER, "that it is well again")


def test_a_call_that_waits_for_itself_is_logged_once(running):
    call_back = ("call_back", str(running.uri("lab.circle")), running.gate, 30)
    with calling(running, "lab.circle", call_back):
        # The reports go on: other facts in them change.
        wait_for(lambda: findings(running).get("daemon turns"), NEVER, "that it is named")
        with calling(running, "lab.turns", ("echo",)):
            wait_for(lambda: len(listed(running)) == 3, NEVER, "one more call that waits")
    lines = running.run("logs", "show", "--level", "warn").stdout.splitlines()
    assert sum("a driver calls a service of its own multiplex daemon" in line for line in lines) == 1


def test_an_unknown_service_is_refused_with_the_nearest(running):
    result = running.run("calls", "--service", "lab.stagr", check=False)
    assert result.returncode == 1 and "did you mean `lab.stage`?" in result.text


def test_a_call_that_takes_too_long_ends_for_its_caller_and_is_overdue(running):
    with running.proxy("lab.bounded") as bounded:
        with pytest.raises(TimeoutError, match="'hold' of service 'lab.bounded' .* 1 s") as raised:
            bounded.hold("it", running.gate)
        assert type(raised.value) is TimeoutError
        # The same connection and others are served on.
        assert bounded.echo(1) == [[1], {}]

        wait_for(lambda: overdue(running) == [("call", "hold")], NEVER, "the call that goes on")
        assert "overdue" in findings(running)["service lab.bounded"]
        open(running.gate, "w").close()
        wait_for(lambda: listed(running) == [], NEVER, "its end")
        assert bounded.notes()[-1] == ("end", "it")


def test_a_call_that_takes_too_long_restarts_its_process(running):
    with running.proxy("lab.restarted") as restarted:
        with pytest.raises(TimeoutError, match="restart of its process"):
            restarted.hold("it", running.gate)
        # A busy machine may take longer than the limit to start the worker.
        ignoring = Pyro5.errors.DaemonError, TimeoutError
        assert wait_for(lambda: restarted.notes() == [], NEVER, "a new instance", ignoring)
    assert "took longer than its `call_timeout` of 1 s" in running.run("logs", "show").stdout


def test_a_member_can_have_a_limit_of_its_own_or_none(running):
    with calling(running, "lab.members", ("hold", "it", running.gate)):
        aged = lambda: [call for call in listed(running) if call["is_slow"]]
        [call] = wait_for(aged, NEVER, "a call that is older than the limit of its service")
        assert call["member"] == "hold" and not call["is_overdue"]
    with running.proxy("lab.members") as client, pytest.raises(TimeoutError, match="within 1 s"):
        client.slow("it", 3)


def test_an_item_that_takes_too_long_ends_its_stream(running):
    with running.proxy("lab.members") as client, running.proxy("lab.members") as other:
        stream = client.held(1)
        assert next(stream) == 0
        with pytest.raises(TimeoutError, match="the next item of 'held' of .* its stream ends; .* 10 s"):
            next(stream)
        wait_for(lambda: overdue(running) == [("stream item", "held")], NEVER, "the item is shown")
        with pytest.raises(Pyro5.errors.PyroError, match="item stream terminated"):
            next(stream)
        other.let_end(1)
        wait_for(lambda: listed(running) == [], NEVER, "its end")
        assert other.notes()[-1] == "closed"


def test_a_oneway_call_that_takes_too_long_is_shown(running):
    with running.proxy("lab.members") as client:
        client.note_later("it")
        wait_for(lambda: overdue(running) == [("oneway", "note_later")], NEVER, "the call is shown")
        assert "overdue" in findings(running)["service lab.members"]
        client.go_on()
        wait_for(lambda: listed(running) == [], NEVER, "its end")


def test_nobody_waits_for_ever_for_the_turn_or_the_lock_behind_an_overdue_call(running):
    overdue_call = "'hold' of 'lab.stuck', a call of 127.0.0.1:.*, is overdue"
    with (
        running.proxy("lab.stuck") as stuck,
        running.proxy("lab.owned") as owned,
        running.proxy("lab.stuck") as given_up,
    ):
        assert owned.lock("ada") is True
        with pytest.raises(TimeoutError, match="'hold' of service 'lab.stuck' goes on"):
            stuck.hold("it", running.gate)
        # Calls without a limit wait for ten seconds.
        call = later(lambda: own(owned).note_oneway("kept") or owned.echo(1))
        # A oneway batch is carried out in place, and given up.
        batch = Pyro5.api.BatchProxy(given_up)
        batch.note("given up")
        waiting = later(lambda: own(given_up) and batch(oneway=True) or given_up.echo(1))
        with running.proxy("lab.stuck") as other:
            locking = later(lambda: own(other).lock("eve"))
            with pytest.raises(ConnectionRefusedError, match=f"is busy: {overdue_call}"):
                locking()
            own(other)
        with pytest.raises(TimeoutError, match=f"'echo' of service 'lab.owned' has not begun: {overdue_call}"):
            call()
        with pytest.raises(TimeoutError, match=f"'echo' of service 'lab.stuck' has not begun: {overdue_call}"):
            waiting()
        own(given_up)
        assert own(owned).lock_info()["user"] == "ada"
        open(running.gate, "w").close()
        wait_for(lambda: listed(running) == [], NEVER, "its end")
        assert owned.echo(1) == [[1], {}]
        wait_for(lambda: owned.notes() == ["kept"], NEVER, "the oneway call has waited")
        assert "given up" not in stuck.notes()

    def log():
        lines = json.loads(running.run("calls", "--history", "--service", "lab.stuck", "--json").stdout)
        lines = [(line["member"], line["outcome"], "overdue" in line) for line in lines]
        given_up = ("<batch>", "raised", False) in lines and ("echo", "raised", False) in lines
        others = [line for line in lines if line[0] in ("hold", "lock")]
        return others if given_up and len(others) >= 3 else None

    assert wait_for(log, NEVER, "the lines of the log") == [
        ("hold", "raised", False),
        ("hold", "returned", True),
        ("lock", "raised", False),
    ]
