"""The service card as clients see it: signatures and texts of members.

It comes from a server that may lie: whatever does not have the expected form counts as not there.
"""

import inspect

_KINDS = {
    "positional": inspect.Parameter.POSITIONAL_ONLY,
    "variadic": inspect.Parameter.VAR_POSITIONAL,
    "keyword": inspect.Parameter.KEYWORD_ONLY,
    "keywords": inspect.Parameter.VAR_KEYWORD,
}
_WORDS = {"any": "Any", "none": "None"}
# Levels of nesting of a type that are shown.
_MAX_DEPTH = 8


class Card:
    """Descriptions of members by their names; empty for daemons that have no card."""

    __slots__ = ("_members", "version")

    def __init__(self, answer=None):
        card = answer.get("ferrolab") if isinstance(answer, dict) else None
        members = card.get("members") if isinstance(card, dict) else None
        self._members = members if isinstance(members, dict) else {}
        # A hash of the card; None without one.
        self.version = card.get("version") if isinstance(card, dict) else None

    def text(self, name):
        """The documentation of a member, with the units and limits of its values."""
        member = self._member(name)
        lines = [_text(member.get("doc"))]
        facts = _facts(member)
        if facts and member.get("kind") != "property":
            facts = "returns: " + facts
        lines.append(facts)
        for parameter in _list(member.get("parameters")):
            facts = _facts(parameter) if isinstance(parameter, dict) else ""
            if facts:
                lines.append("{}: {}".format(_text(parameter.get("name")), facts))
        text = "\n".join(filter(None, lines[1:]))
        return "\n\n".join(filter(None, (lines[0], text))) or None

    def signature(self, name):
        """The signature of a method; None where it is not known."""
        member = self._member(name)
        parameters = member.get("parameters")
        if member.get("kind") not in ("method", "stream") or not isinstance(parameters, list):
            return None
        try:
            result = _type_text(member.get("type", "any"))
            if member["kind"] == "stream":
                result = "Iterator[{}]".format(result)
            parameters = [_parameter(one) for one in parameters]
            return inspect.Signature(parameters, return_annotation=_Annotation(result))
        except (AttributeError, LookupError, TypeError, ValueError):
            return None  # names or an order that Python does not have

    def _member(self, name):
        member = self._members.get(name)
        return member if isinstance(member, dict) else {}


class _Annotation(str):
    """The text of a type; signatures show it without quotes."""

    __slots__ = ()

    def __repr__(self):
        return str(self)


def _parameter(one):
    kind = _KINDS.get(one.get("kind"), inspect.Parameter.POSITIONAL_OR_KEYWORD)
    default = inspect.Parameter.empty
    if kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        if one.get("required") is not True:
            default = one.get("default", ...)
    annotation = inspect.Parameter.empty
    if "type" in one:
        annotation = _Annotation(_type_text(one["type"]))
    return inspect.Parameter(one["name"], kind, default=default, annotation=annotation)


def _type_text(kind, depth=_MAX_DEPTH):
    """A type as Python writes it."""
    if isinstance(kind, str):
        return _WORDS.get(kind, kind)
    if not isinstance(kind, (list, tuple)) or not kind or not depth:
        return "Any"
    head = kind[0]
    if head == "enum":
        return "Literal[{}]".format(", ".join(map(repr, kind[1:])))
    inner = [_type_text(item, depth - 1) for item in kind[1:]]
    if head == "union":
        return " | ".join(inner)
    if head == "tuple_of":
        return "tuple[{}, ...]".format(*inner)
    return "{}[{}]".format(head, ", ".join(inner))


def _facts(value):
    """The unit and the limits of a value, in words."""
    unit = _text(value.get("unit"))
    least, most = value.get("minimum"), value.get("maximum")
    choices = value.get("choices")
    if isinstance(choices, list):
        limits = "one of " + ", ".join(map(repr, choices))
    elif least is not None and most is not None:
        limits = "{:g} to {:g}".format(_number(least), _number(most))
    elif least is not None:
        limits = "at least {:g}".format(_number(least))
    elif most is not None:
        limits = "at most {:g}".format(_number(most))
    else:
        return unit
    return " ".join(filter(None, (limits, unit)))


def _number(value):
    return value if isinstance(value, (int, float)) else float("nan")


def _text(value):
    return value if isinstance(value, str) else ""


def _list(value):
    return value if isinstance(value, list) else []
