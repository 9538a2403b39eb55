"""The service card of Python classes: what a driver says of itself, without being asked."""

import sys

import pytest

from drivers import annotated
from ferrolab.worker import describe, exposure

TEXTS = ["a", "b", "c", "d"]


@pytest.fixture(autouse=True)
def untouched():
    annotated.touched.clear()
    yield
    assert annotated.touched == [], "describing has asked the driver"


def card_of(cls, expose=None):
    members = exposure.members(cls, exposure.Selection(expose) if expose else exposure.MARKED)
    return describe.card(cls, members)


@pytest.fixture(scope="module")
def everything():
    return card_of(annotated.Everything)["members"]


def types_of(member):
    return {one["name"]: one.get("type", "any") for one in member["parameters"]}


# Types of the parameters in order, then that of the result.
FORMS = {
    "plain": ["int", "float", "str", "bool", "complex"],
    "bare": ["any", "any", "any", "any", "any"],
    "containers": [
        ["list", "float"], ["dict", "str", "int"], ["tuple", "int", "str"], ["tuple_of", "int"]],
    "sequence": [["list", "int"], ["list", "any"], ["dict", "any", "any"], "bytes", "none"],
    "unions": [
        ["union", "int", "none"], ["union", "int", "str", "none"], "any",
        ["union", "int", ["enum", "fast", "slow"]], "any"],
    "enums": [["enum", "fast", "slow"], ["enum", "fast", "slow"]],
    "new_type": ["float", "float"],
    "texts": ["int", ["union", "float", "none"], "any", ["list", "int"], ["enum", "fast", "slow"]],
    "new_texts": [
        ["union", "int", "none"], ["list", "float"], ["dict", "str", ["list", "int"]], "any"],
    "hostile": ["any"] * 7,
    "wrapped": ["int", "float"],
    "static": ["int", "any"],
    "of_class": ["int", "any"],
    "items": ["float"],
    "generated": ["int", "any"],
    "typed_generator": ["int"],
}


@pytest.mark.parametrize("name", FORMS)
def test_types_of_every_form(everything, name):
    member = everything[name]
    assert [*types_of(member).values(), member.get("type", "any")] == FORMS[name]


def test_kinds_defaults_and_texts(everything):
    assert {n: m["kind"] for n, m in everything.items() if m["kind"] != "method"} == {
        "items": "stream", "generated": "stream", "typed_generator": "stream",
        "voltage": "property", "serial": "property"}
    assert everything["plain"]["parameters"] == [
        {"name": "a", "required": True, "type": "int"},
        {"name": "b", "required": False, "type": "float", "default": 1.5},
        {"name": "c", "required": False, "type": "str", "default": "x", "kind": "keyword"},
        {"name": "d", "required": False, "type": "bool", "default": False, "kind": "keyword"}]
    assert [one.get("kind") for one in everything["bare"]["parameters"]] == [
        None, None, "variadic", "keywords"]
    assert everything["enums"]["parameters"][0]["default"] == "fast"
    assert everything["later"]["oneway"] is True and "oneway" not in everything["plain"]
    assert everything["wrapped"]["doc"] == "Calls another one."
    card = card_of(annotated.Everything)
    assert card["class"] == "Everything"
    assert card["doc"] == "A class with every form of an annotation.\n\nThe second paragraph."


@pytest.mark.skipif(sys.version_info < (3, 9), reason="typing has no Annotated")
def test_units_and_ranges(everything):
    drive = everything["drive"]["parameters"]
    assert drive[0] == {
        "name": "volts", "required": True, "type": "float", "unit": "V", "minimum": 0.0,
        "maximum": 30.0}
    assert drive[1]["type"] == "int"
    assert everything["voltage"] == {
        "kind": "property", "readable": True, "writable": True, "type": "float", "unit": "V",
        "maximum": 30.0, "doc": "Volts at the output."}
    assert everything["serial"]["writable"] is False


def test_nothing_is_guessed():
    members = card_of(annotated.Bare)["members"]
    assert members["go"] == {"kind": "method", "parameters": [
        {"name": "x", "required": True}, {"name": "y", "required": False, "default": 1}]}
    assert members["value"] == {"kind": "property", "readable": True, "writable": False}
    attributes = card_of(annotated.Attributes, "all")["members"]
    assert attributes["limit"] == {
        "kind": "property", "readable": True, "writable": True, "type": "float"}
    assert "type" not in attributes["count"]


def test_a_class_of_thousands(monkeypatch):
    # No member is described by running anything of the driver's, however many there are.
    members = exposure.members(annotated.many, exposure.Selection("all"))
    card = describe.card(annotated.many, members)
    assert len(card["members"]) == 2000
    assert all(len(member["parameters"]) == 4 for member in card["members"].values())


def test_what_is_too_much_for_a_message_is_left_out():
    def described(count, text):
        names = ["m%d" % index for index in range(count)]
        card = {"class": "C", "members": {name: {"kind": "method", "doc": text} for name in names}}
        return {"lab.a": {"methods": names, "oneway": [], "attrs": [], "card": card}}

    few, texts, many = described(10, "x"), described(2000, "x" * 4000), described(200_000, "x")
    assert describe.fit(few)["lab.a"]["card"]["members"]["m1"]["doc"] == "x"
    assert describe.fit(texts)["lab.a"]["card"]["members"]["m1"] == {"kind": "method"}
    assert "card" not in describe.fit(many)["lab.a"] and len(many["lab.a"]["methods"]) == 200_000


def test_what_the_card_holds_is_plain(everything):
    import marshal

    marshal.dumps(everything)


def test_ranges_and_units_are_checked():
    from ferrolab import Range, Unit

    assert repr(Range(0, 5)) == "Range(0, 5)" and repr(Unit("V")) == "Unit('V')"
    for wrong in ((5, 1), (float("nan"), 1), (0, float("inf"))):
        with pytest.raises(ValueError):
            Range(*wrong)
    for wrong in (("0", 1), (True, 1)):
        with pytest.raises(TypeError):
            Range(*wrong)
    with pytest.raises(TypeError):
        Unit(5)
