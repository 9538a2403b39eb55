"""The lab of this machine: its supervisor's control socket, and what runs there.

The folders and the name of the socket are those of `crates/program/src/paths/`.
"""

import json
import os
import socket
import sys
import tempfile

from .errors import NOT_STARTED, CommunicationError, NamingError
from .history import HISTORY
from .nameserver import list_names
from .settings import Settings
from .uri import URI

# Bytes of a Unix socket's path; with a longer one the socket is in a temporary folder.
_SOCKET_PATH_BYTES = 100
# Seconds for an answer of the supervisor.
_ANSWER_TIMEOUT = 10.0
# Bytes of an answer: thousands of services.
_MAX_ANSWER = 16 << 20


def control_socket(home=None):
    """The path of the control socket of a home, or of this user's lab; None where none can be."""
    home = home or os.environ.get("FERROLAB_HOME")
    if home:
        return _short(os.path.join(os.path.abspath(os.fspath(home)), "run"))
    state = _state_folder()
    if state is None:
        return None
    lasting = os.path.join(state, "run")
    if os.path.exists(os.path.join(lasting, "control.sock")):
        return _short(lasting)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if not runtime and hasattr(os, "getuid"):
        runtime = "/run/user/{}".format(os.getuid())
    if runtime and os.path.isabs(runtime) and os.path.isdir(runtime):
        return _short(os.path.join(runtime, "ferrolab"))
    return _short(lasting)


def _state_folder():
    home = os.path.expanduser("~")
    if home == "~":
        return None
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Application Support", "ferrolab")
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):
        state = os.path.join(home, ".local", "state")
    return os.path.join(state, "ferrolab")


def _short(folder):
    path = os.path.join(folder, "control.sock")
    if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES or not hasattr(os, "getuid"):
        return path
    name = "{:016x}.sock".format(_stable_hash(os.fsencode(os.path.realpath(folder))))
    private = "ferrolab-{}".format(os.getuid())
    for temporary in (os.environ.get("TMPDIR") or "/tmp", tempfile.gettempdir(), "/tmp"):
        path = os.path.join(temporary, private, name)
        if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
            break
    return path


def _stable_hash(data):
    """The hash of `crates/lab-config/src/hash.rs`."""
    mask = (1 << 64) - 1
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & mask
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & mask
    value = (value ^ value >> 27) * 0x94D049BB133111EB & mask
    return value ^ value >> 31


class Home:
    """Services of the lab whose supervisor listens on `path`."""

    def __init__(self, path):
        self.path = path

    def __str__(self):
        return "the lab of this machine ({})".format(self.path)

    def answers(self):
        """Whether a supervisor is there."""
        try:
            self._ask()
        except CommunicationError:
            return False
        return True

    def names(self):
        """URIs by name: the services that run here, and names of other hosts in its nameservers."""
        found = {}
        listing = self._ask()
        for row in _rows(listing, "nameservers"):
            if row.get("uri"):
                found.update(self._listed(row["uri"]))
        for row in _rows(listing, "daemons"):
            found.pop(row.get("name"), None)
        for row in _rows(listing, "services"):
            if row.get("uri") and isinstance(row.get("name"), str):
                found[row["name"]] = row["uri"]
        return found

    def _listed(self, uri):
        try:
            return list_names(URI(uri), Settings())
        except CommunicationError:
            return {}

    def look_up(self, name):
        """The URI of a service; a NamingError says why it is not there."""
        listing = self._ask()
        for row in _rows(listing, "services"):
            if row.get("name") != name:
                continue
            if row.get("uri"):
                return URI(row["uri"])
            raise NamingError(
                "{} is not there: its daemon {} is {}; `ferrolab status` says more".format(
                    name, row.get("daemon"), row.get("status")
                )
            )
        for row in _rows(listing, "nameservers"):
            found = self._listed(row["uri"]) if row.get("uri") else {}
            if name in found:
                return URI(found[name])
        names = [row.get("name") for row in _rows(listing, "services")]
        raise NamingError(
            "no service is called {!r} in {}: {}".format(
                name, self, ", ".join(map(str, names)) or "it has none"
            )
        )

    def lab_rows(self):
        """The other labs that the configuration names."""
        return _rows(self._ask(), "labs")

    def history(self):
        """The URI of this host's history of values, beside the supervisor's socket."""
        folder, name = os.path.split(self.path)
        name = "history.sock" if name == "control.sock" else name[: -len(".sock")] + ".history"
        return URI("PYRO:{}@./u:{}".format(HISTORY, os.path.join(folder, name)))

    def _ask(self):
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(_ANSWER_TIMEOUT)
                sock.connect(self.path)
                sock.sendall(b'{"request":"ps"}\n')
                answer = json.loads(_read_line(sock).decode("utf-8"))
        except (OSError, AttributeError, ValueError) as error:
            raise CommunicationError(
                "no lab runs on this machine: {} ({}); `ferrolab up` starts it".format(
                    self.path, error
                ),
                outcome=NOT_STARTED,
            ) from error
        if not isinstance(answer, dict) or answer.get("answer") != "done":
            raise CommunicationError(
                "the supervisor of {} does not list its services".format(self), outcome=NOT_STARTED
            )
        return answer


def _rows(listing, kind):
    rows = listing.get(kind)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _read_line(sock):
    data = b""
    while not data.endswith(b"\n"):
        chunk = sock.recv(65536)
        data += chunk
        if not chunk or len(data) > _MAX_ANSWER:
            raise ValueError("the answer is cut short or too long")
    return data
