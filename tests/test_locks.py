"""Locks: PyroLab's behaviour with PyroLab's client, and what a lab needs beyond it."""

import contextlib
import json
import os
import subprocess
import threading
import time

import Pyro5.api
import Pyro5.errors
import pytest
from harness import new_lab, wait_for
from harness.holder import CLIENT, Holder
from harness.lab import interpreter
from harness.pyrolab_daemon import pyrolab_daemon

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon, threadpool_size: 200}
  turns: {classname: LockableDaemon, servertype: multiplex}
services:
  lab.stage:
    module: stage
    classname: Stage
    daemon: bench
    instancemode: single
    arguments: {record: "$record"}
    read_while_locked: [position, temperature, moves]
  lab.session: {module: stage, classname: Stage, daemon: bench, instancemode: session, arguments: {record: "$record.session"}}
  lab.percall: {module: stage, classname: Stage, daemon: bench, instancemode: percall, arguments: {record: "$record.percall"}}
  lab.crowd: {module: stage, classname: Stage, daemon: bench, instancemode: single}
  lab.supply: {native: simulated.power_supply, daemon: bench, on_disconnect: [off, no_such_method]}
  lab.turns: {module: stage, classname: Stage, daemon: turns, instancemode: single, arguments: {record: "$record.turns"}}
  lab.turns.other: {module: stage, classname: Stage, daemon: turns, instancemode: single}
autolaunch: {daemons: [bench, turns]}
"""
EVERY_MODE = ["lab.stage", "lab.session", "lab.percall", "lab.turns"]
REFUSED = "Pyro object is locked (by 'ada')"
EXTENDED = os.environ.get("FERROLAB_TEST_EXTENDED")


@pytest.fixture(scope="module")
def running():
    with new_lab() as lab:
        lab.record = lab.files / "record"
        lab.config(CONFIGURATION, record=str(lab.record))
        lab.up()
        yield lab


@contextlib.contextmanager
def clients(lab, service, number=2):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(lab.proxy(service)) for _ in range(number)]


def refused(function, text=REFUSED):
    with pytest.raises(ConnectionRefusedError) as caught:
        function()
    assert caught.value.args == (text,)


def later(function):
    """Runs a call in a thread; `result()` is what it returned or raised."""
    outcome = []

    def run():
        try:
            outcome.append((True, function()))
        except Exception as error:
            outcome.append((False, error))

    thread = threading.Thread(target=run)
    thread.start()

    def result(timeout=30):
        thread.join(timeout)
        assert not thread.is_alive(), "the call has not ended"
        done, value = outcome[0]
        if not done:
            raise value
        return value

    result.is_running = thread.is_alive
    return result


def waiting(proxy):
    return [waiter["user"] for waiter in proxy.lock_info()["waiting"]]


def wait_until_waiting(proxy, names):
    wait_for(lambda: waiting(proxy) == names, 10, f"{names} wait for the lock")


def own(proxy):
    """Makes a proxy the calling thread's."""
    proxy._pyroClaimOwnership()
    return proxy


# What PyroLab does


def documented(uri):
    """What PyroLab's client is told, step by step."""
    client = subprocess.run(
        [interpreter(), str(CLIENT), str(uri), "pyrolab"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", timeout=120,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYRO")},
    )
    assert client.returncode == 0, client.stderr
    return dict(json.loads(line) for line in client.stdout.splitlines())


@pytest.mark.parametrize("service", EVERY_MODE)
def test_pyrolabs_client_sees_what_pyrolabs_daemon_shows(running, service):
    with pyrolab_daemon("stage", "Stage") as (uri, _):
        theirs = documented(uri)
    ours = documented(running.uri(service))
    if service == "lab.stage":
        # Reads that the configuration allows are beyond PyroLab.
        assert ours.pop("other's read")[0] == "returned"
        theirs.pop("other's read")
    # The position is another where instances are.
    for results in [ours, theirs] if service in ("lab.session", "lab.percall") else []:
        for what in [what for what, result in results.items() if result[0] == "returned"]:
            results[what] = "returned"
    assert ours == theirs


