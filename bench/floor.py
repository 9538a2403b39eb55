"""The Python end of the floor server (`bench/load/src/floor.rs`): `floor.py LOAD JOB`.

Starts that server, whose standard input is the other end of a socket. Reads a length and a frame of
marshal from it, calls the driver, writes such a frame, and does nothing else.
"""

import json
import marshal
import socket
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "drivers"))
from loopback import Loopback  # noqa: E402

# Bytes from which on an answer is sent from where it is, and with a larger buffer of the socket.
LARGE = 256 * 1024
SEND_BUFFER_BYTES = 1024 * 1024
LENGTH = struct.Struct(">I")
# marshal's beginning of (0, bytes), and of these bytes.
BEGIN = b"(\2\0\0\0i\0\0\0\0"
BYTES = struct.Struct("<ci")


def encoded(value):
    """The beginning of an answer's content and the rest; bytes are not copied."""
    if type(value) is bytes and len(value) >= LARGE:
        return BEGIN + BYTES.pack(b"s", len(value)), value
    return b"", marshal.dumps((0, value), 2)


def main():
    load, job = sys.argv[1:]
    sock, theirs = socket.socketpair()
    relay = subprocess.Popen([load, job], stdin=theirs)
    theirs.close()
    job = json.loads(job)
    try:
        serve(sock, getattr(Loopback(), job["method"]), job["args"])
    finally:
        relay.kill()
        relay.wait()


def serve(sock, method, args):
    """Answers every frame with what the method returns."""
    view = memoryview(bytearray(64 * 1024))
    while True:
        count = sock.recv_into(view)
        if not count:
            return
        marshal.loads(view[4:count])
        begin, data = encoded(method(*args))
        head = LENGTH.pack(len(begin) + len(data)) + begin
        if len(data) < LARGE:
            sock.sendall(head + data)
            continue
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        sent = sock.sendmsg([head, data])
        sock.sendall((head + data)[sent:] if sent < len(head) else memoryview(data)[sent - len(head) :])


if __name__ == "__main__":
    main()
