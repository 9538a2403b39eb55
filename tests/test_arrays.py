"""Arrays as packed bytes between our client and our daemons; lists for everybody else."""

import asyncio
import concurrent.futures

import ferrolab
import numpy as np
import Pyro5.api
import pytest
from harness import NEVER
from harness.lab import new_lab

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {host: localhost, servertype: $servertype}
  locking: {host: localhost, servertype: $servertype, classname: LockableDaemon}
services:
  t.hosted: {module: matrices, classname: Matrices, daemon: bench, instancemode: single}
  t.native: {native: simulated.loopback, daemon: bench}
  t.locked: {module: matrices, classname: Matrices, daemon: locking, instancemode: single}
  t.limited:
    module: matrices
    classname: Matrices
    daemon: bench
    instancemode: single
    isolate: true
    members: {table: {minimum: 0, maximum: 10}}
autolaunch: {daemons: [bench, locking]}
"""


@pytest.fixture(scope="module", params=["thread", "multiplex"])
def arrays(request):
    with new_lab() as lab:
        lab.config(CONFIGURATION, servertype=request.param)
        lab.up()
        lab.wait_until_loaded()
        yield lab


def connect(lab, service="t.hosted", **settings):
    return ferrolab.Proxy(lab.uri(service), **{"timeout": NEVER, "connect_timeout": NEVER, **settings})


ALIGNED = np.dtype([("flag", "u1"), ("number", "f8"), ("pair", "<i2", (2,))], align=True)
VALUES = {
    "bool": np.array([True, False]),
    **{f"{kind}{size}": np.arange(5, dtype=f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)},
    **{f"f{size}": np.linspace(0, 1, 5).astype(f"f{size}") for size in (2, 4, 8)},
    "long double": np.array([1 / np.longdouble(3)]),
    "nan and infinities": np.array([np.nan, np.inf, -np.inf, -0.0]),
    "complex": np.array([1 + 2j, np.nan]),
    "complex64": np.array([1 + 2j], dtype="c8"),
    "big endian": np.arange(5, dtype=">i4"),
    "datetime64": np.array(["2020-01-01T00:00:00.5", "NaT"], dtype="M8[ns]"),
    "datetime64 in days": np.array(["2020-01-01"], dtype="M8[D]"),
    "timedelta64": np.array([3, 4], dtype="m8[25us]"),
    "bytes": np.array([b"x", b"longer"]),
    "text": np.array(["x", "länger"]),
    "raw": np.zeros(3, dtype="V7"),
    "structured": np.array([(1, 2.5, b"a")], dtype=[("a", "i4"), ("b", ">f8"), ("c", "S3")]),
    "structured with gaps": np.ones(3, dtype=ALIGNED),
    "nested fields": np.zeros(2, dtype=[("outer", [("inner", "f4", (2, 2)), ("time", "M8[s]")])]),
    "no dimensions": np.array(5.5),
    "empty": np.zeros((0, 3)),
    "empty texts": np.zeros(3, dtype="S0"),
    "no fields": np.zeros(2, dtype=[]),
    "rows": np.arange(24.0).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "every second": np.arange(10)[::2],
    "backwards": np.arange(10)[::-1],
    "axes moved": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "broadcast": np.broadcast_to(np.arange(3.0), (2, 3)),
    "read only": np.frombuffer(b"12345678", dtype="u2"),
    "large": np.arange(300_000, dtype="f8"),
}
MASKED = {
    "masked": np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0], fill_value=9),
    "nothing masked": np.ma.array([1, 2]),
    "masked times": np.ma.array(np.array([1, 2], "M8[s]"), mask=[1, 0]),
    "masked fortran": np.ma.array(np.asfortranarray(np.eye(3)), mask=np.asfortranarray(np.eye(3) > 0)),
    "masked fields": np.ma.array([(1, 2.0)], mask=[(1, 0)], dtype=[("a", "i8"), ("b", "f8")]),
}


def assert_same(got, expected, name):
    assert type(got) is (np.ma.MaskedArray if isinstance(expected, np.ma.MaskedArray) else np.ndarray), name
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape), name
    assert got.flags.writeable and got.flags.aligned, name
    if expected.flags.forc:
        assert got.flags.f_contiguous == expected.flags.f_contiguous, name
    if isinstance(expected, np.ma.MaskedArray):
        assert np.array_equal(np.ma.getmaskarray(got), np.ma.getmaskarray(expected)), name
        assert np.array(got.fill_value).tobytes() == np.array(expected.fill_value).tobytes(), name
        got, expected = got.data, expected.data
    if expected.dtype.names:
        # Bytes between fields are no part of the value.
        assert (got == expected).all(), name
    else:
        assert got.tobytes() == expected.tobytes(), name


@pytest.mark.parametrize("service", ["t.hosted", "t.locked", "t.native"])
def test_every_type_comes_back(arrays, service):
    with connect(arrays, service) as proxy:
        call = proxy.echo if service == "t.native" else proxy.same
        for name, value in {**VALUES, **MASKED}.items():
            assert_same(call(value), value, name)
        # All of them in one message.
        for name, got in call({**VALUES, **MASKED}).items():
            assert_same(got, {**VALUES, **MASKED}[name], name)


def test_a_matrix_and_a_record_array_are_plain_arrays(arrays):
    with connect(arrays) as proxy:
        rows = np.array([[1, 2], [3, 4]])
        assert_same(proxy.same(rows.view(np.matrix)), rows, "matrix")
        records = np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
        assert proxy.same(records)["b"] == [2.0]


def test_scalars_of_numpy_stay_numbers(arrays):
    with connect(arrays) as proxy:
        assert proxy.echo(np.float64(1.5), np.int32(7), np.bool_(True)) == [[1.5, 7, True], {}]


@pytest.mark.parametrize("server", ["t.hosted", "t.locked"])
def test_arrays_go_every_way(arrays, server):
    trace = np.arange(4.0)
    with connect(arrays, server) as proxy:
        assert proxy.describe(np.asfortranarray(np.eye(2))) == ["<f8", [2, 2], True, True]
        assert_same(proxy.double(np.arange(3)), np.arange(3) * 2, "changed in place")
        [[args], kwargs] = proxy.echo((1, [trace]), key={"inner": trace})
        assert args[0] == 1 and np.array_equal(args[1][0], trace)
        assert np.array_equal(kwargs["key"]["inner"], trace)
        mixed = proxy.mixed()
        assert list(mixed) == ["trace", "rows", "empty"] and mixed["rows"][1] == "text"
        assert mixed["rows"][0][0] == 1 and np.array_equal(mixed["rows"][0][1], np.arange(3))
        assert mixed["empty"].shape == (0, 2)
        # Properties.
        proxy.table = np.full((2, 2), 5)
        assert_same(proxy.table, np.full((2, 2), 5), "property")
        # Batches and oneway calls.
        batch = ferrolab.BatchProxy(proxy)
        batch.same(trace)
        batch.describe(trace)
        batch.mixed()
        first, second, third = batch()
        assert_same(first, trace, "batch")
        assert second[0] == "<f8" and len(third["trace"]) == 4
        proxy.note({"trace": trace})
        assert np.array_equal(proxy.noted()["trace"], trace)
        # Streams, and results with annotations.
        for number, item in enumerate(proxy.frames(3)):
            assert_same(item, np.full(4, number), "item")
        assert_same(proxy.annotated(), np.arange(5), "annotated")
        with pytest.raises(ValueError, match="not like this") as caught:
            proxy.fail(trace)
        assert caught.value.args[1] == trace.tolist()


def test_a_result_has_memory_for_itself(arrays):
    with connect(arrays) as proxy:
        frame = proxy.frame()
        assert frame.shape == (1024, 1024) and frame.dtype == "u2" and frame.base is None
        frame[0, 0] = 7
        assert proxy.frame()[0, 0] == 0


def test_the_same_in_asyncio(arrays):
    async def use():
        uri = str(arrays.uri("t.hosted"))
        async with ferrolab.Lab(None, ferrolab.Proxy(uri, timeout=NEVER)._remote.settings).aio as lab:
            proxy = lab[uri]
            for name, value in {**VALUES, **MASKED}.items():
                assert_same(await proxy.same(value), value, name)
            frames = await asyncio.gather(*(proxy.frame(300, 300) for _ in range(8)))
            assert all(np.array_equal(frame, frames[0]) for frame in frames)
            items = [item async for item in await proxy.frames(3)]
            assert [item.tolist() for item in items] == [[0] * 4, [1] * 4, [2] * 4]

    asyncio.run(use())


def test_threads_get_their_own_arrays(arrays):
    def use(number):
        value = np.full(50_000 + number, number)
        return all(np.array_equal(proxy.same(value), value) for _ in range(20))

    with connect(arrays) as proxy, concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(8)))


@pytest.mark.parametrize("serializer", ["serpent", "marshal", "json", "msgpack"])
def test_stock_clients_go_on_with_lists(arrays, serializer):
    rows = [[0, 1, 2], [3, 4, 5]]
    with Pyro5.api.Proxy(arrays.uri("t.hosted")) as proxy:
        proxy._pyroSerializer = serializer
        assert proxy.frame(2, 3) == rows
        assert proxy.describe(rows) == "list"
    # And our client with a serializer of Pyro5's.
    with connect(arrays, serializer=serializer) as proxy:
        assert proxy.frame(2, 3) == rows
        assert proxy.describe(np.arange(3)) in ("list", "tuple")


def test_native_services_have_arrays_and_stock_clients_their_lists(arrays):
    with connect(arrays, "t.native") as proxy:
        assert_same(proxy.array(5), np.array(proxy.floats(5)), "native")
        assert_same(proxy.array(300_000), np.array(proxy.floats(300_000)), "large")
        for values in (np.arange(4.0), np.arange(4, dtype=">f8"), [0.0, 1.0, 2.0, 3.0]):
            assert proxy.mean(values) == 1.5
        with pytest.raises(TypeError, match=r"argument 'values'\[0\] must be a number, not str"):
            proxy.mean(np.array(["a"]))
    with Pyro5.api.Proxy(arrays.uri("t.native")) as proxy:
        assert proxy.array(5) == proxy.floats(5)


def test_python_objects_are_refused_by_name(arrays):
    with connect(arrays) as proxy:
        for call in (lambda: proxy.same(np.array([object()])), lambda: proxy.same({"x": [np.array([None])]})):
            with pytest.raises(ferrolab.SerializeError, match="a numpy array of Python objects .dtype object. cannot be sent"):
                call()
        with pytest.raises(ferrolab.SerializeError, match="the field 'label' of a numpy array") as caught:
            proxy.same(np.zeros(1, dtype=[("count", "i4"), ("label", "O")]))
        assert caught.value.outcome == "not started"
        with pytest.raises(Exception, match="dtype object.*'objects' of service 't.hosted'"):
            proxy.objects()
        with pytest.raises(Exception, match="the field 'label' of a numpy array .*'labelled'"):
            proxy.labelled()


def test_limits_hold_for_the_elements_of_arrays(arrays):
    with connect(arrays, "t.limited") as proxy:
        proxy.table = np.array([[0.0, 10.0]])
        refused = [
            np.array([1.0, 10.5]),
            np.array([1, -1], dtype=">i2"),
            np.array([np.nan]),
            np.array([11], dtype="f2"),
            np.ma.array([1.0, 99.0], mask=[0, 1]),
            np.array([(1.0, 11.0)], dtype=[("a", "f8"), ("b", "f8")]),
            np.array(["2020-01-01"], dtype="M8[s]"),
        ]
        for value in refused:
            with pytest.raises(Exception, match="table"):
                proxy.table = value
        assert proxy.table.tolist() == [[0.0, 10.0]]


def test_an_array_beyond_the_limit_is_refused_and_the_connection_lives(arrays):
    with connect(arrays, max_message=1 << 20) as proxy:
        with pytest.raises(ferrolab.MessageTooLargeError, match="max_message"):
            proxy.frame()
        assert proxy.frame(2, 2).tolist() == [[0, 1], [2, 3]]
