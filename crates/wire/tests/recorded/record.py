"""Recorder of real Pyro5: writes frames.txt and values.txt in this folder.

    python -m venv v && v/bin/pip install Pyro5==5.17 serpent==1.43 msgpack==1.2.4
    TZ=UTC PYTHONHASHSEED=0 v/bin/python crates/wire/tests/recorded/record.py

frames.txt has the frames of conversations between Pyro5's Proxy and Daemon, as Pyro5's own parser
reads them. values.txt has a corpus of values as each of Pyro5's serializers writes and reads it.
Values are printed by `repr`.

The versions are pinned, because the bytes may differ between versions. Random ids are replaced by
numbers and tracebacks are cut, so that every run writes the same files.
"""

import ast
import contextlib
import datetime
import importlib.metadata
import itertools
import json
import marshal
import os
import platform
import tempfile
import threading
import uuid

import msgpack
import Pyro5.api
from Pyro5 import client, config, core, protocol, serializers, socketutil
from Pyro5.callcontext import current_context

PINNED = {"Pyro5": "5.17", "serpent": "1.43", "msgpack": "1.2.4"}
HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = {1: "serpent", 2: "marshal", 3: "json", 4: "msgpack"}


def head():
    for package, version in PINNED.items():
        assert importlib.metadata.version(package) == version, package
    versions = ", ".join("%s %s" % pin for pin in PINNED.items())
    return "# Made by record.py with %s, CPython %s.\n" % (versions, platform.python_version())


# --- frames ---------------------------------------------------------------------------------------

sent = []
unrecorded_send = socketutil.SocketConnection.send


def recording_send(self, data):
    sent.append(bytes(data))
    unrecorded_send(self, data)


class Thing:
    @Pyro5.api.expose
    def echo(self, *args, **kwargs):
        return [list(args), kwargs]

    @Pyro5.api.expose
    def divide(self, a, b):
        return a / b

    @Pyro5.api.expose
    def refuse(self):
        raise Pyro5.errors.NamingError("no such name", 5)

    @Pyro5.api.expose
    @Pyro5.api.oneway
    def poke(self, what):
        pass

    @Pyro5.api.expose
    def count(self, end):
        yield from range(end)

    @Pyro5.api.expose
    def annotated(self):
        current_context.response_annotations = {"BACK": b"there", "EMPT": b""}
        return dict(current_context.annotations.items() and [("HERE", True)])

    @Pyro5.api.expose
    def blob(self, blob):
        return [blob.info, blob.deserialized()]

    @Pyro5.api.expose
    @property
    def level(self):
        return 1.5

    @level.setter
    def level(self, value):
        pass


def plain(serializer_id, data):
    """The payload as plain data: class dicts stay dicts."""
    data = bytes(data)
    if serializer_id == 1:
        return ast.literal_eval(data.decode("utf-8"))
    if serializer_id == 2:
        return marshal.loads(data)
    if serializer_id == 3:
        return json.loads(data)
    if serializer_id == 4:
        hook = serializers.serializers["msgpack"].ext_hook
        return msgpack.unpackb(data, raw=False, ext_hook=hook)
    return data


def describe(name, frame):
    msg = protocol.ReceivingMessage(frame[:40])
    flags = msg.flags
    msg.add_payload(frame[40:])
    annotations = {key: bytes(value) for key, value in msg.annotations.items()}
    yield name
    yield "  frame %s" % frame.hex()
    yield "  header type=%d serializer=%d flags=%d seq=%d data=%d annotations=%d corr=%s" % (
        msg.type, msg.serializer_id, flags, msg.seq,
        len(frame) - 40 - msg.annotations_size, msg.annotations_size, msg.corr_id.hex())
    yield "  annotations %r" % annotations
    yield "  value %r" % (plain(msg.serializer_id, msg.data),)


def conversations():
    """A name and a function of a connected proxy for every kind of message."""
    yield "call", lambda p: p.echo(1, 2.5, "three", key=[None, True])
    yield "exception", lambda p: p.divide(1, 0)
    yield "pyro-exception", lambda p: p.refuse()
    yield "unknown-method", lambda p: p._pyroInvoke("nothing", (), {})
    yield "unknown-object", lambda p: p._pyroInvoke("echo", (), {}, objectId="nobody")
    yield "get-attribute", lambda p: p.level
    yield "set-attribute", lambda p: setattr(p, "level", 2.5)
    yield "oneway", lambda p: p.poke("hey")
    yield "stream", lambda p: list(p.count(2))
    yield "stream-closed", lambda p: p.count(2).close()
    yield "blob", lambda p: p.blob(client.SerializedBlob("about it", [b"data", 1]))
    yield "metadata", lambda p: p._pyroInvoke("get_metadata", ("thing",), {}, objectId=core.DAEMON_NAME)

    def batch(p, oneway=False):
        batched = Pyro5.api.BatchProxy(p)
        batched.echo(1)
        batched.divide(1, 0)
        batched.echo(2)
        list(batched(oneway=oneway) or ())

    yield "batch", batch
    yield "oneway-batch", lambda p: batch(p, True)

    def annotated(p):
        current_context.annotations = {"HELO": b"\x00\xff" * 4, "ABCD": b"x"}
        p.annotated()

    yield "annotations", annotated

    def correlated(p):
        current_context.correlation_id = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
        p.echo()

    yield "correlation", correlated

    def compressed(p):
        config.COMPRESSION = True
        p.echo("all work and no play " * 40)

    yield "compressed", compressed
    yield "ping", lambda p: protocol.SendingMessage.ping(p._pyroConnection)


