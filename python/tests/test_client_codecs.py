"""Codecs of the client: against Python's own, and against bytes that no server should send."""

import marshal
import math
import pickle
import random
import ssl
import struct
import tracemalloc
from types import SimpleNamespace

import pytest
from ferrolab.client import answer as answers
from ferrolab.client import class_dict, errors, message, safe_marshal, serializers, serpent, transport
from ferrolab.client.members import Members
from ferrolab.client.plain import plain_args
from ferrolab.client.settings import Settings
from ferrolab.client.uri import URI

VALUES = [
    None, True, False, 0, -1, 2**31 - 1, -(2**31), 2**31, 2**63, -(2**200), 0.0, -0.0, 1.5, 5e-324,
    1.7976931348623157e308, math.inf, -math.inf, 1 + 2j, complex(-0.0, 1e300), "", "plain", "naïve 日本 𝄞",
    "it's \"quoted\"", "a\\b\n\r\t\0\x01\x7f\x80\xa0\u2028", b"", b"abc", bytes(range(256)), [], (), (1,),
    [1, 2.5, "x", None, True], [0.1 * n for n in range(1000)], list(range(-500, 500)), (1.5, 2.5) * 20,
    {}, {"a": [1, {"b": (2,)}]}, {1: "a", (1, "x"): 2.5, True: None}, {1, 2, 3}, {(1, 2), "a"},
    [[[[]]], [()]], "x" * 10_000, [b"a", 1], [1e22, 1e16, 123456789.12345679],
]  # fmt: skip


def same(one, other):
    return repr(one) == repr(other) or one == other and type(one) is type(other)


def name_of(value):
    """A name for the tests of a value: the same in every process, so without a set's order."""
    items = sorted(map(repr, value)) if type(value) is set else value
    return ascii(items)[:30]


@pytest.mark.parametrize("value", VALUES, ids=name_of)
def test_values_survive(value):
    assert same(safe_marshal.loads(marshal.dumps(value, 2)), value)
    assert same(class_dict.revive(serpent.loads(serpent.dumps(value))), value)
    theirs = pytest.importorskip("serpent")
    assert same(theirs.tobytes(value) if isinstance(value, bytes) else theirs.loads(serpent.dumps(value)), value)
    written = theirs.dumps(value)
    assert same(class_dict.revive(serpent.loads(written)), value)


def test_nan():
    assert math.isnan(safe_marshal.loads(marshal.dumps(math.nan, 2)))
    assert math.isnan(class_dict.revive(serpent.loads(serpent.dumps(math.nan))))


HOSTILE_MARSHAL = [
    b"", b"(", b"[\xff\xff\xff\x7f", b"[\x00\x00\x00\x80", b"u\xff\xff\xff\xffx", b"u\x05\x00\x00\x00abc",
    b"l\xff\xff\xff\x7f", b"l\x05\x00\x00\x00\x01\x00", b"c" + bytes(100), b"\xe3" + bytes(100), b"r\x00\x00\x00\x00",
    b"[\x01\x00\x00\x00" * 5000, b"{" * 5000, b"{N", b"{[\x00\x00\x00\x00N0", b"<\x01\x00\x00\x00[\x00\x00\x00\x00",
    b"NN", b"g1234567", b"y" + bytes(8), b"0", b"u\x01\x00\x00\x00\xff", b"[\x10\x00\x00\x00" + b"g" * 100,
    b"l\x00\x10\x00\x00" + bytes(0x2000),
]  # fmt: skip
HOSTILE_SERPENT = [
    b"", b"(" * 100_000, b"[" * 100_000, b"-" * 100_000 + b"1", b"1" + b"+1" * 100_000, b"{" * 100_000, b"9" * 100_000,
    b"'abc", b"'abc\\'", b"'a\nb'", b"'\\ud8'", b"__import__('os')", b"1 2", b"[1,2", b"{1:2,3}", b"{[]}", b"{[]:1}", b"f'{1}'", b"\xff",
    b"[" + b"1," * 50 + b"x]", b"[1,,2,3,4,5,6,7,8,9,0,1,2,3]", b"lambda: 1", b"'\\U11111111'", b"b'\xc4\x80'",
    b"# only a comment", b"[1-2,3,4,5,6,7,8,9,0,1,2,3,4,5,6]",
]  # fmt: skip


