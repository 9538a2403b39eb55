"""Three hosts on two networks: a lab's host between two clients, without any default route.

Each host is a network namespace. Needs Linux, root and iproute2; `networks` skips the test
elsewhere, saying so.
"""

import contextlib
import subprocess
import uuid

from .netns import ip, require_namespaces


class Host:
    """A namespace. `prefix` is what to run a program in it with."""

    def __init__(self, name):
        self.name = name
        self.prefix = ["ip", "netns", "exec", name]

    def ip(self, *words):
        ip("-n", self.name, *words)


class Cable:
    """The network between the lab's host and one client; `number` tells it from the other."""

    def __init__(self, lab, client, number):
        self.lab, self.client, self.number = lab, client, number
        self.near, self.far = f"{lab.name}{number}", f"{client.name}{number}"
        self.here, self.there = (f"10.213.{number}.{end}" for end in (1, 2))
        self.here6, self.there6 = (f"fd00:213:{number + 1}::{end}" for end in (1, 2))
        self.broadcast = f"10.213.{number}.255"

    def lay(self):
        ends = ("netns", self.lab.name, "type", "veth", "peer", "name", self.far)
        ip("link", "add", self.near, *ends, "netns", self.client.name)
        self.client.ip("link", "set", self.far, "up")
        self.address(self.client, self.far, self.there, self.there6)

    def connect(self, here=None):
        """The lab's host gets its address, another one than before with `here`."""
        self.here = here or self.here
        self.lab.ip("link", "set", self.near, "up")
        self.address(self.lab, self.near, self.here, self.here6)

    def disconnect(self):
        """The lab's host loses its addresses, as when DHCP or Wi-Fi ends."""
        self.lab.ip("addr", "flush", "dev", self.near)
        self.lab.ip("link", "set", self.near, "down")

    def address(self, host, device, ipv4, ipv6):
        host.ip("addr", "add", f"{ipv4}/24", "broadcast", self.broadcast, "dev", device)
        # Without the second in which the kernel asks whether others have it.
        host.ip("addr", "add", f"{ipv6}/64", "dev", device, "nodad")


@contextlib.contextmanager
def networks(connected=True):
    """The two cables; their lab's host is the same."""
    require_namespaces()
    # An interface's name has 15 letters at most, and is made of these.
    mark = uuid.uuid4().hex[:8]
    names = [f"fl{mark}{kind}" for kind in "lab"]
    hosts = []
    try:
        for name in names:
            ip("netns", "add", name)
            hosts.append(Host(name))
            ip("-n", name, "link", "set", "lo", "up")
        lab, *clients = hosts
        cables = [Cable(lab, client, number) for number, client in enumerate(clients)]
        for cable in cables:
            cable.lay()
            if connected:
                cable.connect()
        yield cables
    finally:
        # That removes the cables as well.
        for host in hosts:
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True)
