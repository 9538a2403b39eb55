"""A stock Pyro5 daemon for the tests of the Rust client.

Takes Pyro5's settings as JSON, prints the URI of its object (and that of a nameserver, where one
is asked for), and serves until its standard input ends, so that it never outlives its test.
"""

import json
import os
import ssl
import sys
import threading

import Pyro5.api
import Pyro5.core
import Pyro5.nameserver
from Pyro5 import socketutil
from Pyro5.api import current_context, expose, oneway


@expose
class Probe:
    def __init__(self):
        self._notes = []
        self._value = 1

    def echo(self, *args, **kwargs):
        return [list(args), kwargs]

    def fail(self):
        error = ValueError("as asked", 5)
        error.extra = "attribute"
        raise error

    @property
    def value(self):
        return self._value

    @value.setter
    def value(self, value):
        self._value = value

    @oneway
    def note(self, what):
        self._notes.append(what)

    def notes(self):
        return self._notes

    def numbers(self, count):
        try:
            yield from range(count)
        finally:
            self._notes.append("closed")

    def failing(self):
        yield 1
        raise ZeroDivisionError("in the stream")

    def sleep(self, seconds):
        threading.Event().wait(seconds)
        return "slept"

    def context(self):
        annotations = {key: bytes(data) for key, data in current_context.annotations.items()}
        current_context.response_annotations = {"BACK": b"from the server"}
        return [annotations.get("ABCD", b"").decode(), str(current_context.correlation_id)]

    def blob(self, blob):
        return [blob.info, blob.deserialized()]

    def hang_up(self):
        current_context.client.sock.close()

    def hang_up_times(self, count):
        """How often it was called, once it has lost the caller's connection so many times."""
        self._hung_up = getattr(self, "_hung_up", 0) + 1
        if self._hung_up <= count:
            current_context.client.sock.close()
        return self._hung_up


class Daemon(Pyro5.api.Daemon):
    def validateHandshake(self, conn, data):
        if data == "forbidden":
            raise ValueError("you may not")
        return ["you said", data]


def only_tls(version):
    """Has Pyro5 speak this version of TLS only."""
    make = socketutil.get_ssl_context

    def limited(*args, **kwargs):
        context = make(*args, **kwargs)
        context.minimum_version = context.maximum_version = version
        return context

    socketutil.get_ssl_context = limited


def main():
    settings = json.loads(sys.argv[1])
    address = {key: settings.pop(key) for key in ("host", "port", "unixsocket") if key in settings}
    if "tls" in settings:
        only_tls(getattr(ssl.TLSVersion, settings.pop("tls")))
    broadcast_port = settings.pop("nameserver", None)
    for key, value in settings.items():
        setattr(Pyro5.config, key, value)
    daemon = Daemon(**(address or {"host": "localhost"}))
    uris = [daemon.register(Probe(), "probe")]
    daemons = [daemon]
    if broadcast_port is not None:
        # On localhost alone it would not listen to the network.
        nameserver, served, listener = Pyro5.nameserver.start_ns(
            host="0.0.0.0", port=0, enableBroadcast=True, bcport=broadcast_port
        )
        listener.runInThread()
        served.nameserver.register("lab.probe", uris[0], metadata={"fast", "optical"})
        uris.append(f"PYRO:{nameserver.object}@localhost:{nameserver.port}")
        daemons.append(served)
    for each in daemons:
        threading.Thread(target=each.requestLoop, daemon=True).start()
    print(*uris, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
