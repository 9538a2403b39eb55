"""Decorators for the classes of drivers that do not depend on Pyro5.

The marks are those of Pyro5 (`_pyroExposed`, `_pyroOneway`, `_pyroCallback`, `_pyroInstancing`),
so a class is served in the same way whichever library marked it.
"""

import inspect

INSTANCE_MODES = ("single", "session", "percall")

# Names with two underscores on either side that are never remote, although others are.
_PRIVATE_DUNDERS = frozenset(
    "__{}__".format(name)
    for name in (
        # making, copying and destroying
        "new init init_subclass del class module weakref call copy deepcopy "
        "getstate setstate reduce reduce_ex getinitargs getnewargs "
        # looking at it
        "repr str format dir sizeof hash bool nonzero "
        # comparing
        "eq ne lt le gt ge cmp coerce "
        # attributes and types
        "getattr setattr hasattr getattribute delattr "
        "instancecheck subclasscheck subclasshook "
        # blocks
        "enter exit"
    ).split()
)


def expose(target):
    """Makes a method, a property or all public members of a class remote."""
    if inspect.isdatadescriptor(target):
        function = target.fget or target.fset or target.fdel
        _refuse_private(function.__name__)
        function._pyroExposed = True
        return target
    name = getattr(target, "__name__", None)
    if isinstance(target, (classmethod, staticmethod)):
        raise AttributeError(
            "expose must stand below classmethod and staticmethod, next to the function: {}".format(
                target.__func__.__name__
            )
        )
    if not name:
        raise AttributeError("expose cannot tell what this is: {!r}".format(target))
    _refuse_private(name)
    if inspect.isclass(target):
        for name in list(vars(target)):
            if not is_private(name):
                _mark_exposed(getattr(target, name))
    target._pyroExposed = True
    return target


def _refuse_private(name):
    if is_private(name):
        raise AttributeError("a private name cannot be exposed: {}".format(name))


def _mark_exposed(member):
    if inspect.isfunction(member) or inspect.ismethoddescriptor(member):
        member._pyroExposed = True
    elif inspect.ismethod(member):
        member.__func__._pyroExposed = True
    elif inspect.isdatadescriptor(member):
        for accessor in ("fset", "fget", "fdel"):
            function = getattr(member, accessor, None)
            if function:
                function._pyroExposed = True


def behavior(instance_mode="session", instance_creator=None):
    """Sets how instances of a class are made: one (`single`), per `session`, or `percall`."""
    if not isinstance(instance_mode, str):
        raise SyntaxError("behavior is used with parentheses: @behavior(instance_mode=...)")

    def mark(cls):
        if not inspect.isclass(cls):
            raise TypeError("behavior is for classes only")
        if instance_mode not in INSTANCE_MODES:
            raise ValueError("invalid instance mode: " + instance_mode)
        if instance_creator and not callable(instance_creator):
            raise TypeError("instance_creator must be a callable")
        cls._pyroInstancing = (instance_mode, instance_creator)
        return cls

    return mark


def oneway(method):
    """Marks a method whose callers do not wait for an answer."""
    method._pyroOneway = True
    return method


def callback(method):
    """Marks a method whose errors are also reported where it runs."""
    method._pyroCallback = True
    return method


def is_private(name):
    """Whether `name` is never remote."""
    if not name.startswith("_"):
        return False
    if name in _PRIVATE_DUNDERS:
        return True
    return not (len(name) > 4 and name.startswith("__") and name.endswith("__"))
