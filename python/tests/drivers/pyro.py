"""A driver that uses Pyro5."""

from Pyro5.api import (
    Proxy, behavior, current_context, expose, register_class_to_dict, register_dict_to_class,
)


class Thing:
    def __init__(self, number):
        self.number = number


register_class_to_dict(Thing, lambda thing: {"__class__": "test.Thing", "n": thing.number})
register_dict_to_class("test.Thing", lambda name, data: Thing(data["n"]))


class Resource:
    def __init__(self, closed):
        self._closed = closed

    def close(self):
        self._closed.append("closed")


closed = []


class Elsewhere:
    """A stand-in for a method of another process, whose connection is gone."""

    _pyroExposed = True

    @property
    def _pyroCallback(self):
        raise EOFError("the connection is gone")

    def __call__(self):
        raise ZeroDivisionError("broken there")


@expose
@behavior(instance_mode="session")
class Service:
    def __init__(self):
        self.elsewhere = Elsewhere()

    def context(self):
        c = current_context
        c.response_annotations = {"XYZ1": b"back"}
        return (c.client_sock_addr, c.seq, c.msg_flags, c.serializer_id, str(c.correlation_id),
                {k: v.tobytes() for k, v in c.annotations.items()}, c.client.sock.getpeername())

    def kind(self, value):
        return type(value).__name__, str(value)

    def double(self, thing):
        return Thing(thing.number * 2)

    def track(self):
        self.resource = Resource(closed)
        current_context.track_resource(self.resource)

    def closed(self):
        return closed

    def proxy(self):
        return Proxy("PYRO:other@localhost:1234")

    def uri(self):
        return self._pyroDaemon.uriFor(self._pyroId)
