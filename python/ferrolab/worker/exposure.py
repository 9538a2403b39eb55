"""Which members of a class can be called from afar.

Owns Pyro5's rules of exposure: the member lists that proxies are told, and the access to one
member. Knows nothing of calls, frames or services. The marks are those that Pyro5's decorators
and ours set.
"""

import inspect

from ..client.decorators import is_private

# Special methods that `expose: all` exposes. Decorated classes may mark others.
_CONTAINER_DUNDERS = frozenset(
    "__{}__".format(name)
    for name in "len getitem setitem delitem contains iter next reversed".split()
)


# -- what is there ------------------------------------------------------------------------------


def members(cls, opened=None):
    """The remote members of `cls`, as `{"methods", "oneway", "attrs"}` of sorted names.

    `opened` is what the configuration's `expose` says: None where only marks count, "all" for
    every public member, or a list of names.
    """
    methods, oneways, attrs = set(), set(), set()
    names = set(dir(cls))
    listed = set() if opened in (None, "all") else set(opened)
    for name in names | listed:
        if is_private(name):
            continue
        open_here = name in listed or (opened == "all" and _is_public(name))
        if name not in names:
            attrs.add(name)  # set by the constructor: nothing to see of it in the class
            continue
        try:
            member = getattr(cls, name)
        except AttributeError:
            continue  # some descriptors work on instances only
        if _is_method(member):
            if getattr(member, "_pyroExposed", open_here):
                methods.add(name)
                if getattr(member, "_pyroOneway", False):
                    oneways.add(name)
        elif inspect.isdatadescriptor(member):
            function = _accessor(member)
            if function is not None:
                if getattr(function, "_pyroExposed", open_here):
                    attrs.add(name)
            elif name in listed:
                attrs.add(name)  # slots and descriptors of an extension
        elif name in listed:
            (methods if callable(member) else attrs).add(name)
    return {"methods": sorted(methods), "oneway": sorted(oneways), "attrs": sorted(attrs)}


def _is_public(name):
    return not name.startswith("__") or name in _CONTAINER_DUNDERS


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

    __slots__ = ("_methods", "_attrs")

    def __init__(self, cls=None, opened=None):
        if opened is None:
            self._methods = self._attrs = frozenset()
        else:
            listed = members(cls, opened)
            self._methods = frozenset(listed["methods"])
            self._attrs = frozenset(listed["attrs"])

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
        raise AttributeError("attempt to access unexposed attribute '{}'".format(name))

    def get(self, instance, name):
        """The value of the property `name`."""
        member = self._class_member(instance, name)
        if inspect.isdatadescriptor(member):
            getter = getattr(member, "fget", None)
            if getter and getattr(getter, "_pyroExposed", False):
                return getter(instance)
        if name in self._attrs:
            return getattr(instance, name)
        raise _no_property(name)

    def set(self, instance, name, value):
        """Sets the property `name`."""
        member = self._class_member(instance, name)
        if inspect.isdatadescriptor(member):
            setter = getattr(member, "fset", None)
            # the mark is looked for on the getter first: one `expose` serves both
            marked = getattr(member, "fget", None) or setter
            if setter and getattr(marked, "_pyroExposed", False):
                return setter(instance, value)
        if name in self._attrs:
            return setattr(instance, name, value)
        raise _no_property(name)

    def _class_member(self, instance, name):
        if name in self._attrs:
            return getattr(type(instance), name, None)
        return getattr(type(instance), name)


def _no_property(name):
    return AttributeError(
        "attempt to access unexposed or unknown remote attribute '{}'".format(name)
    )