def test_a_lock_without_a_name_shows_an_address(running):
    with clients(running, "lab.stage") as (ada, eve):
        assert ada.lock() is True
        with pytest.raises(ConnectionRefusedError, match=r"locked \(by '127\.0\.0\.1:\d+'\)"):
            eve.move()


def test_daemon_release_is_pyrolabs(running):
    """Its own object under its name has it, as PyroLab's has, and `Pyro.Daemon` too."""
    uri = running.uri("lab.stage")
    for face in ["bench", "Pyro.Daemon"]:
        location = Pyro5.api.URI(uri).location
        with Pyro5.api.Proxy(f"PYRO:{face}@{location}") as daemon, running.proxy("lab.stage") as ada:
            ada.lock("ada")
            assert daemon.release(uri) is True
            assert daemon.release(uri) is False
            with pytest.raises(KeyError, match="nope"):
                daemon.release("PYRO:nope@localhost:1")
            with pytest.raises(Pyro5.errors.PyroError, match="invalid uri"):
                daemon.release("nope")
    with running.proxy("lab.stage") as stage:
        with pytest.raises(AttributeError):
            stage._pyroInvoke("release", (uri,), {})


# Checked when a call executes


@pytest.mark.parametrize("serializer", ["serpent", "json", "msgpack", "marshal"])
@pytest.mark.parametrize("service", EVERY_MODE)
def test_whatever_others_try_is_refused(running, service, serializer):
    with clients(running, service) as (ada, eve):
        eve._pyroSerializer = serializer
        stream = iter(eve.count(9))
        assert next(stream) == 0
        ada.lock("ada")
        refused(lambda: next(stream))
        refused(lambda: eve.move(1))
        # As a proxy does it; the stock one cannot with marshal.
        refused(lambda: eve._pyroInvoke("__setattr__", ("position", 3), {}))
        refused(lambda: eve.count(3))
        batches = serializer != "marshal"  # the stock proxy cannot send any with that one
        for entries in (["move"], ["move", "move"]) if batches else ():
            batch = Pyro5.api.BatchProxy(eve)
            for entry in entries:
                getattr(batch, entry)()
            refused(lambda: list(batch()))
        before = ada.position
        batch = Pyro5.api.BatchProxy(eve)
        batch.move(50)
        if batches:
            batch(oneway=True)
        eve.kick()
        # A call of its own behind them: both have been decided on by then.
        assert eve.islocked() is True
        assert ada.move(0) == before
        ada.unlock()
        if service != "lab.percall":
            assert next(stream) == 1, "the stream goes on when the lock is gone"


def test_no_instance_is_made_for_a_refused_call(running):
    for service, suffix in [("lab.session", ".session"), ("lab.percall", ".percall")]:
        record = running.record.with_name("record" + suffix)
        with clients(running, service) as (ada, eve):
            ada.lock("ada")
            before = record.read_text().count("made") if record.exists() else 0
            for _ in range(5):
                refused(lambda: eve.move(1))
                assert eve.islocked() is True
            assert (record.read_text().count("made") if record.exists() else 0) == before


def test_a_batch_may_take_the_lock_itself(running):
    with clients(running, "lab.turns") as (ada, eve):
        batch = Pyro5.api.BatchProxy(ada)
        batch.lock("ada")
        batch.move(2)
        batch.unlock()
        batch.islocked()
        granted, position, unlocked, islocked = list(batch())
        assert (granted, unlocked, islocked) == (True, True, False)
        # In the middle of a batch that waits for the lock, the daemon's turn is free for others.
        eve.lock("eve")
        ada._pyroRelease()
        result = later(lambda: waits_in_a_batch(running.uri("lab.turns")))
        wait_until_waiting(eve, ["batch"])
        assert eve.move(0) == position
        eve.unlock()
        assert result() == [True, position]


def waits_in_a_batch(uri):
    with Pyro5.api.Proxy(uri) as proxy:
        batch = Pyro5.api.BatchProxy(proxy)
        batch.lock("batch", wait=30)
        batch.move(0)
        return list(batch())


