"""Frames on the worker's sockets: a length of four bytes, then that many bytes of marshal.

File descriptors that come with frames are received here too, and moved away from low numbers.
`protocol.rs` of the daemon's crate `py-worker` describes the content of the frames.
"""

import collections
import fcntl
import gc
import marshal
import os
import resource
import socket
import struct
import threading

from ..client import arrays, incoming_arrays

MARSHAL_VERSION = 2

_LENGTH = struct.Struct(">I")
_BUFFER = 64 * 1024
# From this size on, a second system call is cheaper than copying.
LARGE = 32 * 1024
# From this size on, the socket's own buffer makes for too many turns of reader and writer.
_HUGE = 256 * 1024
_LARGE_BUFFER = 1024 * 1024
# Bytes of a frame whose memory is returned to the system after its call.
WORTH_RETURNING = 1024 * 1024
# Flags of a frame's length: it has arrays as packed bytes; and is a result, without its tuple.
_PACKED, _PACKED_RESULT = 1 << 31, 1 << 30
# The first item of an answer that is a value (`frame_kinds`).
_VALUE = 0
# Buffers of one system call, and bytes below which they are made one.
_MOST_BUFFERS = 64
_SMALL = 4096


def high_fd(fd):
    """A duplicate of `fd` far from the low numbers, which some drivers close."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    base = 600 if limit == resource.RLIM_INFINITY or limit >= 1024 else limit // 2
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, base)
    except OSError:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def take_socket(fd):
    """A socket object over a high duplicate of `fd`, which is closed."""
    try:
        high = high_fd(fd)
    except OSError:
        high = fd  # there is no other left
    else:
        os.close(fd)
    sock = socket.socket(fileno=high)
    sock.setblocking(True)
    return sock


class Unreadable(Exception):
    """Arrays of a request that this interpreter's numpy does not make. The next frame is there."""


class Reader:
    """Reads frames; one call of the system for a frame that is there in one piece."""

    def __init__(self, sock):
        self._recv_into = sock.recv_into
        self._view = memoryview(bytearray(_BUFFER))
        # Of a frame that has come whole: marshal reads one value, and looks at nothing after it.
        self._content = self._view[4:]
        self._start = 0
        self._end = 0
        # Whether a call has had a frame whose memory is worth returning; its channel clears it.
        self.had_huge = False

    def buffered(self):
        """Whether the beginning of a further frame has been read already."""
        return self._end > self._start

    def read(self):
        """The next frame's content; None at the end."""
        view = self._view
        if not self._end:
            # Mostly one whole frame comes, and nothing else.
            count = self._recv_into(view)
            if count > 4 and _LENGTH.unpack_from(view)[0] == count - 4:
                return marshal.loads(self._content)
            if not count:
                return None
            self._end = count
        while self._end - self._start < 4:
            if not self._fill():
                return None
        size = _LENGTH.unpack_from(view, self._start)[0]
        start = self._start + 4
        stop = start + size
        if stop <= self._end:
            frame = marshal.loads(view[start:stop])
            if stop == self._end:
                self._start = self._end = 0
            else:
                self._start = stop
            return frame
        if size >= _PACKED:
            return self._read_packed(start, size - _PACKED)
        return self._read_large(start, size)

    def _fill(self):
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == _BUFFER:
            rest = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, len(rest)
            self._view[: self._end] = rest
        count = self._recv_into(self._view[self._end :])
        self._end += count
        return count

    def _read_large(self, start, size):
        if size >= WORTH_RETURNING:
            self.had_huge = True
        whole = bytearray(self._view[start : self._end])
        done = len(whole)
        self._start = self._end = 0
        while done < size:
            # An announced length is no reason to take the memory before the bytes are there.
            whole.extend(bytes(min(size - done, max(done, _LARGE_BUFFER))))
            with memoryview(whole) as view:
                while done < len(whole):
                    count = self._recv_into(view[done:])
                    if not count:
                        return None
                    done += count
        # The garbage collector would look at millions of new containers again and again, for
        # three times as long as reading takes, and nobody else runs meanwhile.
        collects = gc.isenabled()
        gc.disable()
        try:
            return marshal.loads(whole)
        finally:
            if collects:
                gc.enable()

    def _read_packed(self, start, size):
        """The content of a frame with arrays, which keep the memory that it is received into."""
        if size >= WORTH_RETURNING:
            self.had_huge = True
        try:
            whole = incoming_arrays.buffer(size)
        except Exception:
            # A numpy that cannot be imported: it is told when the frame has been read.
            whole = memoryview(bytearray(size))
        done = min(self._end - start, size)
        whole[:done] = self._view[start : start + done]
        self._start = start + done
        if self._start == self._end:
            self._start = self._end = 0
        while done < size:
            count = self._recv_into(whole[done:])
            if not count:
                return None
            done += count
        try:
            return incoming_arrays.loads(whole, marshal.loads, False)
        except Exception as error:
            raise Unreadable(str(error)) from error


