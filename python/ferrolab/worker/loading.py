"""From an entry of the configuration to a service.

Owns the search for a driver's class, and the settings that do not fit it. Knows nothing of calls.
"""

import importlib
import inspect
import sys

from . import class_copy
from .logging_bridge import log
from .services import Service

# The services whose classes are the drivers' own.
_first_services = class_copy.ByIdentity()


# Members that a lock adds to a service; every client may call them.
_OF_LOCKS = ("lock", "unlock", "islocked", "lock_info")


def _remarks(service, on_disconnect, read_while_locked):
    """Settings that name missing members, as texts. Else they would show only when they are needed,
    and a safe state is needed when nobody looks.
    """
    found = []
    name = service.cls.__name__
    # Members that `__getattr__` makes up are known only to an instance.
    if not hasattr(service.cls, "__getattr__"):
        for method in on_disconnect:
            # Looked at, and not asked: a property may speak to the instrument.
            known = inspect.getattr_static(service.target, method, None)
            if known is None or isinstance(known, property):
                others = [other for other in dir(service.cls) if not other.startswith("__")]
                near = _nearest(method, [other for other in others if other != method])
                found.append("on_disconnect: {} has no method '{}'{}".format(name, method, near))
    members = set(service.members["methods"]) | set(service.members["attrs"])
    for member in read_while_locked:
        if member in members or member in _OF_LOCKS:
            continue
        # It may be one of a part that the service will register.
        near = _nearest(member, members)
        if near:
            found.append("read_while_locked: {} exposes no '{}'{}".format(name, member, near))
    return found


def _nearest(name, known):
    import difflib

    near = difflib.get_close_matches(name, sorted(known), 1)
    return "; did you mean '{}'?".format(near[0]) if near else ""


def load(spec, daemon):
    """The service that a configuration entry describes."""
    module, classname = spec["module"], spec["classname"]
    target = _find(module, classname)
    if inspect.isclass(target):
        # Pyro5's daemon marks the class itself. The service needs a class for itself, as in
        # PyroLab, where other services would see these marks.
        if spec.get("parameters"):
            target = class_copy.derived(target)
            _mark(target, "_autoconnect_params", spec["parameters"])
        elif _first_services.setdefault(target, spec["name"]) != spec["name"]:
            target = class_copy.derived(target)
    elif inspect.isroutine(target) or inspect.ismodule(target):
        raise TypeError(
            "{}.{} is a {}, and a service needs a class".format(
                module, classname, type(target).__name__
            )
        )
    _mark(target, "_pyroId", spec["name"])
    _mark(target, "_pyroDaemon", daemon)
    service = Service(
        spec["name"],
        target,
        spec.get("instancemode"),
        spec.get("expose"),
        spec.get("arguments"),
        spec.get("on_disconnect") or (),
    )
    service.remarks = _remarks(
        service, spec.get("on_disconnect") or (), spec.get("read_while_locked") or ()
    )
    if not service.members["methods"] and not service.members["attrs"]:
        log.warning(
            "%s.%s exposes nothing: mark its methods with @expose, or give the service "
            "`expose: all`",
            module,
            classname,
        )
    return service


def _find(module, classname):
    """The class of that name; a class that is missing is looked for in the file as it is now."""
    fresh = module not in sys.modules
    importlib.invalidate_caches()
    found = importlib.import_module(module)
    try:
        for part in classname.split("."):
            found = getattr(found, part)
    except AttributeError:
        if fresh:
            # so that the next attempt sees what has been written to the file by then
            sys.modules.pop(module, None)
        raise AttributeError(
            "module '{}' has no class '{}'".format(module, classname)
        ) from None
    return found


def _mark(target, name, value):
    try:
        setattr(target, name, value)
    except (AttributeError, TypeError):
        pass  # an extension type: nothing that it holds depends on the mark
