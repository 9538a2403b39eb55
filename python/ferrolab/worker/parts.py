"""Parts of an instrument: the objects that hang on it, found by their paths.

Owns the meaning of the configuration's `parts`: which attributes hold objects that are served, and
under which names. Knows nothing of services or daemons. No property is read unless `parts` names
it, since that may speak to the instrument.
"""

import enum
import inspect
import logging
import numbers
import os
import sys
import threading
import types

from . import static_look

# Parts of one service. Each is an object of the daemon and a name in its nameservers.
MAX_PARTS = 1000
# Names of members of all parts of one service: their list is one message to the daemon.
MAX_NAMES = 100_000

_DICTS = (dict, types.MappingProxyType)
_COLLECTIONS = (list, tuple) + _DICTS
# Values of these are data, although their classes come from no standard library.
_DATA = (
    type, types.ModuleType, enum.Enum, BaseException, numbers.Number, str, bytes, logging.Logger,
    logging.LoggerAdapter, threading.Thread,
)  # fmt: skip
_MISSING = object()
# Stands for what only a property, or code of the driver's, can tell.
UNASKED = object()


def find(root, wanted, hidden=frozenset()):
    """The parts that `wanted` names, as `({path: object}, problems)`. The problems are texts.

    `wanted` holds "all" and paths such as "ch_1", "A.temperature", "axes.0", "all.temperature".
    """
    search = _Search(root, hidden)
    for path in wanted:
        search.expand(root, (), tuple(path.split(".")))
    return search.found, search.problems


def nearest(name, known):
    """A question that suggests the known name that is most like `name`; "" without one."""
    import difflib

    near = difflib.get_close_matches(name, sorted(known), 1)
    return "; did you mean '{}'?".format(near[0]) if near else ""


class _Search:
    def __init__(self, root, hidden):
        self.found, self.problems = {}, []
        self._root, self._hidden = root, hidden
        self._seen = {id(root)}
        self._is_full = False

    def expand(self, obj, path, rest):
        """Adds what the path `rest` leads to from `obj`, which stands at `path`."""
        if not rest:
            self._add(path, obj, is_named=True)
        elif rest[0] == "all":
            self._expand_all(obj, path, rest[1:])
        else:
            name, path = rest[0], path + (rest[0],)
            try:
                child = _child(obj, name)
            except BaseException as error:  # a property that calls sys.exit() is as broken as any
                self.problems.append("parts: " + _why_no_child(obj, path, error))
                return
            self.expand(child, path, rest[1:])

    def _expand_all(self, obj, path, rest):
        children = [(name, child) for name, child in _children(obj) if name not in self._hidden]
        # An object that hangs on the instrument directly and in a list has its direct name.
        children.sort(key=lambda pair: isinstance(pair[1], _COLLECTIONS))
        for name, child in children:
            if not rest:
                self._add(path + (name,), child)
            elif is_part(child) and id(child) != id(self._root):
                before = len(self.problems)
                self.expand(child, path + (name,), rest)
                del self.problems[before:]  # not every one has what the path goes on with

    def _add(self, path, obj, is_named=False):
        if isinstance(obj, _COLLECTIONS):
            children = [(key, child) for key, child in _children(obj) if is_part(child)]
            odd = _odd_keys(obj)
            if odd:
                self.problems.append(
                    "parts: '{}' holds objects under {}; the key of a part has letters, digits "
                    "and _ only".format(".".join(path), odd)
                )
            elif is_named and not children:
                self.problems.append("parts: '{}' holds no objects".format(".".join(path)))
            for key, child in children:
                self._add(path + (key,), child)
            return
        if not (is_part(obj) or is_named and may_be_part(obj)):
            if is_named:
                self.problems.append(
                    "parts: {}, and a part is an object with methods".format(_why_no_part(obj, path))
                )
            return
        if id(obj) in self._seen:
            return
        if len(self.found) >= MAX_PARTS:
            if not self._is_full:
                self.problems.append("parts: there are more than {}".format(MAX_PARTS))
            self._is_full = True
            return
        self._seen.add(id(obj))
        self.found[".".join(path)] = obj


def current(root, path):
    """The object at a path (a tuple of names), as far as that shows without code of the driver's;
    else `UNASKED`. Raises `LookupError` with the reason where no object is there."""
    obj = root
    for depth, name in enumerate(path, 1):
        if isinstance(obj, _DICTS) or name.isdigit():
            try:
                child = _child(obj, name)
            except Exception:
                child = _MISSING
        else:
            child = static_look.shown_value(obj, name, _MISSING, UNASKED)
        if child is UNASKED:
            return UNASKED
        if child is _MISSING:
            raise LookupError(_why_no_child(obj, path[:depth], LookupError()))
        if child is None:
            break
        obj = child
    if child is None or not may_be_part(obj):
        raise LookupError(_why_no_part(child, path[:depth]))
    return obj