@pytest.mark.parametrize("text", ["a" * (1 << 20), "'\\n" * 1000, "\\" * 1001, "\\'", "'"], ids=lambda text: text[:4])
def test_the_end_of_a_text(text):
    tracemalloc.start()
    try:
        assert serpent.loads(serpent.dumps([text, text.encode(), 1])) == [text, text.encode(), 1]
        # Bytes of images come as texts.
        assert tracemalloc.get_traced_memory()[1] < 20 * len(text) + (1 << 20)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("data", HOSTILE_MARSHAL, ids=lambda data: ascii(data)[:30])
def test_bytes_that_are_no_marshal(data):
    with pytest.raises(errors.SerializeError) as caught:
        serializers.decode(serializers.MARSHAL, data, False)
    assert caught.value.outcome == "ran"


@pytest.mark.parametrize("data", HOSTILE_SERPENT, ids=lambda data: ascii(data)[:30])
def test_bytes_that_are_no_serpent(data):
    with pytest.raises(errors.SerializeError):
        serializers.decode(serializers.SERPENT, data, False)


@pytest.mark.parametrize("number", [serializers.MARSHAL, serializers.SERPENT, serializers.JSON])
def test_mutations_give_a_value_or_an_error(number):
    chance = random.Random(5)
    encode = {
        serializers.MARSHAL: lambda value: marshal.dumps(value, 2),
        serializers.SERPENT: serpent.dumps,
        serializers.JSON: lambda value: b'{"a": [1, 2.5, "x", {"b": null}]}',
    }[number]
    for _ in range(2000):
        data = bytearray(encode(chance.choice(VALUES)))
        for _ in range(chance.randint(1, 3)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            class_dict.revive(serializers.decode(number, bytes(data[: chance.randint(0, len(data))]), False))
        except errors.SerializeError:
            pass


def answer(**changes):
    fields = {"tag": b"PYRO", "version": 502, "kind": 5, "serializer": 2, "flags": 0, "seq": 7, "size": 9, "notes": 0, "magic": 0x4DC5}
    fields.update(changes)
    return struct.pack(
        "!4sHBBHHII16sHH", fields["tag"], fields["version"], fields["kind"], fields["serializer"], fields["flags"],
        fields["seq"], fields["size"], fields["notes"], bytes(16), 0, fields["magic"],
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tag": b"HTTP"}, "does not speak Pyro5's protocol"),
        ({"magic": 1}, "does not speak Pyro5's protocol"),
        ({"version": 501}, "version 501"),
        ({"kind": 6}, "type 6"),
        ({"seq": 8}, "answer 8 where 7 was due"),
        ({"size": 2**32 - 1}, "announces an answer of 4294967295 bytes"),
        ({"size": 900, "notes": 200}, "announces an answer of 1100 bytes"),
        ({"notes": 100_000}, "announces"),
    ],
)
def test_headers_that_are_no_answer(changes, words):
    assert message.read_header(answer(), message.RESULT, 7, 1000) == (5, 0, 2, 0, 9)
    with pytest.raises(errors.ProtocolError, match=words):
        message.read_header(answer(**changes), message.RESULT, 7, 1000)


@pytest.mark.parametrize("notes", [b"A", b"STRM\x00\x00\x00\x05abc", b"STRM\xff\xff\xff\xffabc"])
def test_annotations_that_are_cut_short(notes):
    with pytest.raises(errors.ProtocolError):
        message.read_annotations(notes)


def test_numpy_arguments_become_plain():
    numpy = pytest.importorskip("numpy")
    made = plain_args(
        (numpy.float64(1.5), numpy.arange(3), numpy.int8(-1), numpy.bool_(True), {"a": numpy.ones((2, 1))}, numpy.array("x"))
    )
    for name in ("serpent", "marshal"):
        number, dumps, _ = serializers.speak(name, Members())
        sent = serializers.decode(number, dumps("t.object", "method", made, {}), False)[2]
        assert repr(sent) == "(1.5, [0, 1, 2], -1, True, {'a': [[1.0], [1.0]]}, 'x')"
    with pytest.raises(errors.SerializeError, match="dtype object"):
        plain_args((numpy.array([object()]),))


def test_an_argument_that_is_no_data_is_refused_by_name():
    ring = []
    ring.append([ring])
    for value, words in [(object(), "builtins.object"), (lambda: 1, "function"), ([{1: object()}], "object"), (ring, "contains itself")]:
        with pytest.raises(errors.SerializeError, match=words) as caught:
            plain_args((value,))
        assert caught.value.outcome == "not started"


