"""Labs whose nameservers are replicas of one directory, and clients that look names up there."""

import contextlib
import json
import os
import signal

from etcd import Lookups
from harness import EXTENDED, NEVER, free_port, new_lab, proxy, wait_for

CONFIGURATION = """\
nameservers:
  shared: {host: localhost, ns_port: $ns_port, storage: etcd, etcd: $etcd}
daemons: {$name: {nameservers: [shared]}}
services:
  $name.supply: {native: simulated.power_supply, daemon: $name, nameservers: [shared]}
  $name.meter: {native: simulated.multimeter, daemon: $name, nameservers: [shared]}
autolaunch: {nameservers: [shared], daemons: [$name]}
"""


class Replica:
    """A lab whose nameserver is one of several replicas."""

    def __init__(self, lab, name, etcd, port, more="", **values):
        self.lab, self.name, self.port = lab, name, port
        self.text = CONFIGURATION.replace("$name", name).replace("$etcd", etcd.yaml(**values))
        lab.config(self.text + more, ns_port=port)
        lab.up()

    def take_up(self, more):
        """The lab with these sections beside those of `CONFIGURATION`."""
        self.lab.config(self.text + more, ns_port=self.port)
        self.lab.run("reload")

    def connect(self):
        """The exit code and the words of `config check --connect`."""
        checked = self.lab.run("config", "check", "lab.yaml", "--connect", check=False)
        return checked.returncode, checked.text

    def kill(self):
        """All of its processes, as when a host loses its power."""
        self.signal(signal.SIGKILL)

    @contextlib.contextmanager
    def asleep(self):
        """As a host that sleeps: all of its processes stand still."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def signal(self, number):
        """All of its processes get a signal: a nameserver that stops alone is restarted."""
        for process in self.lab.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)

    @property
    def names(self):
        return proxy(f"PYRO:Pyro.NameServer@localhost:{self.port}", timeout=NEVER)

    def listed(self, prefix=""):
        with self.names as nameserver:
            return {name: str(uri) for name, uri in nameserver.list(prefix).items() if name != "Pyro.NameServer"}

    def shows(self, *wanted):
        return set(wanted) <= set(self.listed())

    def trouble(self):
        """The problems that `status` names."""
        found = json.loads(self.lab.run("status", "--json", check=False).stdout)["findings"]
        return " ".join(finding["problem"] for finding in found)


@contextlib.contextmanager
def replicas(etcd, *names, **values):
    with contextlib.ExitStack() as stack:
        yield [Replica(stack.enter_context(new_lab()), name, etcd, free_port(), **values) for name in names]


def lookups_at(replicas, name):
    return Lookups([replica.port for replica in replicas], name)


def looked_up(optics, cryo):
    """A name to look up throughout. A slow machine may starve a host, which is then hidden."""
    name = "optics.supply"
    if not EXTENDED:
        name = "stock.looked_up"
        register(optics, name)
    wait_for(lambda: optics.shows(name) and cryo.shows(name), NEVER, "the name is everywhere")
    return name


def register(replica, name):
    with replica.names as names:
        names.register(name, "PYRO:a@localhost:1")
    return True


def remove(replica, name):
    """Whether the name does not exist any more."""
    with replica.names as names:
        return names.remove(name) == 1 or name not in names.list(name)
