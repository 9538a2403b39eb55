"""From an entry of the configuration to a service.

Owns the search for a driver's class, and the settings that do not fit it. Knows nothing of calls.
"""

import datetime
import importlib
import inspect
import sys

from . import class_copy, exposure, first_look, parts, services, static_look, unread_parameters
from .logging_bridge import log

# The services whose classes are the drivers' own.
_first_services = class_copy.ByIdentity()


def _no_methods(service, key, methods):
    """Remarks on missing methods in `abort` or `on_disconnect`. Else they would show only when a
    safe state is needed, and nobody looks.
    """
    found = []
    name = getattr(service.shape, "__name__", service.name)
    # Members that `__getattr__` makes up are known only to an instance.
    if not hasattr(service.cls, "__getattr__"):
        for method in methods:
            # Looked at, and not asked: a property may speak to the instrument.
            known = inspect.getattr_static(service.target, method, None)
            if known is None or isinstance(known, property):
                others = [other for other in dir(service.cls) if not other.startswith("__")]
                near = parts.nearest(method, [other for other in others if other != method])
                found.append("{}: {} has no method '{}'{}".format(key, name, method, near))
    return found


def is_factory(target):
    """Whether a service's instance is what calling `target` returns."""
    return inspect.isroutine(target)


def serve(spec, target, daemon, tell):
    """The service of a configuration entry whose `module` and `classname` have led to `target`.

    A factory is called. `tell` is called with the service when an instance has shown more members.
    """
    if not is_factory(target):
        return _served(spec, _class_of_service(spec, target), False, daemon, tell)
    made = _made(spec, target)
    try:
        return _served(spec, made, True, daemon, tell)
    except BaseException:
        # The next attempt makes another one.
        services.release_instance(made, spec.get("on_disconnect") or ())
        raise


def _served(spec, target, is_made, daemon, tell):
    _mark(target, "_pyroId", spec["name"])
    _mark(target, "_pyroDaemon", daemon)
    selection = exposure.Selection(spec.get("expose"), spec.get("except") or ())
    service = services.Service(
        spec["name"],
        target,
        spec.get("instancemode"),
        selection,
        _with_dates(spec.get("arguments")),
        spec.get("on_disconnect") or (),
        is_made,
    )
    service.abort_methods = tuple(spec.get("abort") or ())
    service.remarks = _no_methods(service, "abort", service.abort_methods)
    service.remarks += _no_methods(service, "on_disconnect", spec.get("on_disconnect") or ())
    if spec.get("parameters") and not unread_parameters.are_read(service.cls):
        service.remarks.append(unread_parameters.REMARK.format(_title(spec)))
    service.facts = spec.get("members") or {}
    service.is_eager = spec.get("start") == "eager"
    if service.is_eager and service.mode != "single":
        service.remarks.append(
            "start: eager needs one instance for all clients, `instancemode: single`; with '{}' "
            "there is none to make".format(service.mode)
        )
    readable = spec.get("read_while_locked") or ()
    wanted = spec.get("parts") or ()
    if wanted and service.mode != "single":
        service.remarks.append(
            "parts: they need one instance for all clients, `instancemode: single`; with '{}' "
            "there are none".format(service.mode)
        )
        wanted = ()
    if first_look.is_needed(service, wanted):
        if service.mode != "single":
            _leave_out_unknown(service)
        service.look_with(first_look.FirstLook(service, wanted, readable, daemon, tell))
        return service
    service.remarks += first_look.not_readable(service, readable)
    service.remarks += first_look.not_described(service)
    if not service.members["methods"] and not service.members["attrs"]:
        remark = (
            "{} exposes nothing: mark its methods with @expose, or give the service "
            "`expose: all`".format(_title(spec))
        )
        log.warning("%s", remark)
        service.remarks.append(remark)
    return service


def _title(spec):
    return ".".join(filter(None, (spec["module"], spec.get("classname"))))


def _class_of_service(spec, target):
    """The class that a service has for itself; an object or a module as it is."""
    if inspect.isclass(target):
        # Pyro5's daemon marks the class itself. The service needs a class for itself, as in
        # PyroLab, where other services would see these marks.
        if spec.get("parameters"):
            target = class_copy.derived(target)
            _mark(target, "_autoconnect_params", _with_dates(spec["parameters"]))
        elif _first_services.setdefault(target, spec["name"]) != spec["name"]:
            target = class_copy.derived(target)
    return target


def _made(spec, factory):
    """The instrument that a function makes."""
    positional, keywords = services.make_arguments(_with_dates(spec.get("arguments")))
    made = factory(*positional, **keywords)
    if not parts.may_be_part(made):
        raise TypeError(
            "{}() has returned {!r:.100}, and a service needs an instrument: `classname` is a class, "
            "an object, or a function that returns one".format(_title(spec), made)
        )
    return made


def _leave_out_unknown(service):
    """Leaves out, with remarks, the names in `expose` that no code of the class mentions. An
    instance may show more."""
    cls = service.shape
    if static_look.makes_up_members(cls):
        return
    mentioned = set()
    for base in cls.__mro__:
        mentioned.update(vars(base).get("__annotations__", ()))
        for member in vars(base).values():
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            code = getattr(function, "__code__", None)
            mentioned.update(getattr(code, "co_names", ()))
    missing = [
        name for name in exposure.unknown(cls, service.selection) if name not in mentioned
    ]
    known = set(static_look.names_of(cls)) | mentioned
    service.remarks += [first_look.not_exposed(service, name, known) for name in missing]
    service.set_members(exposure.leave_out(service.members, missing))


def find(spec):
    """The class, function or object that a configuration entry names; the module itself without
    `classname`. A class that is missing is looked for in the file as it is now."""
    module, classname = spec["module"], spec.get("classname")
    fresh = module not in sys.modules
    importlib.invalidate_caches()
    found = importlib.import_module(module)
    try:
        for part in classname.split(".") if classname else ():
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
    # An instrument's own `__setattr__` may send what is set to the device.
    set_attribute = setattr if inspect.isclass(target) else object.__setattr__
    try:
        set_attribute(target, name, value)
    except (AttributeError, TypeError):
        pass  # an extension type: nothing that it holds depends on the mark


# The classes of dates in the configuration, which come as class dicts.
_DATES = {"datetime.date": datetime.date, "datetime.datetime": datetime.datetime}


def _with_dates(value):
    """Arguments or parameters with the dates of the configuration, as PyYAML would give them."""
    if isinstance(value, list):
        return [_with_dates(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"__class__", "iso"} and value["__class__"] in _DATES:
        return _DATES[value["__class__"]].fromisoformat(value["iso"])
    return {key: _with_dates(item) for key, item in value.items()}
