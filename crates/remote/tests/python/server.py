"""A stock Pyro5 daemon for the tests of the Rust client.

Takes Pyro5's settings as JSON, prints the URI of its object, and serves until its standard input
ends, so that it never outlives its test.
"""

import json
import os
import sys
import threading

import Pyro5.api
import Pyro5.core
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


class Daemon(Pyro5.api.Daemon):
    def validateHandshake(self, conn, data):
        if data == "forbidden":
            raise ValueError("you may not")
        return ["you said", data]


def main():
    settings = json.loads(sys.argv[1])
    path = settings.pop("unixsocket", None)
    for key, value in settings.items():
        setattr(Pyro5.config, key, value)
    daemon = Daemon(unixsocket=path) if path else Daemon(host="localhost")
    print(daemon.register(Probe(), "probe"), flush=True)
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
