"""TCP connections of this machine as Linux shows them: who is connected, and what lies unread."""

from pathlib import Path
from typing import NamedTuple

from .wait import wait_for


class Connection(NamedTuple):
    """One end of a connection: its port, its peer's port, and how many bytes wait to be read."""

    port: int
    peer_port: int
    unread: int


def connections():
    """Every end of every IPv4 connection, those that have just been closed too."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        port, peer_port = (int(address[-4:], 16) for address in (local, remote))
        if peer_port:
            yield Connection(port, peer_port, int(queues.partition(":")[2], 16))


def wait_until_read(client):
    """Waits until the daemon has read what a proxy sent."""
    sock = client._pyroConnection.sock
    ends = (sock.getpeername()[1], sock.getsockname()[1])
    wait_for(lambda: Connection(*ends, 0) in connections(), 5, "the request was read")
