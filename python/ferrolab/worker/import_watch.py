"""Functions that run when a module has been imported.

Most drivers never import what these wait for, so nothing is imported for them.
"""

import sys


class _Watcher:
    """Waits for the import of one module."""

    def __init__(self, name, function):
        self._name = name
        self._function = function

    def find_spec(self, fullname, path=None, target=None):
        """The module's own spec, whose loader tells us when the module is there."""
        if fullname != self._name or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        import importlib.util

        spec = importlib.util.find_spec(fullname)
        loader = getattr(spec, "loader", None)
        if loader is None or isinstance(loader, type):
            return spec
        plain = loader.exec_module

        def exec_module(module):
            plain(module)
            self._function(module)

        loader.exec_module = exec_module
        return spec


def when_imported(name, function):
    """Calls `function(module)` once the module of that name has been imported."""
    module = sys.modules.get(name)
    if module is not None:
        function(module)
    else:
        sys.meta_path.insert(0, _Watcher(name, function))
