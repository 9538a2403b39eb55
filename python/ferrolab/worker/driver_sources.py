"""Source files of a driver, as they were when it was imported.

Owns the search: from the service's class along the imports that stay within the driver's own folder
or package. Files are looked at, and not read: the daemon compares them later.
"""

import os
import sys
import types

# A driver of more files is described by the first ones.
_MOST_FILES = 200

_LIBRARY = os.path.dirname(os.path.realpath(os.__file__))
_INSTALLED = ("site-packages", "dist-packages")


def sources_of(shape):
    """The driver's files, that of its class first: `(path, time of change in ns, size)` each."""
    start = _module_of(shape)
    path = _file_of(start)
    if path is None or _is_of_python(path):
        return []
    found, waiting, known = [], [start], {start.__name__}
    for base in getattr(shape, "__mro__", ()):
        _add(_module_of(base), waiting, known)
    base = _base_of(start, path)
    while waiting and len(found) < _MOST_FILES:
        module = waiting.pop(0)
        path = _file_of(module)
        # Base classes of other packages have files of those packages.
        if path is None or not path.startswith(base):
            continue
        try:
            facts = os.stat(path)
        except OSError:
            continue  # in an archive, or removed since
        found.append((path, facts.st_mtime_ns, facts.st_size))
        for value in list(vars(module).values()):
            _add(_module_of(value), waiting, known)
    return found


def _add(module, waiting, known):
    if module is not None and module.__name__ not in known:
        known.add(module.__name__)
        waiting.append(module)


def _module_of(value):
    """The module that a value is, or was defined in."""
    if isinstance(value, types.ModuleType):
        return value
    if isinstance(value, (type, types.FunctionType)):
        return sys.modules.get(value.__module__)
    return None


def _file_of(module):
    path = getattr(module, "__file__", None)
    if not isinstance(path, str) or not path.endswith((".py", ".so", ".pyd")):
        return None
    return os.path.abspath(path)


def _is_of_python(path):
    return path.startswith(_LIBRARY + os.sep) and not any(name in path for name in _INSTALLED)


def _base_of(module, path):
    """The beginning of the paths of the driver's own files: its top package's folder; for a module
    alone its folder, or its own path among installed ones."""
    top = sys.modules.get(module.__name__.partition(".")[0], module)
    top_path = _file_of(top) or path
    folder = os.path.dirname(top_path)
    if not hasattr(top, "__path__") and os.path.basename(folder) in _INSTALLED:
        return top_path
    return folder + os.sep
