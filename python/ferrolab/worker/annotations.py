"""Types of the service card from the annotations of drivers.

Owns the way from an annotation to a type, a unit and a range. No code of a driver runs: a text is
read and not evaluated, names are looked up in its module only. An unknown form is "any".
"""

import ast
import builtins
import collections.abc
import enum
import types
import typing

# Levels of nesting of a type, and characters of an annotation that is a text.
_MAX_DEPTH = 8
_MAX_TEXT = 1000
# Values of an enum or a `Literal`; of a longer one only the type counts.
_MAX_CHOICES = 100
# Characters of a text that is a default or a choice.
_MAX_PLAIN = 200

_SIMPLE = {
    bool: "bool",
    int: "int",
    float: "float",
    complex: "complex",
    str: "str",
    bytes: "bytes",
    bytearray: "bytes",
    type(None): "none",
    list: ["list", "any"],
    dict: ["dict", "any", "any"],
    set: ["set", "any"],
    frozenset: ["set", "any"],
    tuple: ["tuple_of", "any"],
}
_LISTS = (list, collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Iterable)
_SETS = (set, frozenset, collections.abc.Set)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_STREAMS = (collections.abc.Iterator, collections.abc.Generator)
_UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))


class Scope:
    """Where the names in an annotation are looked up."""

    __slots__ = ("_globals", "_cls")

    def __init__(self, namespace, cls=None):
        self._globals, self._cls = namespace, cls

    def find(self, name):
        """The object of a name. Raises `KeyError`."""
        for base in getattr(self._cls, "__mro__", ()):
            if name in vars(base) and base is not object:
                return vars(base)[name]
        if name in self._globals:
            return self._globals[name]
        return vars(builtins)[name]


class _Either:
    """`int | None` in a text: older Pythons cannot make it."""

    def __init__(self, *parts):
        self.parts = parts


def value_info(annotation, scope):
    """Facts about a value from its annotation: a dict with some of the keys of the card."""
    if type(annotation) is type and annotation in _SIMPLE:
        return {"type": _SIMPLE[annotation]}
    info = {}
    try:
        kind = _kind(annotation, scope, info, 0)
    except Exception:
        return {}
    if kind != "any":
        info["type"] = kind
    return info


def item_info(annotation, scope):
    """The same of the items of an iterator; None for what is no iterator."""
    if type(annotation) is type and annotation in _SIMPLE:
        return None
    try:
        annotation = _resolve(annotation, scope)
        if typing.get_origin(annotation) in _STREAMS:
            return value_info(typing.get_args(annotation)[0], scope)
        if isinstance(annotation, type) and issubclass(annotation, _STREAMS):
            return {}
    except Exception:
        pass
    return None


def plain(value):
    """A value as data that any card can hold. Raises `TypeError` for others."""
    if isinstance(value, enum.Enum):
        value = object.__getattribute__(value, "_value_")
    if value is None or isinstance(value, bool):
        return value
    for cls in (int, float):
        if isinstance(value, cls):
            return cls.__add__(value, 0) if type(value) is not cls else value
    if isinstance(value, str) and len(value) <= _MAX_PLAIN:
        return str.__str__(value)
    if type(value) in (list, tuple) and len(value) <= 10:
        return [plain(item) for item in value]
    raise TypeError("no plain value")


def _kind(annotation, scope, info, depth):
    if depth > _MAX_DEPTH:
        return "any"
    depth += 1
    annotation = _resolve(annotation, scope)
    if isinstance(annotation, _Either):
        return _union(annotation.parts, scope, info, depth)
    if type(annotation).__name__ == "_AnnotatedAlias":
        for extra in annotation.__metadata__:
            _note(extra, info)
        return _kind(annotation.__origin__, scope, info, depth)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None:
        return _kind_of_class(annotation)
    if origin in _UNIONS:
        return _union(args, scope, info, depth)
    if origin is getattr(typing, "Literal", None):
        return _choices(args)
    item = lambda index: _kind(args[index], scope, info, depth) if len(args) > index else "any"
    if origin in _LISTS:
        return ["list", item(0)]
    if origin in _SETS:
        return ["set", item(0)]
    if origin in _DICTS:
        return ["dict", item(0), item(1)]
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return ["tuple_of", item(0)]
        return ["tuple"] + [item(index) for index in range(len(args)) if args != ((),)]
    return _kind_of_class(origin)


