"""Which members of an object can be called from afar.

Owns the member lists that proxies are told, and the access to one member: Pyro5's rules for
members that decorators mark, and those of the configuration's `expose` and `except`. Knows nothing
of calls, frames or services. The marks are those that Pyro5's decorators and ours set.
"""

import inspect
import types

from ..client.decorators import is_private
from .static_look import held_value, makes_up_members, member_of, names_of, own_dict, own_value

# Special methods that `expose: all` exposes. Decorated classes may mark others.
_CONTAINER_DUNDERS = frozenset(
    "__{}__".format(name)
    for name in "len getitem setitem delitem contains iter next reversed".split()
)

_MISSING = object()


class Selection:
    """The configuration's keys `expose` and `except` of a service.

    `expose` holds "all", or a list of names, which may have "all" among them. Without it only marks
    count.
    """

    __slots__ = ("is_given", "everything", "listed", "hidden")

    def __init__(self, expose=None, hidden=()):
        names = ("all",) if expose == "all" else tuple(expose or ())
        self.is_given = expose is not None
        self.everything = "all" in names
        self.listed = tuple(name for name in names if name != "all")
        self.hidden = frozenset(hidden)

    def opens(self, name):
        """Whether a member that carries no mark is exposed."""
        return not is_private(name) and (
            name in self.listed or (self.everything and _is_public(name))
        )


MARKED = Selection()


# -- what is there ------------------------------------------------------------------------------


# The members of a factory, whose instrument is not there yet.
NO_MEMBERS = {"methods": [], "oneway": [], "attrs": []}


def members(target, selection=MARKED, instance=None, parts=()):
    """The remote members of a class or a module, as sorted names: `{"methods", "oneway", "attrs"}`.

    Members that only an instance has are found where one is given. `parts` are names under which
    further objects hang on it: they are read, and not called.
    """
    found = _marked(target, selection)
    methods, oneways, attrs = found
    if selection.is_given:
        for name in _names(target, instance, selection):
            member = member_of(target, name, _MISSING)
            kind = _kind(target, name, member, instance)
            if kind is None and name in selection.listed:
                kind = "method"
            if kind == "method":
                methods.add(name)
                if getattr(_value(target, name), "_pyroOneway", False):
                    oneways.add(name)
            elif kind == "attribute" and name not in methods:
                attrs.add(name)
    attrs.update(parts)
    for names in (methods, oneways):
        names.difference_update(parts)
    for names in found:
        names.difference_update(selection.hidden)
    return {"methods": sorted(methods), "oneway": sorted(oneways), "attrs": sorted(attrs)}


def leave_out(members, names):
    """The same list of members without some."""
    return {kind: [name for name in listed if name not in names] for kind, listed in members.items()}


def unknown(target, selection, instance=None):
    """The names in `expose` that neither the class nor the instance shows. No code of the driver's
    tells: it could send the name to the instrument."""
    names = set(names_of(target if instance is None else instance))
    own = () if instance is None else own_dict(instance)
    return [
        name
        for name in selection.listed
        if name not in names and name not in own and member_of(target, name, _MISSING) is _MISSING
    ]


def _dir(target, selection):
    """`dir(target)`, which a class may have broken."""
    try:
        return [name for name in dir(target) if isinstance(name, str)]
    except Exception as error:
        if selection.listed and not selection.everything:
            return []
        kind = target if inspect.isclass(target) else type(target)
        raise TypeError(
            "the members of {} cannot be listed: dir() raises {}: {}; name them in "
            "`expose: [...]`".format(kind.__name__, type(error).__name__, error)
        ) from error


