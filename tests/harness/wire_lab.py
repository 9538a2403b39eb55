"""A lab with one daemon that serves the driver `wire`, for tests of connections and messages."""

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: $daemon
services:
  t.wire: {module: wire, classname: Wire, daemon: bench, instancemode: single}
autolaunch: {daemons: [bench]}
"""


def serve_wire(lab, daemon="{}"):
    """Starts the lab with these settings of its daemon; the service's URI and the daemon's pid."""
    lab.config(CONFIGURATION, daemon=daemon)
    lab.up()
    return lab.uri("t.wire"), lab.entry("daemons", "bench")["pid"]


def address(uri):
    """Host and port, for bare sockets."""
    host, _, port = str(uri).partition("@")[2].rpartition(":")
    return host, int(port)