def encode(frame):
    """The content of a frame as bytes."""
    return marshal.dumps(frame, MARSHAL_VERSION)


def encode_answer(answer):
    """The content of an answer's frame: bytes, or with arrays a payload of several buffers."""
    try:
        return marshal.dumps(answer, MARSHAL_VERSION)
    except ValueError:
        # Marked arrays are no data for marshal.
        is_result = len(answer) == 2 and answer[0] == _VALUE
        made = arrays.dumps(answer[1] if is_result else answer, copies_shared=True)
        if made is None:
            raise
        made.flags = _PACKED | _PACKED_RESULT if is_result else _PACKED
        return made


def send_packed(sock, payload):
    """Sends one frame with arrays, from their own memory."""
    if payload.size >= _HUGE:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGE_BUFFER)
    left = [_LENGTH.pack(payload.size | payload.flags), *payload.buffers]
    if payload.size < _SMALL:
        sock.sendall(b"".join(left))
        return
    left = [memoryview(buffer) for buffer in left]
    while left:
        sent = sock.sendmsg(left[:_MOST_BUFFERS])
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if sent:
            left[0] = left[0][sent:]


def send_frame(sock, frame):
    """Sends one frame."""
    send_encoded(sock, encode(frame))


def send_encoded(sock, data):
    """Sends one frame with that content."""
    if len(data) < LARGE:
        sock.sendall(_LENGTH.pack(len(data)) + data)
    else:
        send_parts(sock, b"", data)


def send_parts(sock, begin, data):
    """Sends one frame whose content begins so and goes on with `data`, which is not copied."""
    head = _LENGTH.pack(len(begin) + len(data)) + begin
    if len(data) >= _HUGE:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGE_BUFFER)
    sent = sock.sendmsg([head, data])
    if sent < len(head):  # cannot be, short of a socket without any space
        sock.sendall(head[sent:])
        sent = len(head)
    if sent < len(head) + len(data):
        sock.sendall(memoryview(data)[sent - len(head) :])


class Writer:
    """Writes whole frames to a socket that several threads write to.

    A destructor may log while its thread is in here already, between any two steps; its frame is
    left to the write that is under way.
    """

    def __init__(self, sock):
        self._sock = sock
        self._lock = threading.Lock()
        self._owner = None
        self._frames = collections.deque()

    def write(self, frame):
        """Writes one frame; a daemon that is gone is no error here."""
        data = marshal.dumps(frame, MARSHAL_VERSION)
        self._frames.append(_LENGTH.pack(len(data)) + data)
        me = threading.get_ident()
        while self._frames and self._owner != me:
            with self._lock:
                self._owner = me
                try:
                    while self._frames:
                        self._sock.sendall(self._frames.popleft())
                except (OSError, IndexError):
                    pass
                finally:
                    self._owner = None


class ControlReader:
    """Reads frames that may come with file descriptors."""

    def __init__(self, sock):
        self._sock = sock
        self._fds = []

    def read(self):
        """The next frame and the descriptors that have come so far; None at the end."""
        head = self._exactly(4)
        if head is None:
            return None
        body = self._exactly(_LENGTH.unpack(head)[0])
        if body is None:
            return None
        fds, self._fds = self._fds, []
        return marshal.loads(body), fds

    def _exactly(self, size):
        parts = []
        flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        while size:
            data, ancillary, _, _ = self._sock.recvmsg(
                min(size, 1 << 20), socket.CMSG_SPACE(16 * 4), flags
            )
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    count = len(content) // 4
                    self._fds.extend(struct.unpack("{}i".format(count), content[: count * 4]))
            if not data:
                return None
            parts.append(data)
            size -= len(data)
        return b"".join(parts)
