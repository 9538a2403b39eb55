"""The service card of a class or a module: kinds, parameters, types and texts of its members.

A driver is looked at and never asked: no property is read, no `__getattr__` is called, nothing is
made. Facts that nobody has declared are not on the card.
"""

import inspect
import marshal
import sys
import types

from . import static_look
from .annotations import Scope, item_info, plain, value_info

# Characters of the documentation of one member, and of all members of a service together.
_MAX_DOC = 4000
_MAX_DOCS = 1 << 20

# Bytes of the cards in one message to the daemon, which takes four times as many in all.
_MAX_BYTES = 4 << 20

_MISSING = object()
_BUILTINS = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)


def card(shape, members):
    """The card of a class or a module, for members as `exposure.members` lists them."""
    described = {}
    room = _MAX_DOCS
    for kind, names in (("method", members["methods"]), ("property", members["attrs"])):
        describe = _method if kind == "method" else _property
        for name in names:
            entry = {"kind": kind}
            try:
                entry.update(describe(shape, name))
            except Exception:
                pass  # a member that cannot be described has its name
            if name in members["oneway"]:
                entry["oneway"] = True
            room -= len(entry.get("doc", ""))
            if room < 0:
                entry.pop("doc", None)
            described[name] = entry
    module = inspect.ismodule(shape)
    found = {"class": str(shape.__name__), "members": described}
    doc = _doc(vars(shape).get("__doc__")) if not module else _doc(shape.__doc__)
    if doc:
        found["doc"] = doc
    return found


def fit(described):
    """Takes the texts, then the cards, from objects that have too many members for one message.

    `described` holds members by the names of their objects; those without a card are served all
    the same.
    """
    for drop in (_drop_texts, _drop_card):
        if len(marshal.dumps(described, 2)) <= _MAX_BYTES:
            break
        for members in described.values():
            drop(members)
    return described


def _drop_texts(members):
    for member in members.get("card", {"members": {}})["members"].values():
        member.pop("doc", None)


def _drop_card(members):
    members.pop("card", None)


def parameter_names(shape, members, name):
    """The names of the arguments of a member; None where others may be taken, too, or where it is
    no member."""
    if name in members["attrs"]:
        return []
    if name not in members["methods"]:
        return None
    try:
        found = _method(shape, name).get("parameters")
    except Exception:
        return None
    if found is None or any(one.get("kind") == "keywords" for one in found):
        return None
    return [one["name"] for one in found]


def _static(shape, name):
    """The entry of a class or a module under a name: no descriptor is asked."""
    if inspect.ismodule(shape):
        return vars(shape).get(name, _MISSING)
    return static_look.member_of(shape, name, _MISSING)


def _scope(function, shape=None):
    return Scope(function.__globals__, shape if inspect.isclass(shape) else None)


# -- methods ------------------------------------------------------------------------------------


def _method(shape, name):
    member = _static(shape, name)
    is_bound = not inspect.ismodule(shape)
    if isinstance(member, (staticmethod, classmethod)):
        is_bound = isinstance(member, classmethod)
        member = member.__func__
    if isinstance(member, types.MethodType):
        member, is_bound = member.__func__, True
    if isinstance(member, _BUILTINS):
        return _builtin(member, is_bound)
    if not isinstance(member, types.FunctionType):
        return {}
    function = _unwrapped(member)
    scope = _scope(function, shape)
    notes = _annotations(function)
    result = notes.get("return", _MISSING)
    found = {"parameters": _parameters(function, is_bound, notes, scope)}
    item = None if result is _MISSING else item_info(result, scope)
    if item is not None or function.__code__.co_flags & inspect.CO_GENERATOR:
        found["kind"] = "stream"
        found.update(item or {})
    elif result is not _MISSING:
        found.update(value_info(result, scope))
    doc = _doc(member.__doc__) or _inherited_doc(shape, name)
    if doc:
        found["doc"] = doc
    return found


def _unwrapped(function):
    """The function that `functools.wraps` says to be meant."""
    for _ in range(20):
        inner = function.__dict__.get("__wrapped__")
        if not isinstance(inner, types.FunctionType):
            break
        function = inner
    return function


def _annotations(function):
    try:
        return dict(function.__annotations__)
    except BaseException:
        pass
    try:
        # Python 3.14 evaluates them late; some names are there for type checkers only.
        from annotationlib import Format, get_annotations

        return get_annotations(function, format=Format.FORWARDREF)
    except BaseException:
        return {}


