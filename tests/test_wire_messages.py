"""Messages that no proxy sends, or that it sends rarely: what they are answered with.

Each is sent on a separate connection, to Pyro5's daemon and to ours, and a call after it tells
whether the connection goes on.
"""

import contextlib
import marshal
import socket
import struct

import pytest
from harness import NEVER, SERVERTYPES, Service, both_sides
from harness.bare import connect_message, message, receive
from harness.outcome import outcome
from Pyro5 import protocol
from Pyro5.protocol import FLAGS_BATCH, FLAGS_EXCEPTION, FLAGS_KEEPSERIALIZED, FLAGS_ONEWAY
from Pyro5.serializers import serializers

SERVICES = {"t.wire": Service("wire", "Wire", "single")}


@pytest.fixture(scope="module", params=SERVERTYPES)
def sides(request):
    with both_sides(SERVICES, SERVERTYPE=request.param) as made:
        yield made


def call(method, *args, serializer="serpent", name="t.wire", **kwargs):
    return message(serializer, serializers[serializer].dumpsCall(name, method, args, kwargs))


def flagged(flags, method, *args, name="t.wire"):
    return message("serpent", serializers["serpent"].dumpsCall(name, method, args, {}), flags)


def batch(*entries):
    data = serializers["serpent"].dumpsCall("t.wire", "<batch>", entries, {})
    return message("serpent", data, FLAGS_BATCH)


def of_the_daemon(method, *args):
    return call(method, *args, name="Pyro.Daemon")


def kind(number, payload=b"x", flags=0, serializer="serpent"):
    return message(serializer, payload, flags, kind=number)


ECHO = serializers["serpent"].dumpsCall("t.wire", "echo", (1,), {})
MESSAGES = {
    "a call": call("echo", 1),
    "json behind a handshake in serpent": call("echo", 1, serializer="json"),
    "marshal behind a handshake in serpent": call("echo", 1, serializer="marshal"),
    "msgpack behind a handshake in serpent": call("echo", 1, serializer="msgpack"),
    "no such serializer": message(77, ECHO),
    "serializer 0": message(0, ECHO),
    "another handshake": connect_message(),
    "a welcome": kind(protocol.MSG_CONNECTOK),
    "a result": kind(protocol.MSG_RESULT),
    "no such kind of message": kind(99),
    "a ping": kind(protocol.MSG_PING, b"x" * 100, serializer=77),
    "a ping without an answer": kind(protocol.MSG_PING, flags=FLAGS_ONEWAY),
    "a flag that is none": message("serpent", ECHO, 0x8000),
    "a request that is an exception": message("serpent", ECHO, FLAGS_EXCEPTION),
    "annotations": message("serpent", ECHO, 0, b"ABCD" + struct.pack("!I", 1) + b"x"),
    "a wrong end of a header": message("serpent", ECHO).replace(b"\x4d\xc5", b"\0\1", 1),
    "another version": message("serpent", ECHO).replace(b"\x01\xf6", b"\x01\xf5", 1),
    "an unknown method": call("nothing"),
    "no method": call(""),
    "a private method": call("_notes"),
    "a dunder": call("__class__"),
    "a dunder of the data model": call("__len__"),
    "a dotted name": call("notes.append"),
    "a property as a method": call("value"),
    "a property": call("__getattr__", "value"),
    "a property and more": call("__getattr__", "value", "more"),
    "a method as a property": call("__getattr__", "echo"),
    "a private property": call("__getattr__", "_value"),
    "setting a property": call("__setattr__", "value", 3),
    "setting a method": call("__setattr__", "echo", 3),
    "setting what is not there": call("__setattr__", "new", 3),
    "a oneway call of no method": flagged(FLAGS_ONEWAY, "nothing"),
    "a oneway call of a private method": flagged(FLAGS_ONEWAY, "_notes"),
    "a oneway call of no object": flagged(FLAGS_ONEWAY, "echo", name="nobody"),
    "a oneway call that is garbage": message("serpent", b"garbage(", FLAGS_ONEWAY),
    "a batch of nothing": batch(),
    "a batch of a property": batch(("__getattr__", ("value",), {})),
    "a blob that says nothing of itself": flagged(FLAGS_KEEPSERIALIZED, "echo", 1),
    "the daemon": of_the_daemon("ping"),
    "the daemon, privately": of_the_daemon("_notes"),
    "the daemon with too much": of_the_daemon("registered", 5),
    "the daemon without waiting": flagged(FLAGS_ONEWAY, "ping", name="Pyro.Daemon"),
}

