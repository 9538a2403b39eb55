"""Every serializer carries every value as Pyro5 does: the same result or the same error."""

import pytest
from harness import SERIALIZERS, Service, class_and_own_words, outcome
from harness.values import HARD, VALUES
from mirror import MADE

SERVICES = {
    "t.mirror": Service("mirror", "Mirror", "session"),
    "t.numpy": Service("mirror", "Numpy", "single"),
}


@pytest.fixture(params=SERIALIZERS)
def serializer(request):
    return request.param


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_as_from_pyro5(sides, serializer, name):
    def script(side):
        with side.proxy("t.mirror", serializer=serializer) as mirror:
            return mirror.same(VALUES[name])

    if (serializer, name) == ("serpent", "ordered dict"):
        # Serpent has a form for it that no stock client or driver reads.
        assert script(sides.ours) == {"b": 1, "a": 2}
        assert list(script(sides.ours)) == ["b", "a"]
    else:
        sides.assert_same(script, class_and_own_words)


@pytest.mark.parametrize("name", VALUES)
def test_a_value_arrives_in_the_driver_as_under_pyro5(sides, serializer, name):
    def script(side):
        with side.proxy("t.mirror", serializer=serializer) as mirror:
            return mirror.seen(VALUES[name], VALUES[name], keyword=VALUES[name])

    if (serializer, name) == ("serpent", "ordered dict"):
        # Three objects: serpent takes the second use of one for a circle.
        seen = []
        for kind in (dict, type(VALUES[name])):
            with sides.ours.proxy("t.mirror", serializer=serializer) as mirror:
                one, two, three = (kind(VALUES[name]) for _ in range(3))
                seen.append(mirror.seen(one, two, keyword=three))
        assert seen[0] == seen[1]
    else:
        sides.assert_same(script, class_and_own_words)


@pytest.mark.parametrize("name", ["int 200 bits", "nan", "bytes all", "tuple", "set", "dict"])
def test_a_property_carries_a_value_as_under_pyro5(sides, serializer, name):
    def script(side):
        with side.proxy("t.mirror", serializer=serializer) as mirror:
            before = mirror.held
            mirror.held = VALUES[name]
            return before, mirror.held

    sides.assert_same(script)


@pytest.mark.parametrize("name", MADE)
def test_what_pyro5_carries_out_of_a_driver_ours_carries_alike(sides, serializer, name):
    """Values that Pyro5 refuses may be refused or carried, as long as the connection goes on."""
    expected = outcome(lambda: sides.stock.proxy("t.mirror", serializer=serializer).made(name))
    with sides.ours.proxy("t.mirror", serializer=serializer) as mirror:
        actual = outcome(lambda: mirror.made(name))
        if expected[0] == "returned":
            assert actual == expected
        assert mirror.same("still here") == "still here"


@pytest.mark.parametrize("name", HARD)
def test_a_daemon_survives_what_is_hard_to_carry(sides, serializer, name):
    with sides.ours.proxy("t.mirror", serializer=serializer) as mirror:
        outcome(lambda: mirror.same(HARD[name]))
        assert mirror.same("still here") == "still here"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("float64", 1.5),
        ("float32", 0.5),
        ("int32", -7),
        ("uint64", 2**64 - 1),
        ("bool", True),
        ("vector", [1.0, 2.0]),
        ("matrix", [[0, 1, 2], [3, 4, 5]]),
        ("in a dict", {"trace": [1, 2], "peak": 2.0}),
    ],
)
def test_numpy_becomes_plain_numbers_and_lists(sides, serializer, name, expected):
    """Stock Pyro5 refuses most of these; they are what instruments' drivers return."""
    with sides.ours.proxy("t.numpy", serializer=serializer) as numpy:
        value = numpy.made(name)
    assert value == expected
    assert type(value) is type(expected)
