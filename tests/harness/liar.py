"""A server that shakes hands as a daemon does, and then does with a call whatever a test wants."""

import json
import socket
import struct
import threading

HEADER = struct.Struct("!4sHBBHHII16sHH")
MEMBERS = {"methods": ["echo", "slow"], "attrs": ["value"], "oneway": []}


def frame(kind, payload, seq=1, serializer=2, flags=0, **lies):
    """A message; `size`, `notes`, `tag` and `version` may be other than they should be."""
    return (
        HEADER.pack(
            lies.get("tag", b"PYRO"), lies.get("version", 502), kind, serializer, flags, seq,
            lies.get("size", len(payload)), lies.get("notes", 0), bytes(16), 0, 0x4DC5,
        )
        + payload
    )  # fmt: skip


def result(payload, seq=1, **further):
    return frame(5, payload, seq, **further)


class Liar:
    """`answer(sock, seq, payload)` is called for each request; `requests` counts them.

    `welcome` are the bytes that answer a handshake, if they are other than a daemon's.
    """

    def __init__(self, answer=None, welcome=None, unix=None, ferrolab=True):
        self.requests = 0
        self.connections = []
        self._answer = answer
        meta = {**MEMBERS, "ferrolab": {"version": "0"}} if ferrolab else MEMBERS
        hello = json.dumps({"handshake": "hello", "meta": meta}).encode()
        self._welcome = frame(2, hello, seq=0, serializer=3) if welcome is None else welcome
        if unix is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.uri = f"PYRO:t.liar@127.0.0.1:{self._listener.getsockname()[1]}"
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(unix)
            self._listener.listen()
            self.uri = f"PYRO:t.liar@./u:{unix}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        for sock in [*self.connections, self._listener]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            self._read(sock)
            sock.sendall(self._welcome)
            while True:
                seq, payload = self._read(sock)
                self.requests += 1
                self._answer(sock, seq, payload)
        except (OSError, EOFError):
            sock.close()

    def _read(self, sock):
        head = self._exactly(sock, HEADER.size)
        fields = HEADER.unpack(head)
        # The size of the payload, and that of the annotations before it.
        return fields[5], self._exactly(sock, fields[6] + fields[7])[fields[7] :]

    @staticmethod
    def _exactly(sock, size):
        data = b""
        while len(data) < size:
            chunk = sock.recv(size - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data
