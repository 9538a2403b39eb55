"""Functions that a driver registers for its classes are asked wherever Pyro5 asks them."""

import Pyro5.api
import Pyro5.errors
import pytest
from harness import SERVERTYPES, Service, both_sides, class_and_own_words, every_serializer, outcome

SERVICES = {
    "lab.camera": Service("converted", "Camera", "single"),
    "lab.other": Service("converted", "Camera", "session"),
}
# Of the driver, which is not imported here: its converters would hold for the whole process.
MADE = [
    "array", "scalar", "frame", "nested", "complex", "complex in a list", "ordered", "unreadable",
    "unreadable in a list",
]
CLASSES = ["numpy.ndarray", "numpy.scalar", "converted.Frame", "converted.Jammed", "made.complex", "made.ordered"]


@pytest.fixture(scope="module", params=SERVERTYPES)
def sides(request):
    with both_sides(SERVICES, SERVERTYPE=request.param) as made:
        yield made


@pytest.fixture(autouse=True)
def client():
    """A client that shows the dicts of these classes as they have come."""
    for name in CLASSES:
        Pyro5.api.register_dict_to_class(name, lambda name, made: ["made of", name, dict(made)])
    yield
    for name in CLASSES:
        Pyro5.api.unregister_dict_to_class(name)


@every_serializer
@pytest.mark.parametrize("name", MADE)
def test_a_result_is_what_the_registered_function_makes(sides, serializer, name):
    def script(side):
        with side.proxy("lab.camera", serializer=serializer) as camera:
            return camera.made(name)

    sides.assert_same(script, class_and_own_words)


@every_serializer
@pytest.mark.parametrize("name", ["array", "frame", "nested", "complex", "ordered"])
def test_the_items_of_a_stream_are_too(sides, serializer, name):
    def script(side):
        with side.proxy("lab.camera", serializer=serializer) as camera:
            return list(camera.stream(name, name))

    sides.assert_same(script, class_and_own_words)


@every_serializer
def test_a_stream_that_fails_midway_says_so_and_hurts_no_other(sides, serializer):
    with sides.ours.proxy("lab.camera", serializer=serializer) as camera:
        with sides.ours.proxy("lab.other", serializer=serializer) as other:
            stream, neighbour = camera.stream("array", "unreadable", "array"), other.stream("array", "frame")
            assert next(stream)[:2] == next(neighbour)[:2] == ["made of", "numpy.ndarray"]
            with pytest.raises(ZeroDivisionError, match="no scale .*'stream' of service 'lab.camera', with"):
                next(stream)
            # As with Pyro5: what cannot be sent is no end of its generator.
            assert next(stream)[:2] == ["made of", "numpy.ndarray"]
            assert next(neighbour)[:2] == ["made of", "converted.Frame"]
            assert camera.made("array")[1] == "numpy.ndarray"


@every_serializer
@pytest.mark.parametrize("name", ["frame", "nested", "array", "scalar", "complex", "ordered"])
def test_the_results_of_a_batch_are_too(sides, serializer, name):
    def script(side):
        with side.proxy("lab.camera", serializer=serializer) as camera:
            batch = Pyro5.api.BatchProxy(camera)
            batch.made(name)
            batch.made("complex in a list")
            return list(batch())

    sides.assert_same(script, class_and_own_words)


@every_serializer
def test_a_property_is_too(sides, serializer):
    def script(side):
        with side.proxy("lab.other", serializer=serializer) as camera:
            before = camera.held
            camera.held = {"__class__": "converted.Frame", "kind": "DarkFrame", "rows": [1]}
            return before, camera.held

    sides.assert_same(script)


@every_serializer
def test_an_exception_is_too(sides, serializer):
    def script(side):
        with side.proxy("lab.camera", serializer=serializer) as camera:
            return [outcome(lambda: camera.jam("x")), outcome(camera.fail), outcome(camera.jam_in_a_list)]

    sides.assert_same(lambda side: [class_and_own_words(one) for one in script(side)])


@every_serializer
@pytest.mark.parametrize("argument", [
    {"__class__": "converted.Frame", "kind": "Frame", "rows": [1, 2]},
    [{"__class__": "converted.Frame", "kind": "DarkFrame", "rows": []}],
    {"deep": {"__class__": "numpy.ndarray", "dtype": "int32", "items": [1, 2]}},
    {"__class__": "numpy.ndarray", "dtype": "int32", "items": [[1, 2]]},
    {"__class__": "converted.broken", "value": 5},
    {"__class__": "converted.unknown", "value": 5},
], ids=str)
def test_an_argument_is_what_the_registered_function_makes(sides, serializer, argument):
    def script(side):
        with side.proxy("lab.camera", serializer=serializer) as camera:
            return camera.seen(argument, keyword=argument)

    sides.assert_same(script, lambda outcome: outcome[:2])


@every_serializer
@pytest.mark.parametrize("made, cause", [
    ("converted.broken", "the client sent 5"), ("converted.unknown", "unsupported serialized class: converted.unknown"),
])
def test_an_argument_that_cannot_be_read_is_named(sides, serializer, made, cause):
    with sides.ours.proxy("lab.camera", serializer=serializer) as camera:
        with pytest.raises(Exception, match=cause) as raised:
            camera.seen({"__class__": made, "value": 5})
    assert f"in the arguments of 'seen' of service 'lab.camera', with {serializer}" in str(raised.value)


@every_serializer
def test_an_error_of_a_registered_function_names_the_call(sides, serializer):
    with sides.ours.proxy("lab.camera", serializer=serializer) as camera:
        with pytest.raises(Pyro5.errors.SerializeError) as raised:
            camera.missing_file()
    text = str(raised.value)
    assert text.startswith("FileNotFoundError: [Errno 2] no such file: '/calibration'")
    assert f"in the result of 'missing_file' of service 'lab.camera', with {serializer}: Unreadable" in text
    assert any("unreadable_to_dict" in line for line in raised.value._pyroTraceback)
