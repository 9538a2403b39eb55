"""Values as clients of several kinds write them, and errors that say where a value stands.

The requests are written by hand where no client in Python writes them.
"""

import json
import marshal

import msgpack
import Pyro5.api
import Pyro5.errors
import Pyro5.serializers
import pytest
from harness import SERVERTYPES, Service, both_sides, every_serializer, proxy

SERVICES = {"t.mirror": Service("mirror", "Mirror", "single"), "t.numpy": Service("mirror", "Numpy", "single")}
IDS = {"serpent": 1, "marshal": 2, "json": 3, "msgpack": 4}


@pytest.fixture(scope="module", params=SERVERTYPES)
def sides(request):
    with both_sides(SERVICES, SERVERTYPE=request.param) as made:
        yield made


class AsWritten:
    """A serializer of the client's whose requests are these bytes."""

    def __init__(self, serializer, data):
        self.serializer_id = IDS[serializer]
        self._data = data
        self.loads = Pyro5.serializers.serializers[serializer].loads

    def dumpsCall(self, *call):
        return self._data


def send(side, serializer, data, monkeypatch):
    with side.proxy("t.mirror", serializer=serializer) as mirror:
        mirror._pyroBind()
        monkeypatch.setitem(Pyro5.serializers.serializers, serializer, AsWritten(serializer, data))
        return mirror.seen(0)


def serpent_call(argument):
    return f"# serpent utf-8 python3.2\n('t.mirror','seen',({argument},),{{}})".encode()


@pytest.mark.parametrize("written, plain", [
    ("np.float64(1.5)", "1.5"), ("[np.float64(-1e-07),1]", "[-1e-07,1]"), ("{'a':np.float64(0.0)}", "{'a':0.0}"),
    ("(np.float64(1.0)+np.float64(2.0)j)", "(1+2j)"), ("(np.float64(1.0)np.float64(-2.0)j)", "(1-2j)"),
    ("{np.float64(1.5):np.int64(3)}", "{1.5:3}"), ("np.True_", "True"), ("np.str_('x')", "'x'"),
    ("np.complex128(1+2j)", "(1+2j)"), ("numpy.float32(0.5)", "0.5"), ("'\\ud834\\udd1e'", "'\U0001d11e'"),
    ("'a\\ud83d\\ude00b'", "'a\U0001f600b'"),
])
def test_forms_of_other_clients_are_read_as_what_they_mean(sides, monkeypatch, written, plain):
    """Scalars of numpy 2, and escapes of Pyro5's client for Java."""
    ours = send(sides.ours, "serpent", serpent_call(written), monkeypatch)
    monkeypatch.undo()
    assert ours == send(sides.ours, "serpent", serpent_call(plain), monkeypatch)


def test_a_client_with_numpy_2_sends_its_scalars(sides):
    import numpy

    with sides.ours.proxy("t.mirror") as mirror:
        for value in (numpy.float64(1.5), numpy.complex128(1 - 2j), [numpy.float64(0), (numpy.float64(2),)]):
            assert mirror.same(value) == value
            assert "numpy" not in str(mirror.seen(value))


@pytest.mark.parametrize("value", [
    msgpack.Timestamp(0, 0), msgpack.Timestamp(1, 2), msgpack.Timestamp(2**34, 5), msgpack.Timestamp(-1, 999_999_999),
    [msgpack.Timestamp(5, 0), {"at": msgpack.Timestamp(6, 7)}],
], ids=repr)
def test_timestamps_of_msgpack_go_both_ways(sides, value):
    def script(side):
        with side.proxy("t.mirror", serializer="msgpack") as mirror:
            return mirror.seen(value), mirror.same(value)

    sides.assert_same(script)


