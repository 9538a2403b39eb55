"""Conversion of drivers' results to plain data.

The rules by which objects become data are those of Pyro5's serializers, which differ from each
other: serpent writes a `timedelta` as seconds, json refuses it. The bytes are written by the
daemon; this module only sees to it that nothing but plain data goes there.

`marshal` takes anything that has a buffer for bytes, so a numpy array would silently become a
bytes object. Therefore every result is looked at by exact type. Plain results, by far the most,
are found out at C speed and sent as they are.
"""

from collections.abc import Iterator

from . import pyro
from .packed_rules import JsonRules, MarshalRules, MsgpackRules
from .rules import JSON, MARSHAL, is_plain, too_deep
from .serpent_rules import SerpentRules

RULES = {rules.number: rules for rules in (SerpentRules, MarshalRules, JsonRules, MsgpackRules)}
NAMES = {1: "serpent", 2: "marshal", 3: "json", 4: "msgpack"}

# Results that every serializer writes as what they are.
SIMPLE = JsonRules.atoms

# Characters of a value's repr that an error shows.
_SHOWN_CHARACTERS = 60


def plain(value, serializer, hosted=None):
    """`value` as plain data, by the rules of the serializer with that id.

    `hosted` finds the proxy of a registered object (`hosted.proxy_state(obj)`), if there is any.
    """
    if RULES[serializer].is_plain(value):
        return value
    try:
        return RULES[serializer](hosted, False).convert(value, 0)
    except RecursionError:
        raise too_deep() from None


def result(value, serializer, hosted, service, member, keeps_arrays=False):
    """The result of a service's member as plain data, in which arrays may stay, marked. An error
    says what cannot be sent."""
    if RULES[serializer].is_plain(value):
        return value
    rules = RULES[serializer](hosted, True)
    rules.keeps_arrays = keeps_arrays
    try:
        return rules.convert(value, 0)
    except RecursionError:
        raise _named(too_deep(), rules, service, member) from None
    except Exception as error:
        named = _named(error, rules, service, member)
        if named is error:
            raise
        raise named from error


def arguments(args, kwargs, serializer, service, member):
    """Positional and keyword arguments with objects in place of class dicts, as Pyro5 makes them.

    An error of Pyro5's, or of a function that the driver has registered, names the call.
    """
    try:
        return pyro.recreate(args, serializer), pyro.recreate(kwargs, serializer)
    except Exception as error:
        place = " (in the arguments of {} of service '{}', with {}; {})".format(
            "'{}'".format(member) if member else "a batch",
            service,
            NAMES[serializer],
            "send plain data, or register a function for the class in the driver, with "
            "register_dict_to_class",
        )
        named = _with_place(error, place)
        if named is error:
            raise
        raise named from error


def is_registered(value, serializer):
    """Whether a function is registered that the serializer asks for `value`."""
    if serializer == SerpentRules.number:
        found = (cls for cls in list(pyro.serpent_converters()) if isinstance(value, cls))
        return next(found, None) is not None
    replaced = pyro.type_replacement(type(value), serializer) is not None
    return replaced or pyro.class_converter(value) is not None


def _named(error, rules, service, member):
    """The error with the call, the value and the serializer in its text; of the same class, if that
    has nothing but a text."""
    (value,) = rules.failed or (None,)
    place = " (in the result of '{}' of service '{}', with {}: {}; {})".format(
        member, service, NAMES[rules.number], _shown(value), _advice(value, rules)
    )
    return _with_place(error, place)


def _with_place(error, place):
    """The error with `place` in its text; a `SerializeError` where it has no text alone."""
    if len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (error.args[0] + place,)
        return error
    text = "{}: {}".format(type(error).__name__, error)
    return pyro.error_class("SerializeError")(text + place)


def _shown(value):
    """Class and beginning of a value whose `repr` may be broken or long."""
    try:
        text = repr(value)
    except Exception:
        text = "(no repr)"
    if len(text) > _SHOWN_CHARACTERS:
        text = text[:_SHOWN_CHARACTERS] + "…"
    return "{} {}".format(type(value).__name__, text)


def _has_converter(value):
    try:
        return pyro.class_converter(value) is not None
    except Exception:
        return False  # a class that cannot be looked at


def _advice(value, rules):
    """Advice for a value that cannot be sent."""
    if issubclass(type(value), Iterator):
        return "return a list: only a whole result, or an item of a stream, can be an iterator"
    if rules.number == JSON and is_plain(value):
        return "json has no form for it: have the client use serpent, or return numbers and texts"
    if rules.has_raised:
        return "the function that is registered for its class raised this"
    if any(asked is value for asked in rules.asked):
        return "the function that is registered for its class did not convert it"
    if rules.number == MARSHAL and _has_converter(value):
        return (
            "marshal asks the function that is registered for its class only where the object is "
            "the whole result: have the client use serpent, or return plain data"
        )
    return "return plain data, or register a function with register_class_to_dict"
