"""Errors reach a stock client as from Pyro5: the same class, arguments and attributes."""

import pytest
from faulty import RAISED
from harness import Service, every_serializer, outcome, proxy

SERVICES = {"t.faulty": Service("faulty", "Faulty", "session")}
# Their texts hold a memory address or the words of one serializer's implementation.
TEXT_MAY_DIFFER = {"unserializable argument", "unprintable argument", "exception argument"}
# Pyro5's daemon fails over its own error message there.
LOSES_THE_CONNECTION = {("unprintable argument", "marshal")}


def class_only(outcome):
    return outcome[:2]


def told_at_all(outcome):
    """Where Pyro5 loses the connection over an exception, ours may tell of it."""
    return outcome[:1]


def invoke(method, *args, **kwargs):
    """A call past the client's own look at the metadata, as from a client that means harm."""

    def script(side):
        with side.proxy("t.faulty") as faulty:
            return faulty._pyroInvoke(method, args, kwargs)

    return script


@every_serializer
@pytest.mark.parametrize("name", RAISED)
def test_an_exception_arrives_as_from_pyro5(sides, serializer, name):
    def script(side):
        with side.proxy("t.faulty", serializer=serializer) as faulty:
            return faulty.fail(name)

    view = class_only if name in TEXT_MAY_DIFFER else lambda outcome: outcome
    if (name, serializer) in LOSES_THE_CONNECTION:
        view = told_at_all
    expected = sides.assert_same(script, view)
    assert expected[0] == "raised"


def test_the_traceback_shows_the_drivers_lines(sides):
    for side in (sides.stock, sides.ours):
        with side.proxy("t.faulty") as faulty, pytest.raises(RuntimeError) as caught:
            faulty.chained()
        text = "".join(caught.value._pyroTraceback)
        for line in ("KeyError", "faulty.py", "in chained", "raise RuntimeError", "outer"):
            assert line in text, f"{side.name}: {text}"


# Members that a client may not reach, or calls wrongly. The words of the first group are Pyro5's
# own; those of the second are Python's and name the class, which a server may have derived from.

REFUSED = {
    "private": invoke("_private"),
    "private value": invoke("_secret_value"),
    "mangled": invoke("__private"),
    "constructor": invoke("__init__"),
    "class": invoke("__class__"),
    "getattribute": invoke("__getattribute__", "hidden"),
    "reduce": invoke("__reduce__"),
    "str": invoke("__str__"),
    "unexposed method": invoke("hidden"),
    "unexposed dunder": invoke("__getitem__", 0),
    "unexposed property read": invoke("__getattr__", "hidden_property"),
    "unexposed property set": invoke("__setattr__", "hidden_property", 1),
    "property without a setter": invoke("__setattr__", "fixed", 1),
    "method read as a property": invoke("__getattr__", "fine"),
    "plain attribute read as a property": invoke("__getattr__", "plain_attribute"),
    "plain attribute set as a property": invoke("__setattr__", "plain_attribute", 1),
    "failing property read": invoke("__getattr__", "failing"),
    "failing property set": invoke("__setattr__", "failing", 7),
    "too few arguments": invoke("two", 1),
    "too many arguments": invoke("two", 1, 2, 3),
    "argument twice": invoke("two", 1, a=2),
    "unknown keyword": invoke("two", 1, 2, c=3),
    "keyword only by position": invoke("defaults", 1, 2, 3),
}

WORDED_BY_PYTHON = {
    "unknown method": (invoke("nope"), "nope"),
    "dotted name": (invoke("fine.__self__"), "fine.__self__"),
    "empty name": (invoke(""), ""),
    "unknown property": (invoke("__getattr__", "nope"), "nope"),
    "unknown property set": (invoke("__setattr__", "nope", 1), "nope"),
    "property called": (invoke("fixed"), "fixed"),
    "plain attribute called": (invoke("plain_attribute"), "plain_attribute"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_pyro5_refuses_is_refused_in_its_words(sides, name):
    expected = sides.assert_same(REFUSED[name])
    assert expected[0] == "raised"


@pytest.mark.parametrize("name", WORDED_BY_PYTHON)
def test_what_python_refuses_is_refused_by_name(sides, name):
    script, named = WORDED_BY_PYTHON[name]
    expected = sides.assert_same(script, class_only)
    assert expected[0] == "raised"
    assert named in outcome(lambda: script(sides.ours))[2]


@pytest.mark.parametrize(
    "script",
    [
        invoke("two", 1, 2),
        invoke("two", b=2, a=1),
        invoke("defaults", 1),
        invoke("defaults", 1, c=5),
        invoke("__len__"),
        invoke("__getattr__", "fixed"),
    ],
)
def test_what_is_allowed_is_done(sides, script):
    assert sides.assert_same(script)[0] == "returned"


def test_the_proxy_learns_the_same_members(sides):
    def script(side):
        with side.proxy("t.faulty") as faulty:
            faulty._pyroBind()
            return [faulty._pyroMethods, faulty._pyroAttrs, faulty._pyroOneway]

    sides.assert_same(script)


def test_a_client_side_refusal_is_the_same(sides):
    sides.assert_same(lambda side: side.proxy("t.faulty").hidden, class_only)
    sides.assert_same(lambda side: setattr(side.proxy("t.faulty"), "hidden", 1), class_only)


def test_an_unknown_object_is_refused_in_pyro5s_words(sides):
    def script(side):
        location = side.uris["t.faulty"].rpartition("@")[2]
        return proxy(f"PYRO:t.nobody@{location}")._pyroBind()

    expected = sides.assert_same(script, class_only)
    assert expected[1] == "Pyro5.errors.CommunicationError"
    assert "unknown object" in outcome(lambda: script(sides.ours))[2]


# Which the stock client answers by closing its connection itself.
CLOSED_BY_THE_CLIENT = {"custom", "custom pyro error", "custom value error", "serialize"}


def test_a_connection_goes_on_after_errors(sides):
    with sides.ours.proxy("t.faulty") as faulty:
        faulty._pyroBind()
        connection = faulty._pyroConnection
        for name in RAISED.keys() - CLOSED_BY_THE_CLIENT:
            outcome(lambda: faulty.fail(name))
            assert faulty._pyroConnection is connection, name
        outcome(lambda: faulty._pyroInvoke("_private", (), {}))
        assert faulty.fine() == "fine"
        assert faulty._pyroConnection is connection


def test_a_oneway_failure_is_not_answered(sides):
    def script(side):
        with side.proxy("t.faulty") as faulty:
            return [faulty.quietly(), faulty.fine()]

    assert sides.assert_same(script) == ("returned", "list[None, 'fine']")
