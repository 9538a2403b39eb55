"""Codec of serpent, the serializer of Pyro5's own clients: values as Python literals.

Python's parser (`ast.literal_eval`) is no decoder for a server's bytes: deep nesting can exhaust
the C stack, and a list of 100,000 floats takes a second. This decoder reads tokens with one regular
expression, limits nesting, and takes lists of numbers in one step.
"""

import math
import re

from .plain import convert

HEAD = "# serpent utf-8 python3.2\n"
# Levels of nested containers.
MAX_DEPTH = 200
# Python's own limit for the decimal digits of an int in a text.
MAX_INT_DIGITS = 4300

_REPR_TYPES = frozenset((int, str, bool, type(None)))
_NUMBERS = frozenset((int, float))

_NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"
_TOKEN = re.compile(
    r"""
      (?P<number>-?{n})(?![0-9a-zA-Z_])
    | (?P<text>b?['"])
    | (?P<open>[\[{{])
    | (?P<complex>\((?P<re>-?{n})(?P<im>[+-]{n})j\)|(?P<pure>-?{n})j)
    | (?P<tuple>\()
    | (?P<name>None|True|False)\b
    """.format(n=_NUMBER),
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))", re.DOTALL
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\n": ""}
_NUMBER_LIST = re.compile(r"[-+0-9.eE, ]*")
_NAMES = {"None": None, "True": True, "False": False}
_CLOSE = {"[": "]", "(": ")", "{": "}"}


def dumps_call(object_id, method, args, kwargs):
    """The payload of a call."""
    text = "{}({},{},{},{})".format(HEAD, repr(object_id), repr(method), _text(args), _text(kwargs))
    return text.encode("utf-8", "surrogatepass")


def dumps(value):
    """A value as serpent's text."""
    return (HEAD + _text(value)).encode("utf-8", "surrogatepass")


def _text(value):
    kind = type(value)
    if kind in _REPR_TYPES:
        return repr(value)
    if kind is float:
        return _float_text(value)
    if kind is tuple or kind is list:
        kinds = set(map(type, value))
        if kinds <= _REPR_TYPES:
            return repr(value)
        if kinds <= _NUMBERS:
            text = repr(value)
            if "n" not in text:
                return text
        items = ",".join(map(_text, value))
        if kind is list:
            return "[" + items + "]"
        return "(" + items + (",)" if len(value) == 1 else ")")
    if kind is dict:
        return "{" + ",".join(_text(k) + ":" + _text(v) for k, v in value.items()) + "}"
    if kind is set or kind is frozenset:
        # As Pyro5 has it: no literal stands for an empty set.
        return "{" + ",".join(map(_text, value)) + "}" if value else "()"
    if kind is bytes:
        return repr(value)
    if kind is complex:
        return "({}{:+}j)".format(_float_text(value.real), value.imag)
    return _text(convert(value))


def _float_text(value):
    if math.isfinite(value):
        return repr(value)
    if value != value:
        return "{'__class__':'float','value':'nan'}"
    return "1e30000" if value > 0 else "-1e30000"


def loads(data):
    """The value in `data`; a ValueError for anything else."""
    text = bytes(data).decode("utf-8", "surrogatepass")
    at = 0
    if text.startswith("#"):
        at = text.find("\n") + 1
    value, at = _read(text, at, 0)
    if at != len(text) and text[at:].strip(" \n"):
        raise ValueError("text follows the value: {!r}".format(text[at : at + 20]))
    return value


def _read(text, at, depth):
    match = _TOKEN.match(text, at)
    if match is None:
        raise ValueError("not a literal: {!r}".format(text[at : at + 20]))
    kind = match.lastgroup
    if kind == "number":
        return _number(match.group()), match.end()
    if kind == "text":
        return _read_text(text, match)
    if kind == "name":
        return _NAMES[match.group()], match.end()
    if kind == "complex":
        if match.group("pure"):
            return complex(0, float(match.group("pure"))), match.end()
        return complex(float(match.group("re")), float(match.group("im"))), match.end()
    if depth >= MAX_DEPTH:
        raise ValueError("more than {} levels are nested".format(MAX_DEPTH))
    return _container(text, match.group(), match.end(), depth + 1)


def _number(text):
    if "." in text or "e" in text or "E" in text:
        return float(text)
    if len(text) > MAX_INT_DIGITS:
        raise ValueError("an int has more than {} digits".format(MAX_INT_DIGITS))
    return int(text)


def _read_text(text, match):
    """A text or bytes, whose opening quote has matched; its end is searched, as a repetition in a
    regular expression takes 170 bytes of memory for each character."""
    opening, start = match.group(), match.end()
    quote = opening[-1]
    end = text.find(quote, start)
    while end >= 0:
        escapes = end
        while escapes > start and text[escapes - 1] == "\\":
            escapes -= 1
        if (end - escapes) % 2 == 0:
            break
        end = text.find(quote, end + 1)
    else:
        raise ValueError("a text is not closed: {!r}".format(text[start : start + 20]))
    body = text[start:end]
    if "\n" in body and "\n" in body.replace("\\\\", "").replace("\\\n", ""):
        raise ValueError("a text is not closed: {!r}".format(text[start : start + 20]))
    value = _unescape(body)
    return (value.encode("latin-1") if opening[0] == "b" else value), end + 1


def _unescape(text):
    return _ESCAPE.sub(_escaped, text) if "\\" in text else text


def _escaped(match):
    for group in (1, 2, 3):
        if match.group(group):
            return chr(int(match.group(group), 16))
    if match.group(4):
        return chr(int(match.group(4), 8))
    letter = match.group(5)
    if letter in "xuUN":
        raise ValueError("an escape is cut short: {!r}".format(match.group()))
    return _ESCAPES.get(letter, letter)


def _container(text, opening, at, depth):
    close = _CLOSE[opening]
    if opening != "{":
        end = _NUMBER_LIST.match(text, at).end()
        if end > at + 16 and text.startswith(close, end):
            values = [_number(part.strip(" ")) for part in text[at:end].rstrip(", ").split(",")]
            return (values if opening == "[" else tuple(values)), end + 1
    values = []
    keys = None
    while True:
        at = _blank(text, at)
        if text.startswith(close, at):
            break
        value, at = _read(text, at, depth)
        at = _blank(text, at)
        if opening == "{" and (keys is not None or not values) and text.startswith(":", at):
            keys = [] if keys is None else keys
            keys.append(value)
            value, at = _read(text, _blank(text, at + 1), depth)
            at = _blank(text, at)
        elif keys is not None:
            raise ValueError("a dict has a key without a value")
        values.append(value)
        if text.startswith(",", at):
            at += 1
        elif not text.startswith(close, at):
            raise ValueError("{!r} is not closed: {!r}".format(opening, text[at : at + 20]))
    return _made(opening, keys, values, text, at), at + 1


def _made(opening, keys, values, text, at):
    if opening == "[":
        return values
    if opening == "(":
        # A value in parentheses, without a comma, is no tuple.
        if len(values) == 1 and text[:at].rstrip(" \n")[-1] != ",":
            return values[0]
        return tuple(values)
    try:
        if keys is None:
            return set(values) if values else {}
        return dict(zip(keys, values))
    except TypeError as error:
        raise ValueError(str(error)) from None


def _blank(text, at):
    while text.startswith((" ", "\n"), at):
        at += 1
    return at