def _kind_of_class(cls):
    if cls is None:
        return "none"
    if isinstance(cls, types.FunctionType) or type(cls).__name__ == "NewType":
        return _kind_of_class(getattr(cls, "__supertype__", object))
    if not isinstance(cls, type):
        return "any"
    if cls in _SIMPLE:
        return _SIMPLE[cls]
    if issubclass(cls, enum.Enum):
        return _choices(cls.__members__.values())
    names = {base.__name__ for base in cls.__mro__ if base.__module__.partition(".")[0] == "numpy"}
    for name, kind in (("ndarray", "array"), ("floating", "float"), ("integer", "int")):
        if name in names:
            return kind
    if names.intersection(("bool", "bool_")):
        return "bool"
    for base in (int, float, complex, str, bytes):
        if issubclass(cls, base):
            return _SIMPLE[base]
    return "any"


def _union(parts, scope, info, depth):
    kinds = []
    for part in parts:
        kind = _kind(part, scope, info, depth)
        if kind == "any":
            return "any"
        if kind not in kinds:
            kinds.append(kind)
    return kinds[0] if len(kinds) == 1 else ["union"] + kinds


def _choices(values):
    values = [plain(value) for value in values]
    if len(values) > _MAX_CHOICES:
        return "any"
    return ["enum"] + values


def _note(extra, info):
    """Takes a unit or a range. They may be those of an installed package."""
    cls = type(extra)
    if cls.__module__.rpartition(".")[2] != "quantities":
        return
    if cls.__name__ == "Unit":
        info["unit"] = plain(extra.text)
    elif cls.__name__ == "Range":
        for end in ("minimum", "maximum"):
            if getattr(extra, end) is not None:
                info[end] = float(getattr(extra, end))


# -- annotations that are texts -----------------------------------------------------------------


def _resolve(annotation, scope):
    """The object that an annotation means."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        return annotation
    if len(annotation) > _MAX_TEXT:
        return object
    return _read(ast.parse(annotation.strip(), mode="eval").body, scope)


def _read(node, scope):
    if isinstance(node, ast.Name):
        return scope.find(node.id)
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Attribute):
        owner = _read(node.value, scope)
        # An instrument's own `__getattr__` is not asked.
        if not isinstance(owner, (types.ModuleType, type)):
            raise TypeError("no module")
        return vars(owner)[node.attr]
    if isinstance(node, ast.Subscript):
        owner = _read(node.value, scope)
        if not _is_generic(owner):
            raise TypeError("no generic type")
        inner = node.slice
        inner = getattr(inner, "value", inner) if type(inner).__name__ == "Index" else inner
        return _subscript(owner, _read(inner, scope))
    if isinstance(node, (ast.Tuple, ast.List)):
        items = [_read(item, scope) for item in node.elts]
        return tuple(items) if isinstance(node, ast.Tuple) else items
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _Either(_read(node.left, scope), _read(node.right, scope))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_read(node.operand, scope)
    if isinstance(node, ast.Call):
        return _made(node, scope)
    raise TypeError("no type")


def _is_generic(owner):
    module = getattr(type(owner), "__module__", "")
    return isinstance(owner, type) or module in ("typing", "types", "typing_extensions")



def _subscript(owner, items):
    if _holds_either(items):
        items = _without_either(items)
    if owner in _SIMPLE and not hasattr(owner, "__class_getitem__"):
        names = {list: "List", dict: "Dict", set: "Set", frozenset: "FrozenSet", tuple: "Tuple"}
        owner = getattr(typing, names[owner])
    return owner[items]


def _holds_either(items):
    parts = items if isinstance(items, tuple) else (items,)
    return any(isinstance(part, _Either) for part in parts)


def _without_either(items):
    made = lambda part: typing.Union[part.parts] if isinstance(part, _Either) else part
    return tuple(map(made, items)) if isinstance(items, tuple) else made(items)


def _made(node, scope):
    """A unit or a range that a text makes; nothing else of a driver is called."""
    cls = _read(node.func, scope)
    is_ours = (
        isinstance(cls, type)
        and cls.__name__ in ("Unit", "Range")
        and cls.__module__.rpartition(".")[2] == "quantities"
    )
    if not is_ours:
        return object  # any
    args = [_read(item, scope) for item in node.args]
    return cls(*args, **{word.arg: _read(word.value, scope) for word in node.keywords})