def _parameters(function, is_bound, notes, scope):
    """The parameters of a function; `inspect.signature` would take ten times as long."""
    code = function.__code__
    count, placed = code.co_argcount, code.co_posonlyargcount
    defaults = function.__defaults__ or ()
    named = function.__kwdefaults__ or {}
    names = code.co_varnames
    found = []
    for index in range(1 if is_bound and count else 0, count):
        at = index - count + len(defaults)
        default = defaults[at] if at >= 0 else _MISSING
        kind = "positional" if index < placed else None
        found.append(_parameter(names[index], kind, default, notes, scope))
    end = count + code.co_kwonlyargcount
    if code.co_flags & inspect.CO_VARARGS:
        found.append(_parameter(names[end], "variadic", None, notes, scope))
    for name in names[count:end]:
        found.append(_parameter(name, "keyword", named.get(name, _MISSING), notes, scope))
    if code.co_flags & inspect.CO_VARKEYWORDS:
        at = end + bool(code.co_flags & inspect.CO_VARARGS)
        found.append(_parameter(names[at], "keywords", None, notes, scope))
    return found


def _parameter(name, kind, default, notes, scope):
    found = {"name": name, "required": default is _MISSING}
    if kind is not None:
        found["kind"] = kind
    if name in notes:
        found.update(value_info(notes[name], scope))
    if default is not _MISSING and kind not in ("variadic", "keywords"):
        try:
            found["default"] = plain(default)
        except Exception:
            pass
    return found


_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.VAR_POSITIONAL: "variadic",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_KEYWORD: "keywords",
}


def _builtin(function, is_bound):
    """A function in C, whose signature may be unknown."""
    found = {}
    try:
        parameters = list(inspect.signature(function).parameters.values())
        if is_bound and parameters and not isinstance(function, types.BuiltinFunctionType):
            del parameters[0]
        scope = Scope({})
        default = lambda one: _MISSING if one.default is one.empty else one.default
        found["parameters"] = [
            _parameter(one.name, _KINDS.get(one.kind), default(one), {}, scope)
            for one in parameters
        ]
    except Exception:
        pass
    doc = _doc(function.__doc__)
    if doc:
        found["doc"] = doc
    return found


# -- properties ---------------------------------------------------------------------------------


def _property(shape, name):
    member = _static(shape, name)
    found = {"readable": True, "writable": True}
    if isinstance(member, property):
        found["readable"] = member.fget is not None
        found["writable"] = member.fset is not None
        found.update(_value_of(member.fget, "return", shape))
        found.update(_value_of(member.fset, None, shape))
        doc = _doc(member.__doc__)
        if doc:
            found["doc"] = doc
        return found
    function = vars(member).get("func") if type(member).__name__ == "cached_property" else None
    if function is not None:
        found.update(_value_of(function, "return", shape))
        found["doc"] = _doc(function.__doc__)
    elif member is not _MISSING and inspect.isdatadescriptor(member):
        found["writable"] = hasattr(type(member), "__set__")
    found.update(_noted_on_class(shape, name))
    if not found.get("doc", True):
        del found["doc"]
    return found


def _value_of(function, name, shape):
    """Facts from the annotation of a getter's result, or from that of a setter's value."""
    if not isinstance(function, types.FunctionType):
        return {}
    function = _unwrapped(function)
    if name is None:
        count = function.__code__.co_argcount
        if count < 2:
            return {}
        name = function.__code__.co_varnames[1]
    notes = _annotations(function)
    return value_info(notes[name], _scope(function, shape)) if name in notes else {}


def _noted_on_class(shape, name):
    """Facts from `name: float` in the body of a class or a module."""
    for base in getattr(shape, "__mro__", (shape,)):
        notes = vars(base).get("__annotations__")
        if notes is None and sys.version_info >= (3, 14):
            notes = _annotations(base)
        if isinstance(notes, dict) and name in notes:
            module = sys.modules.get(base.__module__) if inspect.isclass(base) else base
            return value_info(notes[name], Scope(getattr(module, "__dict__", {})))
    return {}


# -- texts --------------------------------------------------------------------------------------


def _doc(text):
    """A docstring without its indentation."""
    if not isinstance(text, str) or not text.strip():
        return ""
    text = inspect.cleandoc(text[: 2 * _MAX_DOC])
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= _MAX_DOC else text[: _MAX_DOC - 1] + "…"


def _inherited_doc(shape, name):
    for base in getattr(shape, "__mro__", ()):
        function = vars(base).get(name)
        doc = _doc(function.__doc__) if isinstance(function, types.FunctionType) else ""
        if doc:
            return doc
    return ""