REFUSED = {
    "serpent": serpent_call("np.polynomial([1])"),
    "json": b'{"object": "t.mirror", "method": "seen", "params": [1, np.float64(1.5)], "kwargs": {}}',
    "marshal": marshal.dumps(("t.mirror", "seen", [1, 2], {}))[:-4] + b"X",
    "msgpack": msgpack.packb(["t.mirror", "seen", [msgpack.ExtType(5, b"abc")], {}]),
}
SHOWN = {"serpent": ", at `np.polynomial([1])", "json": ", at `np.float64(1.5)]", "marshal": "", "msgpack": ""}


@every_serializer
def test_a_request_that_cannot_be_read_is_named(sides, monkeypatch, serializer):
    with pytest.raises(Pyro5.errors.SerializeError) as raised:
        send(sides.ours, serializer, REFUSED[serializer], monkeypatch)
    text = str(raised.value)
    assert text.startswith(f"cannot read the request: invalid {serializer} data at byte ")
    assert f" (in the arguments of 'seen' of service 't.mirror', with {serializer}" in text
    assert SHOWN[serializer] in text


def test_half_a_surrogate_pair_is_refused_by_json_and_not_changed(sides, monkeypatch):
    data = json.dumps({"object": "t.mirror", "method": "seen", "params": ["\ud800"], "kwargs": {}}).encode()
    with pytest.raises(Pyro5.errors.SerializeError, match="lone surrogate.*'seen' of service 't.mirror'.*as bytes"):
        send(sides.ours, "json", data, monkeypatch)


@pytest.mark.parametrize("value", [
    "a\ud800", "\udc80", ["'\udfff\"", "é\ud83d\n"], {"\ud800": 1, "\udc00": 2}, "\U0001f600\ud83d", ("\ud800",) * 3,
], ids=ascii)
@pytest.mark.parametrize("serializer", ["serpent", "marshal"])
def test_lone_surrogates_go_both_ways(sides, serializer, value):
    """A file name that is not UTF-8 has some."""

    def script(side):
        with side.proxy("t.mirror", serializer=serializer) as mirror:
            return mirror.seen(value), mirror.same(value), mirror.same(value) == value

    sides.assert_same(script)


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_a_result_with_a_lone_surrogate_says_how_to_send_it(sides, serializer):
    """Pyro5's serializers refuse them, too; its clients refuse to send them."""
    with sides.ours.proxy("t.mirror", serializer=serializer) as mirror:
        with pytest.raises(ValueError, match=f"lone surrogate.*{serializer}; use serpent or marshal, or send the bytes"):
            mirror.made("lone surrogate")
        with pytest.raises(UnicodeEncodeError):
            mirror.same("\ud800")
        assert mirror.same("fine") == "fine"


def test_a_key_that_msgpack_refuses_is_named(sides):
    with sides.ours.proxy("t.mirror", serializer="msgpack") as mirror:
        with pytest.raises(ValueError, match=r"^int is not allowed for map key.* \(in the arguments of 'same'"):
            mirror.same({1: 2})


def test_a_result_that_json_has_no_form_for_is_named(sides):
    with sides.ours.proxy("t.numpy", serializer="json") as numpy:
        with pytest.raises(Pyro5.errors.SerializeError) as raised:
            numpy.made("complex")
    assert "(in the result of 'made' of service 't.numpy', with json: complex " in str(raised.value)


def test_a_message_beyond_the_limit_names_the_limit_and_its_place():
    with both_sides(SERVICES, MAX_MESSAGE_SIZE=100_000) as small:
        with proxy(small.ours.uris["t.mirror"], serializer="marshal") as mirror:
            with pytest.raises(Pyro5.errors.ProtocolError, match="message too large") as result:
                mirror.made("a lot")
        with proxy(small.ours.uris["t.mirror"], serializer="marshal") as mirror:
            with pytest.raises(Pyro5.errors.ProtocolError, match="message too large") as request:
                mirror.same(b"x" * 200_000)
    for raised, place in ((result, "in the result of 'made' of"), (request, "in the arguments of 'same' of")):
        text = str(raised.value)
        assert "`max_message_size` of daemon 'bench' in the configuration" in text
        assert f"{place} service 't.mirror', with marshal" in text
