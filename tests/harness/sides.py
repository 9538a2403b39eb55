"""The same services twice: in a stock Pyro5 daemon and in a lab of ours."""

import contextlib
import json
from typing import NamedTuple

import pytest

from .lab import new_lab
from .outcome import outcome, proxy
from .stock import stock_daemon
from .wire_lab import address

SERIALIZERS = ["serpent", "marshal", "json", "msgpack"]
SERVERTYPES = ["thread", "multiplex"]
every_serializer = pytest.mark.parametrize("serializer", SERIALIZERS)
every_servertype = pytest.mark.parametrize("servertype", SERVERTYPES)

LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: $daemon
services: $services
autolaunch: {daemons: [bench]}
"""


class Service(NamedTuple):
    """A service as both sides need to know it."""

    module: str
    classname: str
    instancemode: str = "session"
    parameters: dict = {}

    def configuration(self):
        # JSON is YAML, and needs no indentation.
        return {"daemon": "bench", **{k: v for k, v in self._asdict().items() if v}}


class Side:
    """One server, seen from its clients."""

    def __init__(self, name, uris, listens=None):
        self.name = name
        self.uris = uris
        # The settings of the daemon's address: `host`, `port`, `unixsocket`, `nathost`, ...
        self.listens = listens or {}

    def proxy(self, service, **settings):
        return proxy(self.uris[service], **settings)

    def daemon(self, **settings):
        """A proxy for the daemon itself."""
        address = next(iter(self.uris.values())).partition("@")[2]
        return proxy(f"PYRO:Pyro.Daemon@{address}", **settings)

    def address(self):
        """Host and port, for bare sockets."""
        return address(next(iter(self.uris.values())))


class Sides:
    """Both servers."""

    def __init__(self, stock, ours, lab, settings):
        self.multiplex = settings.get("SERVERTYPE") == "multiplex"
        self.stock = stock
        self.ours = ours
        self._lab = lab

    def diagnosis(self):
        return self._lab.diagnosis()

    def assert_same(self, script, view=lambda outcome: outcome):
        """Runs `script(side)` on each side; both must come to the same.

        The lab is compared with Pyro5, not with a list of expectations that could be wrong.
        `view` picks the part of the outcome to compare.
        """
        expected = outcome(lambda: script(self.stock))
        actual = outcome(lambda: script(self.ours))
        assert view(actual) == view(expected), f"whole outcome of ours: {actual}"
        return expected


@contextlib.contextmanager
def both_sides(services, address=lambda: {"host": "localhost"}, **settings):
    """Serves `services` (name -> `Service`) on both sides.

    `settings` have Pyro5's names; our keys are the same in lower case. `address` is called for
    each side, for the arguments that say where Pyro5's `Daemon` and our daemon listen.
    """
    configuration = {name: service.configuration() for name, service in services.items()}
    theirs, own = address(), address()
    bench = own | {key.lower(): value for key, value in settings.items()}
    with stock_daemon(services, theirs, **settings) as stock, new_lab() as lab:
        lab.config(LAB, services=json.dumps(configuration), daemon=json.dumps(bench))
        lab.up()
        uris = {entry["name"]: entry["uri"] for entry in lab.ps()["services"]}
        yield Sides(Side("Pyro5", stock.uris, theirs), Side("Ferrolab", uris, own), lab, settings)
