"""Batches that the daemon carries out entry by entry end as others do.

These are batches of users, and of services with a lock.
"""

import itertools

import Pyro5.api
import Pyro5.errors
import pytest
from harness import free_port
from harness.lab import new_lab
from harness.users import User

DRIVER = """\
import os
from Pyro5.api import expose

def late():
    return 7

@expose
class Meter:
    def grow(self):
        self.late = expose(late)

    def read(self):
        return 5

    def fail(self):
        raise ValueError("no reading")

    def die(self):
        os._exit(3)

class Missing(Meter):
    def __init__(self):
        raise OSError(19, "the instrument is off")
"""
MODES = ["single", "session", "percall"]
SERVICES = "".join(
    f"  t.{daemon}.{name.lower()}.{mode}: {{module: batch_driver, classname: {name}, instancemode: {mode}, daemon: {daemon}, isolate: true}}\n"
    for daemon, name, mode in itertools.product(("plain", "locks"), ("Meter", "Missing"), MODES)
)
CONFIGURATION = (
    """\
python: {executable: "$python", path: [.]}
nameservers:
  names: {host: localhost, ns_port: $port}
daemons:
  plain: {}
  locks: {classname: LockableDaemon}
services:
"""
    + SERVICES
    + "autolaunch: {nameservers: [names], daemons: [plain, locks]}\n"
)
# The calls of a batch, and its results; an exception's class where it is the request's.
BATCHES = {
    "results": (["read", "read"], [5, 5]),
    "a method that is set later": (["grow", "late"], [None, 7]),
    "an exception of an entry": (["read", "fail", "read"], [5, "ValueError: no reading"]),
    "a method that does not exist": (["read", "nothing"], "AttributeError"),
    "a worker that dies": (["read", "die", "read"], "DaemonError"),
}


@pytest.fixture(scope="module")
def lab():
    with new_lab() as lab:
        lab.write(DRIVER, "batch_driver.py")
        lab.config(CONFIGURATION, port=free_port())
        # The services of mode `single` without an instrument do not start.
        lab.up(check=False)
        lab.wait_until_loaded()
        ada = User(lab, lab.folder / "ada")
        ada.log_in(lab.run("user", "add", "ada").stdout)
        lab.token = ada.token()
        yield lab


def carry_out(lab, service, calls, handshake):
    """The results of a batch, or the text of the exception that ends it."""
    with lab.proxy(service) as made:
        made._pyroHandshake = handshake
        batch = Pyro5.api.BatchProxy(made)
        for call in calls:
            getattr(batch, call)()
        try:
            results = batch()
        except Exception as error:
            return text_of(error)
        found = []
        try:
            found.extend(results)
        except Exception as error:
            found.append(text_of(error))
        return found


def text_of(error):
    return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batch", BATCHES)
def test_batches_end_alike(lab, batch, mode):
    calls, expected = BATCHES[batch]
    reference = carry_out(lab, f"t.plain.meter.{mode}", calls, "hello")
    assert type(reference) is type(expected), reference
    for daemon, handshake in (("plain", lab.token), ("locks", "hello"), ("locks", lab.token)):
        lab.wait_until_loaded()
        found = carry_out(lab, f"t.{daemon}.meter.{mode}", calls, handshake)
        if isinstance(expected, list):
            assert found == reference == expected, (daemon, handshake)
        else:
            assert isinstance(found, str) and found.partition(":")[0] == reference.partition(":")[0], (daemon, found, reference)


@pytest.mark.parametrize("mode", ["session", "percall"])
def test_an_instance_that_cannot_be_made_ends_the_batch(lab, mode):
    reference = carry_out(lab, f"t.plain.missing.{mode}", ["read", "read"], "hello")
    assert reference == "OSError: [Errno 19] the instrument is off"
    for daemon, handshake in (("plain", lab.token), ("locks", "hello"), ("locks", lab.token)):
        assert carry_out(lab, f"t.{daemon}.missing.{mode}", ["read", "read"], handshake) == reference
