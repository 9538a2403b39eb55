"""Locks: PyroLab's behaviour with PyroLab's client, and whose calls run."""

import json
import os
import subprocess
import time

import Pyro5.api
import Pyro5.errors
import pytest
from harness.holder import CLIENT
from harness.lab import interpreter
from harness.locks import (
    EVERY_MODE,
    clients,
    later,
    locking_lab,
    refused,
    wait_until_waiting,
    waiting,
)
from harness.stock import pyrolab_daemon


@pytest.fixture(scope="module")
def running():
    with locking_lab() as lab:
        yield lab


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
            before = record.read_text()
            for _ in range(5):
                refused(lambda: eve.move(1))
                assert eve.islocked() is True
            assert record.read_text() == before


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