def test_reads_that_the_configuration_allows(running):
    with clients(running, "lab.stage") as (ada, eve):
        ada.lock("ada")
        assert eve.temperature() == 21.5
        assert isinstance(eve.position, int)
        refused(lambda: setattr(eve, "position", 3))
        refused(lambda: eve.number())
        batch = Pyro5.api.BatchProxy(eve)
        batch.temperature()
        batch.move(1)
        results = batch()
        assert next(results) == 21.5
        refused(lambda: next(results))


def test_lock_info_tells_everyone(running):
    with clients(running, "lab.stage", 3) as (ada, eve, bob):
        assert eve.lock_info()["locked"] is False
        before = time.time()
        ada.lock("ada")
        info = eve.lock_info()
        assert info["user"] == "ada" and info["locked"] and info["epoch"] > 0
        assert info["address"] == "%s:%d" % ada._pyroConnection.sock.getsockname()[:2]
        assert before - 1 < info["since"] < time.time() + 1
        assert 0 <= info["idle"] < 30 and info["waiting"] == []
        epoch = info["epoch"]
        ada.unlock()
        bob.lock("bob")
        assert eve.lock_info()["epoch"] > epoch


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"wait": -1}, ValueError),
        ({"wait": "long"}, ValueError),
        ({"wait": float("nan")}, ValueError),
        ({"ttl": 5}, ValueError),
        ({"token": ""}, ValueError),
        ({"token": 5}, ValueError),
        ({"user": "x" * 300}, ValueError),
        ({"nobody": 1}, TypeError),
    ],
)
def test_arguments_that_make_no_sense(running, arguments, error):
    with clients(running, "lab.stage", 1) as (ada,):
        with pytest.raises(error):
            ada.lock(**arguments)
        assert ada.islocked() is False


# Waiting


@pytest.mark.parametrize("service", ["lab.stage", "lab.turns"])
def test_waiters_are_served_in_order_and_leave_when_they_go(running, service):
    uri = running.uri(service)
    with running.proxy(service) as ada, contextlib.ExitStack() as stack:
        ada.lock("ada")
        names = [f"w{number}" for number in range(6)]
        holders = {}
        for number, name in enumerate(names):
            holders[name] = stack.enter_context(Holder(uri, name, wait=60))
            wait_until_waiting(ada, names[: number + 1])
        # While they wait, the daemon goes on serving, in a multiplex one too.
        assert isinstance(ada.move(1), int)
        holders["w2"].kill()
        wait_until_waiting(ada, [name for name in names if name != "w2"])
        ada.unlock()
        epochs = []
        for name in ["w0", "w1", "w3", "w4", "w5"]:
            assert holders[name].answer() == ["returned", True]
            info = ada.lock_info()
            assert info["user"] == name
            epochs.append(info["epoch"])
            holders[name].tell("unlock")
        assert epochs == sorted(set(epochs))


def test_waiting_in_vain(running):
    with clients(running, "lab.stage") as (ada, eve):
        ada.lock("ada")
        begin = time.monotonic()
        assert eve.lock("eve", wait=0.3) is False
        assert 0.25 < time.monotonic() - begin < 5
        assert eve.lock("eve", wait=0) is False
        assert waiting(eve) == []


CROWD = 100_000 if EXTENDED else int(os.environ.get("FERROLAB_TEST_ACQUISITIONS", "3200"))


