"""Locks: PyroLab's behaviour with PyroLab's client, and whose calls run."""

import json
import os
import subprocess
import time

import Pyro5.api
import Pyro5.errors
import Pyro5.protocol
import pytest
from harness import NEVER, wait_for
from harness.holder import CLIENT
from harness.lab import interpreter
from harness.locks import (
    EVERY_MODE,
    clients,
    later,
    locking_lab,
    long_call,
    own,
    refused,
    wait_until_waiting,
)
from harness.sides import Service
from harness.stock import pyrolab_daemon, stock_daemon


@pytest.fixture(scope="module")
def running():
    with locking_lab() as lab:
        yield lab


# PyroLab's behaviour


def documented(uri):
    """The outcomes that PyroLab's client gets, step by step."""
    client = subprocess.run(
        [interpreter(), str(CLIENT), str(uri), "pyrolab"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", timeout=NEVER,
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
    for results in [ours, theirs] if service.endswith((".session", ".percall")) else []:
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
        stream, lines = iter(eve.count(9)), eve.lines(9)
        line = next(lines)
        assert next(stream) == next(line) == 0
        ada.lock("ada")
        for reads in (stream, lines, line):
            refused(lambda reads=reads: next(reads))
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
        # A call of hers after them: both have been decided on by then.
        assert eve.islocked() is True
        assert ada.move(0) == before
        ada.unlock()
        if not service.endswith(".percall"):
            assert next(stream) == 1, "the stream goes on when the lock is gone"


def test_no_instance_is_made_for_a_refused_call(running):
    for suffix in [".session", ".percall", ".turns.session", ".turns.percall"]:
        service = "lab" + suffix
        record = running.record.with_name("record" + suffix)
        with clients(running, service) as (ada, eve):
            ada.lock("ada")
            before = record.read_text()
            for _ in range(5):
                refused(lambda: eve.move(1))
                assert eve.islocked() is True
            assert record.read_text() == before


@pytest.mark.parametrize("service", ["lab.supply", "lab.turns.supply"])
def test_whatever_others_try_with_a_native_service_is_refused(running, service):
    with clients(running, service) as (ada, eve):
        ada.lock("ada")
        ada.off()
        refused(lambda: eve.on())
        refused(lambda: eve.voltage)
        refused(lambda: setattr(eve, "voltage", 3))
        batch = Pyro5.api.BatchProxy(eve)
        batch.on()
        refused(lambda: list(batch()))
        batch = Pyro5.api.BatchProxy(eve)
        batch.on()
        batch(oneway=True)
        eve._pyroInvoke("on", (), {}, flags=Pyro5.protocol.FLAGS_ONEWAY)
        assert eve.islocked() is True
        assert ada.output is False
        ada.unlock()
        eve.on()
        assert ada.output is True


@pytest.mark.parametrize("service", ["lab.percall", "lab.turns.percall"])
def test_a_batch_has_one_instance_as_with_pyro5(running, service):
    stock = {"stage": Service("stage", "Stage", instancemode="percall")}
    with stock_daemon(stock) as theirs:
        for uri in [theirs.uris["stage"], running.uri(service)]:
            with Pyro5.api.Proxy(uri) as proxy:
                numbers = []
                for _ in range(2):
                    batch = Pyro5.api.BatchProxy(proxy)
                    batch.number()
                    batch.move(5)
                    batch.position_now()
                    batch.number()
                    first, moved, position, last = batch()
                    assert first == last and moved == position == 5
                    numbers.append(first)
                assert numbers[0] != numbers[1] != proxy.number()
    record = running.record.with_name("record" + service.removeprefix("lab"))
    with clients(running, service) as (ada, eve):
        ada.lock("ada")
        before = record.read_text()
        batch = Pyro5.api.BatchProxy(eve)
        batch.move()
        refused(lambda: list(batch()))
        assert record.read_text() == before, "and none that does not run"
        ada.unlock()


@pytest.mark.parametrize("service", ["lab.stage", "lab.turns"])
def test_what_a_service_registers_has_its_lock(running, service):
    token = {"token": "swordfish"}
    with clients(running, service) as (ada, eve), ada.axis() as hers, eve.axis() as axis:
        assert axis.turn() == "turned"
        ada.lock("ada", **token)
        assert axis.islocked() is True
        for proxy in (axis, hers):
            refused(lambda: proxy.turn())
        assert hers.lock("ada", **token) is True, "the owner's other proxies join with its token"
        assert hers.turn() == "turned" and isinstance(ada.move(1), int)
        refused(lambda: axis.turn())
        refused(lambda: eve.move(1))
        ada.unlock()
        assert axis.turn() == "turned"
        assert axis.lock("eve") is True
        refused(lambda: ada.move(1), "Pyro object is locked (by 'eve')")
        axis.unlock()


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
        batch.lock("batch", wait=300)
        batch.move(0)
        return list(batch())


def test_a_large_batch_does_not_wait_for_the_lock(running):
    """Its other calls would take memory for large requests from others meanwhile."""
    with clients(running, "lab.stage") as (ada, eve):
        ada.lock("ada")
        batch = Pyro5.api.BatchProxy(eve)
        batch.lock("eve", wait=NEVER)
        batch.move("x" * 100_000)
        with pytest.raises(ValueError, match=r"call lock\(wait=SECONDS\) before"):
            list(batch())
        assert ada.lock_info()["waiting"] == []
        ada.unlock()


def test_reads_that_the_configuration_allows(running):
    with clients(running, "lab.stage") as (ada, eve):
        ada.lock("ada")
        # A read of a client without the lock makes no instance.
        assert ada.temperature() == 21.5
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
        ada.unlock()


def test_lock_info_tells_everyone(running):
    with clients(running, "lab.stage", 3) as (ada, eve, bob):
        assert eve.lock_info()["locked"] is False
        before = time.time()
        ada.lock("ada")
        info = eve.lock_info()
        assert info["user"] == "ada" and info["locked"] and info["epoch"] > 0
        assert info["address"] == "%s:%d" % ada._pyroConnection.sock.getsockname()[:2]
        assert before - 1 < info["since"] < time.time() + 1
        assert 0 <= info["idle"] <= time.time() - before + 1 and info["waiting"] == [] and "yours" not in info
        assert eve.lock_info(token="t")["yours"] is False
        assert ada.lock("ada", token="t") is True
        assert eve.lock_info(token="t")["yours"] is True
        epoch = info["epoch"]
        ada.unlock()
        bob.lock("bob")
        assert eve.lock_info()["epoch"] > epoch
        bob.unlock()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"wait": -1}, ValueError),
        ({"wait": "long"}, ValueError),
        ({"wait": float("nan")}, ValueError),
        ({"wait": float("inf")}, ValueError),
        ({"wait": 90_000}, ValueError),
        ({"ttl": float("inf"), "token": "t"}, ValueError),
        ({"ttl": 5}, ValueError),
        ({"token": ""}, ValueError),
        ({"token": 5}, ValueError),
        ({"token": "x" * 1025}, ValueError),
        ({"user": "x" * 300}, ValueError),
        ({"nobody": 1}, TypeError),
    ],
)
def test_arguments_that_make_no_sense(running, arguments, error):
    with clients(running, "lab.stage", 1) as (ada,):
        with pytest.raises(error):
            ada.lock(**arguments)
        assert ada.islocked() is False


def test_a_service_may_set_the_limits_of_its_times(running):
    with clients(running, "lab.small") as (ada, eve):
        with pytest.raises(ValueError, match="at most 100 .the service's lock_max_wait"):
            ada.lock(wait=101)
        with pytest.raises(ValueError, match="at most 0 .the service's lock_max_ttl"):
            ada.lock(token="t", ttl=1)
        assert ada.lock(token="t", wait=99) is True
        ada._pyroRelease()
        wait_for(lambda: eve.islocked() is False, 5, "it does not outlive its connection")


def test_idle_is_the_time_since_the_owners_last_call_ended(running, tmp_path):
    gate = tmp_path / "gate"
    idle = lambda: look.lock_info()["idle"]
    with clients(running, "lab.stage", 3) as (ada, eve, look):
        ada.lock("ada")
        wait_for(lambda: idle() > 0.2, 10, "she does nothing")
        call = long_call(running, ada, gate)
        assert idle() == 0
        let_go = time.monotonic()
        gate.touch()
        call()
        since = idle()
        assert since < time.monotonic() - let_go, "counted from the end of the call"
        own(ada).unlock()
        assert idle() is None