def _marked(target, selection):
    """Names of the methods, oneway methods and properties that decorators mark: Pyro5's rules."""
    methods, oneways, attrs = set(), set(), set()
    for name in set(_dir(target, selection)):
        if is_private(name):
            continue
        try:
            member = getattr(target, name)
        except Exception:
            continue  # some descriptors work on instances only
        if _is_method(member):
            if getattr(member, "_pyroExposed", False):
                methods.add(name)
                if getattr(member, "_pyroOneway", False):
                    oneways.add(name)
        elif inspect.isdatadescriptor(member):
            if getattr(_accessor(member), "_pyroExposed", False):
                attrs.add(name)
    return methods, oneways, attrs


def _names(target, instance, selection):
    """The names that `expose` opens, of those that there are."""
    if not selection.everything:
        return [name for name in selection.listed if selection.opens(name)]
    names = set(selection.listed)
    if isinstance(target, types.ModuleType):
        names.update(_names_of_module(target))
    else:
        names.update(_dir(target, selection))
        if instance is not None:
            names.update(_dir(instance, selection))
    return [name for name in names if selection.opens(name)]


def _names_of_module(module):
    """The names that a module offers itself: what it has imported is another's."""
    offered = getattr(module, "__all__", None)
    if offered is not None:
        return list(offered)
    return [
        name
        for name, value in list(vars(module).items())
        if not name.startswith("_")
        and getattr(value, "__module__", module.__name__) in (module.__name__, None)
    ]


def _kind(target, name, member, instance):
    """"method" or "attribute", for a member that `expose` opens; None for what is neither.

    No property is read: that may speak to the instrument.
    """
    if isinstance(target, types.ModuleType):
        return _kind_of_value(getattr(target, name, None))
    if inspect.isdatadescriptor(member):
        return "attribute"
    if instance is not None:
        own = own_value(instance, name, _MISSING)
        if own is not _MISSING:
            return _kind_of_value(own)
        if member is _MISSING and makes_up_members(target):
            return _kind_made_up(instance, name)
    if member is _MISSING:
        return "attribute"  # set by the constructor: the class does not show more of it
    if isinstance(member, (staticmethod, classmethod)):
        return "method"
    if hasattr(type(member), "__get__") and not callable(member):
        # `cached_property` and the like give themselves, or fail, where there is no instance
        value = _value(target, name)
        return "method" if value is not member and callable(value) else "attribute"
    return _kind_of_value(member)


def _kind_made_up(instance, name):
    """The kind of a member that `__getattr__` makes up, without asking it.

    Mostly it hands on what the instrument holds: an item of a dict, as in qcodes, or a member of an
    object that the instrument wraps. Anything else is read.
    """
    value = held_value(instance, name, _MISSING)
    if value is not _MISSING:
        return _kind_of_value(value)
    for held in list(own_dict(instance).values()):
        member = member_of(type(held), name, _MISSING)
        if member is not _MISSING and not isinstance(held, (type, types.ModuleType)):
            is_read = inspect.isdatadescriptor(member)
            return "attribute" if is_read else _kind(type(held), name, member, None)
    return "attribute"


def _kind_of_value(value):
    if inspect.isclass(value) or inspect.ismodule(value):
        return None
    return "method" if callable(value) else "attribute"


def _value(target, name):
    try:
        return getattr(target, name)
    except Exception:
        return None


def _is_public(name):
    # A name that cannot be printed, such as half of a surrogate pair, would reach no client.
    return name.isprintable() and (not name.startswith("__") or name in _CONTAINER_DUNDERS)


def _is_method(member):
    return inspect.ismethod(member) or inspect.isfunction(member) or inspect.ismethoddescriptor(member)


def _accessor(descriptor):
    return (
        getattr(descriptor, "fget", None)
        or getattr(descriptor, "fset", None)
        or getattr(descriptor, "fdel", None)
    )


# -- access -------------------------------------------------------------------------------------