@pytest.mark.timeout(3600 if EXTENDED else 180)
def test_a_crowd_never_drives_at_once(running):
    """64 stock clients; with `--extended` they take the lock 100,000 times."""
    processes, threads = 4, 16
    each = -(-CROWD // (processes * threads))
    crowd = [
        subprocess.Popen(
            [interpreter(), str(CLIENT), running.uri("lab.crowd"), "crowd", str(threads), "600", str(each)],
            stdout=subprocess.PIPE, encoding="utf-8",
        )
        for _ in range(processes)
    ]
    for process in crowd:
        assert json.loads(process.communicate()[0]) == []
    total = processes * threads * each
    with running.proxy("lab.crowd") as stage:
        assert stage.overlaps() == []
        moves = stage.moves()
    assert len(moves) == total

    def grants():
        lines = json.loads(running.run("locks", "--history", "--json", "lab.crowd").stdout)
        granted = [line for line in lines if line["event"] == "granted"]
        return granted if len(granted) >= total else None

    granted = wait_for(grants, 60, "every grant is in the lock log")
    epochs = [line["epoch"] for line in granted]
    assert all(one < next for one, next in zip(epochs, epochs[1:])), "epochs strictly rise"
    assert [line["user"] for line in granted] == moves, "whom it was granted to has driven"
    # Served in order: with all of them always asking, nobody is passed over by a whole round.
    last = {}
    gaps = []
    rounds = len(granted) - 2 * processes * threads
    for number, line in enumerate(granted):
        if line["user"] in last and number < rounds:
            gaps.append(number - last[line["user"]])
        last[line["user"]] = number
    assert max(gaps, default=0) <= 2 * processes * threads


# The end of an owner


@pytest.mark.parametrize("service", ["lab.stage", "lab.turns"])
def test_a_long_call_of_a_dead_owner_ends_before_the_next_grant(running, service, tmp_path):
    uri, gate = running.uri(service), tmp_path / "gate"
    record = running.record if service == "lab.stage" else running.record.with_name("record.turns")
    with (
        Holder.having(uri, "ada") as ada,
        Holder(uri, "eve", wait=60) as eve,
        running.proxy(service) as look,
    ):
        wait_until_waiting(look, ["eve"])
        begun = record.read_text().count("long call begins")
        ada.tell("wait_for", str(gate))
        wait_for(lambda: record.read_text().count("long call begins") > begun, 10, "it runs")
        ada.kill()
        wait_for(lambda: look.islocked() is False, 12, "the dead owner's lock is gone")
        assert waiting(look) == ["eve"], "and nobody has it while the call runs"
        if service == "lab.stage":  # in the other daemon, every call waits for the long one
            refused(lambda: look.move(1), "Pyro object is locked (by 'eve')")
        ended = record.read_text().count("long call ends")
        gate.touch()
        assert eve.answer() == ["returned", True]
        assert record.read_text().count("long call ends") == ended + 1


def test_a_plain_lock_waits_for_calls_that_run(running, tmp_path):
    gate = tmp_path / "gate"
    with clients(running, "lab.stage", 3) as (ada, eve, look):
        begun = running.record.read_text().count("long call begins")
        call = later(lambda: own(ada).wait_for(str(gate)))
        wait_for(lambda: running.record.read_text().count("long call begins") > begun, 10, "it runs")
        lock = later(lambda: own(eve).lock("eve"))
        wait_until_waiting(look, ["eve"])
        assert lock.is_running()
        gate.touch()
        assert lock() is True and call() == "waited"
        own(ada), own(eve)


def test_a_token_outlives_its_connection(running):
    uri = running.uri("lab.stage")
    token = {"token": "swordfish"}
    with Holder.having(uri, "ada", ttl=60, **token) as ada, running.proxy("lab.stage") as look:
        with Holder(uri, "eve", wait=120) as eve:
            wait_until_waiting(look, ["eve"])
            epoch = look.lock_info()["epoch"]
            ada.kill()
            info = wait_for(lambda: look.lock_info()["away"] and look.lock_info(), 12, "she is away")
            assert info["user"] == "ada" and 0 < info["expires_in"] <= 60
            refused(lambda: look.lock("bob", token="herring"))
            refused(lambda: look.move(1))
            with Holder.having(uri, "ada", ttl=1, **token) as again:
                assert waiting(look) == ["eve"]
                assert look.lock_info()["epoch"] > epoch
                again.tell("move", 1)
                assert again.answer()[0] == "returned"
            assert eve.answer() == ["returned", True], "behind the ttl the next has it"
            with Holder(uri, "ada", **token) as late:
                assert late.answer()[2] == ["Pyro object is locked (by 'eve')"]
    log = (running.home / "logs").rglob("*")
    assert not any("swordfish" in file.read_text(errors="replace") for file in log if file.is_file())


def test_a_token_takes_over_from_a_connection_that_hangs(running):
    with clients(running, "lab.stage") as (ada, again):
        assert ada.lock("ada", token="swordfish") is True
        assert again.lock("ada", token="swordfish") is True
        with pytest.raises(ConnectionRefusedError, match="taken over with its token by ada"):
            ada.move(1)
        assert isinstance(again.move(1), int)
        again.unlock()


def test_a_broken_lock_is_told_to_its_owner(running):
    with clients(running, "lab.stage") as (ada, eve):
        ada.lock("ada")
        done = running.run("unlock", "--break", "lab.stage", "--reason", "lunch", "--user", "eve")
        assert "broken: lab.stage" in done.stdout
        told = r"your lock .* was broken by eve at 127\.0\.0\.1:\d+ \(lunch\)"
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError, match=told):
                ada.move(1)
        assert isinstance(eve.move(1), int)
        assert ada.lock("ada") is True
        assert isinstance(ada.move(1), int)
    again = running.run("unlock", "--break", "lab.stage", "--reason", "x", check=False)
    assert again.returncode == 1 and "is not locked" in again.text
    lines = json.loads(running.run("locks", "--history", "--json", "lab.stage").stdout)
    broken = [line for line in lines if line["event"] == "broken"][-1]
    assert broken["reason"] == "lunch" and broken["by"].startswith("eve at ")
    assert broken["user"] == "ada" and broken["duration"] >= 0 and broken["epoch"] > 0