def tame_chance():
    numbers = itertools.count(1)
    uuid.uuid4 = lambda: uuid.UUID(int=next(numbers))
    Pyro5.errors.format_traceback = lambda *args, **kwargs: ["Traceback (most recent call last):\n", "cut\n"]


def record_frames(out):
    tame_chance()
    socketutil.SocketConnection.send = recording_send
    os.chdir(tempfile.mkdtemp())
    daemon = Pyro5.api.Daemon(unixsocket="record.sock")
    uri = daemon.register(Thing(), "thing")
    threading.Thread(target=daemon.requestLoop, daemon=True).start()

    def record(name, serializer, action, target=uri):
        current_context.annotations = {}
        current_context.correlation_id = None
        config.COMPRESSION = False
        config.SERIALIZER = serializer
        with Pyro5.api.Proxy(target) as proxy, contextlib.suppress(Exception):
            proxy._pyroHandshake = {"user": "anyone"}
            if "handshake" not in name:
                proxy._pyroBind()
                sent.clear()
            action(proxy)
        config.COMPRESSION = False
        frames, sent[:] = list(sent), []
        for number, frame in enumerate(frames):
            out.extend(describe("%s/%s/%d" % (serializer, name, number), frame))

    nobody = core.URI("PYRO:nobody@" + daemon.locationStr)
    for serializer in NAMES.values():
        record("handshake", serializer, lambda p: p._pyroBind())
        record("handshake refused", serializer, lambda p: p._pyroBind(), nobody)
        for name, action in conversations():
            record(name, serializer, action)


# --- values ---------------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")

CORPUS = [
    None, True, False,
    0, 1, -1, 31, 32, -32, -33, 127, 128, -128, -129, 255, 256, 32767, 32768, -32768, -32769, 65535, 65536,
    2**31 - 1, 2**31, -2**31, -2**31 - 1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, -2**63, -2**63 - 1,
    2**64 - 1, 2**64, 10**40, -10**40, 10**255, 1 << 300,
    0.0, -0.0, 1.0, -1.5, 0.1, 1e15, 1e16, 1e22, 1e-4, 1e-5, 1.5e-7, 5e-324, 1.7976931348623157e308, 1 / 3,
    INF, -INF, NAN,
    0j, 1j, -1j, 1 + 2j, -1.5 - 2.5j, complex(-0.0, 1), complex(1, -0.0), complex(INF, -INF), complex(1, NAN),
    complex(NAN, 1),
    "", "a", "it's", 'say "hi"', "it's \"both\"", "a\\b\n\r\t\0\x1f\x7f", "é ü ß", "€", "\U0001f600", "\x85\xad",
    "\u200b\u2028\ue000\U0010ffff", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "/", "\b\f",
    b"", b"a", bytes(range(256)), b"x" * 255, b"x" * 256,
    [], [1], [1, [2, [3]]], list(range(15)), list(range(16)), [0.5] * 5, ["a", None, True],
    (), (1,), (1, 2), ((), (1,), ((2, 3),)), tuple("abc"),
    set(), {1}, {"a"}, {(1, "a")}, {None}, {1.5}, {b"a"}, {frozenset({1})},
    frozenset(), frozenset({1}), frozenset({(1, 2)}), frozenset({None}),
    {}, {"a": 1}, {"a": {"b": {"c": []}}}, {1: 2}, {-1: 2}, {1.5: 2}, {INF: 1}, {True: 1}, {None: 1},
    {(1, 2): 3}, {(): 1}, {b"a": 1}, {1j: 2}, {frozenset({1}): 2}, {2**70: 1}, {NAN: 1}, {"é": "ü"},
    {str(i): i for i in range(16)}, {1: "int", "1": "str"},
    [{"name": "sensor", "value": 0.25, "ok": True, "tags": ("a", "b"), "raw": b"\x00\x01"}],
    {"__class__": "test.Class", "state": (1, "x")},
]

SPECIAL = [
    ("URI", core.URI("PYRO:obj@host:4444")),
    ("URI of a name", core.URI("PYRONAME:some.name")),
    ("ValueError", ValueError("wrong", 5)),
    ("DaemonError", Pyro5.errors.DaemonError("wrong")),
    ("datetime", datetime.datetime(2024, 5, 1, 10, 0, 0, 250000)),
    ("date", datetime.date(2024, 2, 29)),
]


def failure(x):
    return "%s.%s: %s" % (type(x).__module__, type(x).__name__, x)


def record_values(out):
    for name, value in [(None, value) for value in CORPUS] + SPECIAL:
        # marshal loses nothing, so the test reads the value from it. A special value is named.
        out.append(name or "value %s" % marshal.dumps(value, 2).hex())
        if not name:
            out.append("  repr %r" % (value,))
        for number, serializer in NAMES.items():
            try:
                data = serializers.serializers[serializer].dumps(value)
            except Exception as x:
                out.append("  %s refuses %s" % (serializer, failure(x)))
                continue
            out.append("  %s writes %s" % (serializer, data.hex()))
            try:
                read = plain(number, data) if name else serializers.serializers[serializer].loads(data)
                out.append("  %s reads %r" % (serializer, read))
            except Exception as x:
                out.append("  %s cannot read %s" % (serializer, failure(x)))


def main():
    # The hour of a datetime and the order of a set must not depend on the machine.
    assert os.environ.get("TZ") == "UTC" and os.environ.get("PYTHONHASHSEED") == "0", "see above"
    # Its class dict stays a dict.
    serializers.SerializerBase.register_dict_to_class("test.Class", lambda name, data: data)
    for name, record in [("frames.txt", record_frames), ("values.txt", record_values)]:
        lines = []
        record(lines)
        with open(os.path.join(HERE, name), "w", encoding="utf-8") as file:
            file.write(head() + "".join(line + "\n" for line in lines))


main()