def read(root, path):
    """The object at a path; properties are read. Raises `LookupError` with the reason."""
    obj = root
    for depth, name in enumerate(path, 1):
        try:
            child = _child(obj, name)
        except Exception as error:
            raise LookupError(_why_no_child(obj, path[:depth], error)) from None
        if child is None:
            break
        obj = child
    if child is None or not may_be_part(obj):
        raise LookupError(_why_no_part(child, path[:depth]))
    return obj


def _why_no_child(obj, path, error):
    """The reason why there is nothing at the end of a path, which begins with `obj`'s own path."""
    name, names = path[-1], _names(obj)
    if isinstance(error, (AttributeError, LookupError)) and name not in names:
        return "{} has no '{}'{}".format(type(obj).__name__, name, nearest(name, names))
    return "reading '{}' raised {}: {}".format(".".join(path), type(error).__name__, _text(error))


def _why_no_part(value, path):
    kind = type(value).__name__
    article = "an " if kind[:1] in "aeiouAEIOU" else "a "
    return "'{}' is {}".format(".".join(path), "None" if value is None else article + kind)


def holds_part(value):
    """Whether a value is an object that `parts` could serve, or a collection that holds one."""
    if isinstance(value, _COLLECTIONS):
        return any(is_part(child) for _, child in _children(value))
    return is_part(value)


def is_part(value):
    """Whether a value is an object that `parts: all` serves."""
    return may_be_part(value) and not _is_library_class(type(value))


def may_be_part(value):
    """Whether a value is an object, and neither data nor a function."""
    kind = type(value)
    if value is None or isinstance(value, _DATA) or isinstance(value, _COLLECTIONS):
        return False
    if inspect.isroutine(value) or hasattr(kind, "__array__") or hasattr(kind, "__float__"):
        return False
    # functions of other compilers than Python's
    return static_look.member_of(kind, "__qualname__") is None


def _is_library_class(cls):
    """Whether a class is Python's own, or one of data."""
    name = str(cls.__module__)
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return name in sys.builtin_module_names
    if name.partition(".")[0] in ("numpy", "pandas", "xarray"):
        return True
    folder = os.path.dirname(os.__file__)
    return file.startswith(folder + os.sep) and "-packages" not in file[len(folder) :]


def _child(obj, name):
    if isinstance(obj, _DICTS):
        if name in obj:
            return obj[name]
        for key in list(obj):
            if str(key) == name:
                return obj[key]
        raise LookupError(name)
    if name.isdigit():
        return obj[int(name)]
    return getattr(obj, name)


def _children(obj):
    """Names and values of what an object holds, without asking a property."""
    if isinstance(obj, _DICTS):
        named = [(str(key), value) for key, value in list(obj.items())]
        return [(name, value) for name, value in named if _is_name(name)]
    if isinstance(obj, (list, tuple)):
        return [(str(index), value) for index, value in enumerate(obj)]
    found = {}
    # Of ophyd, whose descriptors make them. An instrument's own `__getattr__` is not asked.
    components = static_look.member_of(type(obj), "component_names")
    listed = set(components) if isinstance(components, (list, tuple)) else set()
    for name in filter(_is_name, _names(obj)):
        value = static_look.own_value(obj, name, _MISSING)
        member = static_look.member_of(type(obj), name, _MISSING)
        is_plain = member is _MISSING or inspect.ismemberdescriptor(member) or name in listed
        if value is _MISSING and is_plain:
            try:
                value = getattr(obj, name)
            except Exception:
                continue
        if value is not _MISSING:
            found[name] = value
    return list(found.items())


def _names(obj):
    """The public names of an object, in the order in which they were set where that is known."""
    if isinstance(obj, _DICTS):
        return [str(key) for key in obj]
    if isinstance(obj, (list, tuple)):
        return [str(index) for index in range(len(obj))]
    own = list(static_look.own_dict(obj))
    names = dict.fromkeys(own + static_look.names_of(obj))
    return [name for name in names if not name.startswith("_")]


def _odd_keys(obj):
    """Keys of the objects in a dict that can name no part; "" without any."""
    if not isinstance(obj, _DICTS):
        return ""
    odd = [key for key, value in list(obj.items()) if is_part(value) and not _is_name(str(key))]
    return ", ".join(map(repr, odd[:3])) + (", ..." if odd[3:] else "")


def _is_name(text):
    return text.replace("_", "a").isalnum()


def _text(error):
    try:
        return str(error)
    except Exception:
        return "<no text>"