# Shown to people


def test_locks_and_ps_show_who_has_what(running):
    entry = running.entry("services", "lab.session")
    assert entry["locked_by"] is None and entry["locked_since"] is None
    uri = running.uri("lab.session")
    with Holder.having(uri, "ada \x1b[2J"), Holder(uri, "eve", wait=60):

        def shown():
            entry = running.entry("services", "lab.session")
            return entry if entry["lock"]["waiting"] else None

        entry = wait_for(shown, 10, "ps shows the lock and who waits")
        assert entry["locked_by"] == "ada \x1b[2J" and entry["locked_since"].endswith("Z")
        rows = json.loads(running.run("locks", "--json").stdout)
        row = {row["service"]: row for row in rows}["lab.session"]
        assert row["owner"]["address"].startswith("127.0.0.1:") and row["owner"]["epoch"] > 0
        assert row["waiting"][0]["user"] == "eve"
        for words in (["ps"], ["locks"], ["locks", "--history"]):
            text = running.run(*words).stdout
            assert "ada" in text and "\x1b" not in text
        assert "eve" in running.run("locks", "lab.session").stdout


def test_a_command_runs_while_the_lock_is_held(running):
    script = (
        "import os, sys, Pyro5.api\n"
        "with Pyro5.api.Proxy(os.environ['FERROLAB_LOCK_URI']) as stage:\n"
        "    info = stage.lock_info()\n"
        "    print(info['user'], info['locked'])\n"
        "    stage.lock('script', token=os.environ['FERROLAB_LOCK_TOKEN'])\n"
        "    stage.move(1)\n"
        "    print(stage.lock_info()['user'])\n"
        "sys.exit(7)\n"
    )
    words = ["lock", "lab.stage", "--user", "ada", "--", interpreter(), "-c", script]
    done = running.run(*words, check=False)
    assert done.returncode == 7, done.text
    assert done.stdout.split() == ["ada", "True", "script"]
    with running.proxy("lab.stage") as look:
        assert look.islocked() is False
        look.lock("bob")
        refusal = running.run("lock", "lab.stage", "--", "true", check=False)
        assert refusal.returncode == 1 and "locked (by 'bob')" in refusal.text
        refusal = running.run("lock", "lab.stage", "--wait", "0.2", "--", "true", check=False)
        assert refusal.returncode == 1 and "still locked by bob" in refusal.text
    killed = running.run("lock", "lab.stage", "--", "sh", "-c", "kill -9 $$", check=False)
    assert killed.returncode == 128 + 9
    for words in (["lock", "lab.stage"], ["unlock", "lab.stage", "--reason", "x"], ["unlock", "--break", "lab.stage"]):
        assert running.run(*words, check=False).returncode == 2
    missing = running.run("lock", "lab.stage", "--", "no-such-program", check=False)
    assert missing.returncode == 1 and "no such program" in missing.text


