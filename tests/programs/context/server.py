"""The server's view of its caller, and annotations both ways."""

from Pyro5.api import behavior, current_context, expose, oneway


@expose
@behavior(instance_mode="single")
class Echo:
    def __init__(self):
        self._seen = []

    def caller(self):
        host, port = current_context.client_sock_addr
        peer = current_context.client.sock.getpeername()
        return host, isinstance(port, int), peer == (host, port)

    def message(self):
        return {
            "serializer": current_context.serializer_id,
            "flags": current_context.msg_flags,
            "sequence": isinstance(current_context.seq, int),
            "correlation": str(current_context.correlation_id),
        }

    def echo(self, value):
        for key, data in sorted(current_context.annotations.items()):
            current_context.response_annotations[key] = bytes(data)[::-1]
        current_context.response_annotations["SEEN"] = str(
            sorted(current_context.annotations)
        ).encode()
        return value

    def fail(self):
        current_context.response_annotations["FAIL"] = b"even so"
        raise ValueError("as asked")

    @oneway
    def quietly(self, word):
        self._seen.append((word, bytes(current_context.annotations.get("WORD", b"none"))))

    def seen(self):
        return [(word, data.decode()) for word, data in self._seen]

    def stream(self):
        yield from ("one", "two")