class Access:
    """The way to the members of one service's instances."""

    __slots__ = ("_methods", "_attrs", "_selection", "_everything")

    def __init__(self, listed=None, selection=MARKED):
        self._selection = selection
        self._everything = selection.everything
        is_given = listed is not None and selection.is_given
        self._methods = frozenset(listed["methods"]) if is_given else frozenset()
        self._attrs = frozenset(listed["attrs"]) if is_given else frozenset()

    def method(self, instance, name):
        """The method `name` of `instance`, bound.

        Like Pyro5 it looks at the marks of what is there now, so members that are set on an
        instance later count too.
        """
        if is_private(name):
            raise AttributeError("attempt to access private attribute '{}'".format(name))
        method = getattr(instance, name)
        if getattr(method, "_pyroExposed", False) or name in self._methods:
            return method
        if name in self._attrs and is_made_up(instance, name) and callable(method):
            return method
        if self._everything and self._opens(instance, name):
            if callable(method):
                return method
            raise AttributeError(_ATTRIBUTE_CALLED.format(name))
        raise AttributeError("attempt to access unexposed attribute '{}'".format(name))

    def get(self, instance, name):
        """The value of the property `name`."""
        if name in self._attrs or self._everything and self._opens(instance, name):
            return getattr(instance, name)
        member = getattr(type(instance), name)
        if inspect.isdatadescriptor(member):
            getter = getattr(member, "fget", None)
            if getter and getattr(getter, "_pyroExposed", False):
                return getter(instance)
        raise _no_property(name)

    def set(self, instance, name, value):
        """Sets the property `name`."""
        if name in self._attrs or self._everything and self._opens(instance, name):
            return setattr(instance, name, value)
        member = getattr(type(instance), name)
        if inspect.isdatadescriptor(member):
            setter = getattr(member, "fset", None)
            # the mark is looked for on the getter first: one `expose` serves both
            marked = getattr(member, "fget", None) or setter
            if setter and getattr(marked, "_pyroExposed", False):
                return setter(instance, value)
        raise _no_property(name)

    def _opens(self, instance, name):
        """Whether `expose: all` opens a member that has come since the members were listed."""
        selection = self._selection
        if name in self._methods or not selection.opens(name):
            return False
        if isinstance(instance, types.ModuleType):
            if name not in _names_of_module(instance):
                return False
        own = own_value(instance, name, _MISSING)
        if own is not _MISSING:
            # Neither a class nor a module is a member, as in the list: a client could run any code.
            return _kind_of_value(own) is not None
        return is_made_up(instance, name) and name in _dir(instance, selection)


_ATTRIBUTE_CALLED = (
    "attempt to access unexposed attribute '{0}' as a method: '{0}' is an attribute that only the "
    "instance has, so clients know it if they connect when there is an instance; `instancemode: "
    "single` in the configuration makes one at the start"
)


def is_made_up(instance, name):
    """Whether `__getattr__` gives what is under a name."""
    has_own = own_value(instance, name, _MISSING) is not _MISSING
    return not has_own and member_of(type(instance), name, _MISSING) is _MISSING


class RestrictedAccess(Access):
    """The same where the service has `except`, or parts: those are read and not replaced."""

    __slots__ = ("_parts", "_saw_part")

    def __init__(self, listed, selection, parts=(), saw_part=None):
        super().__init__(listed, selection)
        self._attrs = self._attrs.union(parts)
        self._parts = frozenset(parts)
        self._saw_part = saw_part

    def method(self, instance, name):
        if name in self._selection.hidden:
            raise AttributeError("attempt to access unexposed attribute '{}'".format(name))
        return super().method(instance, name)

    def get(self, instance, name):
        if name in self._selection.hidden:
            raise _no_property(name)
        value = super().get(instance, name)
        if name in self._parts:
            self._saw_part(name, value)
        return value

    def set(self, instance, name, value):
        if name in self._parts:
            raise AttributeError("'{}' is a part: set its own members".format(name))
        if name in self._selection.hidden:
            raise _no_property(name)
        return super().set(instance, name, value)


def _no_property(name):
    return AttributeError(
        "attempt to access unexposed or unknown remote attribute '{}'".format(name)
    )