@pytest.mark.parametrize("text", ["PYRO:a@h:1", "PYRO:a.b@[::1]:80", "PYRO:x@./u:/run/a b".replace(" ", "_"), "PYRONAME:lab.x", "PYRONAME:x@h:9090"])
def test_uris(text):
    assert str(URI(text)) == text
    assert URI(text) == URI(str(URI(text)))


@pytest.mark.parametrize("text", ["", "PYRO:a", "PYRO:a@h", "PYRO:a@h:x", "PYRO:a@h:0", "HTTP:a@h:1", "PYRO:a@./u:", "PYRO:a@[::1:5", None, 5])
def test_texts_that_are_no_uri(text):
    with pytest.raises(ValueError):
        URI(text)


def test_exceptions_come_as_their_classes_and_never_by_import():
    def made(name, *args, **attributes):
        return class_dict.revive({"__class__": name, "__exception__": True, "args": args, "attributes": attributes})

    error = made("builtins.FileNotFoundError", 2, "no such file", filename="a")
    assert (type(error), error.errno, str(error)) == (FileNotFoundError, 2, "[Errno 2] no such file: 'a'")
    assert type(made("Pyro5.errors.NamingError", "x")).__name__ == "NamingError"
    for name in ("os.system", "builtins.SystemExit", "builtins.eval", "builtins.int", "builtins.ExceptionGroup", "nowhere.Error", "builtins.UnicodeDecodeError"):
        error = made(name, "x", code=5)
        assert type(error) is errors.RemoteError and error.class_name == name and error.code == 5

    class Jammed(Exception):
        pass

    class_dict.register_exception(Jammed, "lasers.Jammed")
    assert type(made("lasers.Jammed", "shut")) is Jammed


def test_whose_bytes_marshal_may_read():
    """A server that another lab's directory has named is not trusted for its certificate."""
    checked, unchecked = ssl.create_default_context(), ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    own, elsewhere = URI("PYRO:lab.supply@host:1"), URI("PYRO:lab.supply@host:1")
    elsewhere.tls, elsewhere.is_elsewhere = checked, True
    for uri, tls, is_trusted in [
        (own, checked, True), (own, unchecked, False), (own, None, False),
        (elsewhere, checked, False), (elsewhere, ssl.create_default_context(), False), (elsewhere, None, False),
    ]:
        assert transport.is_trusted(uri, tls) == is_trusted


def test_where_a_proxy_of_another_labs_server_may_lead():
    def proxy_from(server, text, is_elsewhere=True):
        uri = URI("PYRO:lab.cell@" + server)
        uri.is_elsewhere = is_elsewhere
        is_here = server.startswith("127.")
        connection = SimpleNamespace(uri=uri, settings=Settings(), trusted=False, is_here=is_here)
        sent = serpent.dumps({"__class__": "Pyro5.client.Proxy", "state": (text, (), (), (), "hello", 0)})
        return answers.read_value((None, 0, 1, b"", sent), connection)

    outside, away = ["PYRO:x@192.0.2.1:9090", "PYRO:x@192.0.2.1:7", "PYRO:x@[2001:db8::1]:7"], "192.0.2.1:9090"
    here = [
        "PYRO:x@localhost:9091", "PYRO:x@127.0.0.2:9091", "PYRO:x@[::1]:9091", "PYRO:x@0.0.0.0:9091",
        "PYRO:x@[::ffff:127.0.0.1]:9091", "PYRO:x@./u:/run/x.sock", "PYRO:x@127.1:9091", "PYRO:x@2130706433:9091",
        "PYRO:x@localhost.:9091",
    ]  # fmt: skip
    names = ["PYRONAME:x", "PYRONAME:x@localhost:9090"]
    for server, text in [(away, text) for text in outside] + [("127.0.0.1:1", text) for text in outside + here]:
        found = proxy_from(server, text)
        assert str(found) == text and found.is_elsewhere, (server, text)
        # Where a name leads is seen at its connection. A server's own address is as it was.
        told_by = None if server.startswith("127.") or text.endswith("@" + server) else server
        assert found.told_by == URI(found).told_by == found.beside("y").told_by == told_by
        copied = pickle.loads(pickle.dumps(found))
        assert (copied, copied.told_by, copied.is_elsewhere) == (found, told_by, True)
    for server, text in [(away, text) for text in here + names] + [("127.0.0.1:1", text) for text in names]:
        with pytest.raises(errors.SerializeError, match="on its own host only"):
            proxy_from(server, text)
    for text in outside + here + names:
        found = proxy_from(away, text, is_elsewhere=False)
        assert not found.is_elsewhere and found.told_by is None