ABOUT_A_BLOB = marshal.dumps(("about", "t.wire", "echo"), 4)

# Refused by both, by ours with the reason in words.
WORSE = {
    "nothing": message("serpent", b""),
    "garbage": message("serpent", b"garbage("),
    "a list": message("serpent", b"[]"),
    "too little": message("serpent", b"('t.wire','echo',())"),
    "too much": message("serpent", b"('t.wire','echo',(),{},5)"),
    "arguments that are none": message("serpent", b"('t.wire','echo',5,{})"),
    "keywords that are none": message("serpent", b"('t.wire','echo',(),{1:2})"),
    "an object that is none": message("serpent", b"([],'echo',(),{})"),
    "a method that is none": message("serpent", b"('t.wire',5,(),{})"),
    "an unknown object": call("echo", name="nobody"),
    "a property without a name": call("__getattr__"),
    "setting a property to nothing": call("__setattr__", "value"),
    "a batch of what is no call": batch(5),
    "a blob that is a batch": message(
        "serpent",
        ECHO,
        FLAGS_KEEPSERIALIZED | FLAGS_BATCH,
        b"BLBI" + struct.pack("!I", len(ABOUT_A_BLOB)) + ABOUT_A_BLOB,
    ),
    "a blob with a wrong annotation": message(
        "serpent", ECHO, FLAGS_KEEPSERIALIZED, b"BLBI" + struct.pack("!I", 1) + b"x"
    ),
}


def meaning(answer):
    """The meaning of an answer: its header, and its value or exception."""
    if not answer:
        return "the end"
    read = protocol.ReceivingMessage(answer[:40], answer[40:])
    if read.type == protocol.MSG_PING:
        return [read.type, read.seq, read.serializer_id, bytes(read.data)]

    def value():
        by_id = {serializer.serializer_id: serializer for serializer in serializers.values()}
        content = by_id[read.serializer_id].loads(read.data)
        if read.flags & FLAGS_EXCEPTION:
            raise content
        return content

    flags = read.flags & ~protocol.FLAGS_CORR_ID
    return [read.type, read.seq, read.serializer_id, flags, outcome(value)]


def answers(side, sent):
    """The answers to a message, if there is one, and to a call after it."""
    with socket.create_connection(side.address(), NEVER) as peer:
        peer.sendall(connect_message())
        assert receive(peer)[6] == protocol.MSG_CONNECTOK
        came = []
        with contextlib.suppress(ConnectionError):
            peer.sendall(sent)
            peer.sendall(message("serpent", ECHO, seq=9))
            while not came or came[-1][1] != 9:
                came.append(meaning(receive(peer)))
                if came[-1] == "the end":
                    return came
            return came
        return [*came, "the end"]


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_answered_as_by_pyro5(sides, name):
    assert answers(sides.ours, MESSAGES[name]) == answers(sides.stock, MESSAGES[name])


@pytest.mark.parametrize("name", WORSE)
def test_a_request_that_is_none_is_refused_and_the_connection_goes_on(sides, name):
    def seen(side):
        refused, behind = answers(side, WORSE[name])
        *header, (how, *_) = refused
        return [header, how, behind]

    assert seen(sides.ours) == seen(sides.stock)
    refused, _ = answers(sides.ours, WORSE[name])
    assert "with a remote traceback" in refused[-1]
