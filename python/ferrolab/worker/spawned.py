"""`from ferrolab import expose` in the processes that `multiprocessing` spawns.

Such a process (start methods `spawn` and `forkserver`) imports the driver's module anew, and its
environment has no package `ferrolab`. The preparation data, which it reads first, brings the
package along. Nothing is written to the disk for it.
"""

import importlib.abc
import importlib.util
import sys

_MODULE = "multiprocessing.spawn"


class _Package:
    """Sources that make the package importable in the process that unpickles them."""

    def __init__(self, boot, sources):
        self._program = boot + "\ninstall_public(SOURCES)\n"
        self._sources = sources

    def __reduce__(self):
        return exec, (self._program, {"__name__": "ferrolab-boot", "SOURCES": self._sources})


class _Watcher(importlib.abc.MetaPathFinder):
    """Waits for the module's import: most drivers never need it."""

    def __init__(self, package):
        self._package = package

    def find_spec(self, fullname, path=None, target=None):
        """The module's own spec, whose loader tells us when the module is there."""
        if fullname != _MODULE or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        loader = getattr(spec, "loader", None)
        if loader is None or isinstance(loader, type):
            return spec
        plain = loader.exec_module

        def exec_module(module):
            plain(module)
            _bring_along(module, self._package)

        loader.exec_module = exec_module
        return spec


def _bring_along(module, package):
    plain = module.get_preparation_data

    def get_preparation_data(name):
        data = plain(name)
        # Unpickled with the rest, and not looked at.
        data["ferrolab"] = package
        return data

    module.get_preparation_data = get_preparation_data


def watch(sources, public):
    """Has spawned processes find the package that these sources are; `public` are its modules."""
    package = _Package(sources["worker/boot"], {name: sources[name] for name in public})
    if _MODULE in sys.modules:
        _bring_along(sys.modules[_MODULE], package)
    else:
        sys.meta_path.insert(0, _Watcher(package))