def test_a_lock_dies_with_the_command_line_that_held_it(running):
    command = running.start("lock", "lab.stage", "--", "sh", "-c", "echo here; exec sleep 100")
    assert command.stdout.readline() == "here\n"
    with running.proxy("lab.stage") as look:
        assert look.islocked() is True
        command.kill()
        wait_for(lambda: look.islocked() is False, 5, "the lock is free")


# Safe states


def test_a_native_instrument_comes_to_rest_and_a_failure_is_shown(running):
    with running.proxy("lab.supply") as ada, running.proxy("lab.supply") as eve:
        ada.lock("ada")
        ada.on()
        ada._pyroRelease()
        assert wait_for(lambda: eve.lock("eve"), 12, "the next has it", ConnectionRefusedError)
        assert eve.output is False

    def error():
        return running.entry("services", "lab.supply")["error"]

    shown = wait_for(error, 10, "ps shows what failed")
    assert "on_disconnect: no_such_method() raised AttributeError" in shown
    assert running.entry("services", "lab.supply")["status"] == "running"


RESTING = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon, servertype: $servertype}
services:
  lab.laser:
    module: stage
    classname: Laser
    daemon: bench
    instancemode: $mode
    arguments: {record: "$record"}
    on_disconnect: [fail, off]
autolaunch: {daemons: [bench]}
"""


@pytest.mark.parametrize(("mode", "servertype"), [("single", "thread"), ("session", "thread"), ("single", "multiplex")])
def test_a_driver_comes_to_rest_before_the_next_grant(lab, mode, servertype):
    record = lab.files / "record"
    lab.config(RESTING, record=str(record), mode=mode, servertype=servertype)
    lab.up()
    uri = lab.uri("lab.laser")
    events = lambda: [line for line in record.read_text().splitlines() if line != "made"]
    with Holder.having(uri, "ada") as ada, Holder(uri, "eve", wait=60) as eve:
        ada.tell("beam")
        ada.answer()
        ada.kill()
        assert eve.answer() == ["returned", True]
        assert events() == ["beam", "fail", "off"], "each once, in order, before the grant"
        eve.tell("beam")
        eve.answer()
        eve.tell("unlock")
        assert eve.answer() == ["returned", True]
        assert events() == ["beam", "fail", "off", "beam"], "who gives it up leaves it as it is"
    wait_for(lambda: "fail" in (lab.entry("services", "lab.laser")["error"] or ""), 10, "shown")


# Over restarts


def test_epochs_rise_over_restarts_and_the_log_stays(lab):
    lab.config(RESTING, record=str(lab.files / "record"), mode="single", servertype="thread")
    epochs = []
    for _ in range(3):
        lab.up()
        with lab.proxy("lab.laser") as ada:
            for _ in range(3):
                ada.lock("ada")
                epochs.append(ada.lock_info()["epoch"])
                ada.unlock()
        lab.down()
    assert epochs == sorted(set(epochs))
    lines = json.loads(lab.run("locks", "--history", "--json").stdout)
    assert [line["epoch"] for line in lines if line["event"] == "granted"] == epochs
    assert [line["event"] for line in lines].count("started") == 3


def test_a_daemon_without_locks_has_none(lab):
    lab.config(RESTING.replace("LockableDaemon", "Daemon"), record=str(lab.files / "record"), mode="single", servertype="thread")
    lab.up()
    with lab.proxy("lab.laser") as laser:
        laser._pyroBind()
        assert not {"lock", "unlock", "islocked"} & set(laser._pyroMethods)
        with pytest.raises(AttributeError):
            laser._pyroInvoke("lock", (), {})
    assert lab.entry("services", "lab.laser")["lock"] is None
    failed = lab.run("lock", "lab.laser", "--", "true", check=False)
    assert failed.returncode == 1 and "has no lock" in failed.text
