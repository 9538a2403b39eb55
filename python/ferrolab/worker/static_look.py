"""Look at objects without running any code of theirs, but for `__dir__`.

A property, or an instrument's own `__getattr__`, may speak to the device. So what an object has is
read from its class and from its own dict.
"""

import inspect
import types

_MISSING = object()


def names_of(target):
    """The names that `dir(target)` gives; none where that is broken."""
    try:
        return [name for name in dir(target) if isinstance(name, str)]
    except Exception:
        return []


def names_in_methods(cls):
    """The names of attributes in the code of a class's functions: what its instances may have."""
    names = set()
    for base in getattr(cls, "__mro__", ()):
        for entry in list(vars(base).values()):
            entry = getattr(entry, "fget", entry) if isinstance(entry, property) else entry
            if isinstance(entry, types.FunctionType):
                names.update(entry.__code__.co_names)
    return names


def makes_up_members(target):
    """Whether a class or a module answers to names that it does not show."""
    if isinstance(target, types.ModuleType):
        return "__getattr__" in vars(target)
    for base in target.__mro__:
        if "__getattr__" in vars(base):
            return True
        # Python's own types have one that makes up nothing.
        if "__getattribute__" in vars(base) and base.__module__ != "builtins":
            return True
    return False


def member_of(cls, name, default=None):
    """The entry of a class, or of a base, under a name: no descriptor is asked."""
    for base in getattr(cls, "__mro__", ()):
        if name in vars(base):
            return vars(base)[name]
    return default


def own_value(instance, name, default=None):
    """The attribute that an instance has itself under a name."""
    return own_dict(instance).get(name, default)


def held_value(instance, name, default=None):
    """The item of that name in a dict, or the attribute of an object, that an instance holds."""
    for held in list(own_dict(instance).values()):
        kind = type(held)
        if issubclass(kind, dict):
            value = dict.get(held, name, _MISSING)
        elif issubclass(kind, (type, types.ModuleType)):
            continue
        else:
            value = own_value(held, name, _MISSING)
        if value is not _MISSING:
            return value
    return default


def shown_value(instance, name, missing, unasked):
    """The value under a name where no code of the driver's makes it; `unasked` where it does."""
    kind = type(instance)
    member = member_of(kind, name, _MISSING)
    if inspect.ismemberdescriptor(member):
        try:
            return member.__get__(instance, kind)
        except AttributeError:
            return missing
    own = own_value(instance, name, _MISSING)
    if member is _MISSING or not hasattr(type(member), "__get__"):
        if own is not _MISSING:
            return own
        if member is not _MISSING:
            return member
        if not makes_up_members(kind):
            return missing
        return held_value(instance, name, unasked)
    return unasked if own is _MISSING or inspect.isdatadescriptor(member) else own


def own_dict(instance):
    """The attributes that an instance has itself."""
    try:
        return object.__getattribute__(instance, "__dict__")
    except Exception:
        return {}
