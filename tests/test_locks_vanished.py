"""A client whose host vanishes without a packet: its lock is free within 12 s."""

import time

import pytest
from harness import NEVER, new_lab, wait_for, within
from harness.holder import Holder
from harness.netns import network

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon, host: "$host"}
services:
  lab.stage: {module: stage, classname: Stage, daemon: bench, instancemode: single, arguments: {record: "$record"}}
autolaunch: {daemons: [bench]}
"""
# Seconds that are promised, and more for a machine that is a little late with everything.
SOON, SLACK = 12, 1.5


@pytest.fixture(scope="module")
def net():
    with network() as made:
        yield made


@pytest.fixture(scope="module")
def running(net):
    with new_lab() as lab:
        lab.record = lab.files / "record"
        lab.record.touch()
        lab.config(CONFIGURATION, host=net.here, record=str(lab.record))
        lab.up()
        yield lab


@pytest.mark.parametrize("doing", ["nothing", "a long call", "waiting"])
def test_a_vanished_client_frees_its_lock_and_drives_no_more(running, net, doing, tmp_path):
    uri, gate = running.uri("lab.stage"), tmp_path / "gate"
    with running.proxy("lab.stage") as look:
        if doing == "waiting":
            look.lock("look")
            gone = Holder(uri, "ada", prefix=net.prefix, wait=600)
            wait_for(lambda: look.lock_info()["waiting"], 10, "she waits")
        else:
            gone = Holder.having(uri, "ada", prefix=net.prefix)
        with gone as ada:
            if doing == "a long call":
                ada.tell("wait_for", str(gate))
                begun = lambda: "long call begins" in running.record.read_text()
                wait_for(begun, 10, "it runs")
            net.pull()
            pulled = time.monotonic()
            if doing == "waiting":
                wait_for(lambda: not look.lock_info()["waiting"], SOON + SLACK, "she waits no more")
            else:
                wait_for(lambda: not look.islocked(), SOON + SLACK, "the lock is free")
            assert time.monotonic() - pulled < within(SOON + SLACK)
            gate.touch()
            if doing != "waiting":
                assert look.lock("eve", wait=NEVER) is True
            net.plug()
            if doing == "nothing":
                # It finds out that its connection is gone, and with a new one why it may not drive.
                ada.tell("move", 1)
                assert ada.answer()[1].startswith("Pyro5.errors.")
                ada.tell("_pyroReconnect")
                assert ada.answer()[0] == "returned"
                ada.tell("move", 1)
                outcome = ["builtins.ConnectionRefusedError", ["Pyro object is locked (by 'eve')"]]
                assert ada.answer() == ["raised", *outcome]
            look.unlock()
