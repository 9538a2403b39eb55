"""The service card in the client, from servers that may lie."""

import inspect

import pytest

from ferrolab.client.card import Card


def card(**members):
    return Card({"ferrolab": {"members": members, "version": "1"}})


def test_signatures_and_texts():
    go = {
        "kind": "method",
        "doc": "Goes.",
        "type": ["union", ["list", "float"], "none"],
        "unit": "mm",
        "parameters": [
            {"name": "x", "required": True, "type": "float", "unit": "mm", "minimum": 0},
            {"name": "mode", "required": False, "type": ["enum", "a", 1], "default": "a"},
            {"name": "rest", "kind": "keywords", "required": False},
        ],
    }
    known = card(go=go, value={"kind": "property", "doc": "V.", "unit": "V", "choices": [1, 2]})
    signature = known.signature("go")
    assert str(signature) == "(x: float, mode: Literal['a', 1] = 'a', **rest) -> list[float] | None"
    assert signature.parameters["x"].default is inspect.Parameter.empty
    assert known.text("go") == "Goes.\n\nreturns: mm\nx: at least 0 mm"
    assert known.text("value") == "V.\n\none of 1, 2 V"
    assert known.signature("value") is None and known.text("other") is None
    assert known.version == "1"


LIES = [
    None, 5, [], "text", {"kind": "method"}, {"kind": "method", "parameters": 5},
    {"kind": "method", "parameters": [5]}, {"kind": "method", "parameters": [{}]},
    {"kind": "method", "parameters": [{"name": "not a name"}]},
    {"kind": "method", "parameters": [{"name": "a", "kind": []}]},
    {"kind": "method", "parameters": [{"name": "a"}, {"name": "a"}]},
    {"kind": "method", "parameters": [], "type": ["tuple_of"]},
    {"kind": "method", "parameters": [{"name": "a", "type": ["tuple_of"]}]},
]


@pytest.mark.parametrize("lie", LIES, ids=repr)
def test_what_is_no_card_has_no_signature(lie):
    known = card(go=lie)
    assert known.signature("go") is None
    known.text("go")


def test_lies_around_the_members():
    deep = "int"
    for _ in range(2000):
        deep = ["list", deep]
    shown = str(card(go={"kind": "method", "parameters": [], "type": deep}).signature("go"))
    assert shown.endswith("list[Any]]]]]]]]")
    odd = {"kind": "property", "doc": 5, "unit": [], "minimum": "x", "maximum": {}, "choices": 3}
    card(go=odd).text("go")
    for answer in (None, 5, {}, {"ferrolab": 5}, {"ferrolab": {"members": []}}):
        assert Card(answer).text("x") is None and Card(answer).signature("x") is None
