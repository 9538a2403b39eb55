"""Makes a package of the sources that the daemon sends, and starts the worker.

The command line of a worker holds just enough to read this text from its standard input, which
is the control socket; `read` and `os` come from there. Nothing of it is a file: a worker runs with
any interpreter, with nothing installed and nothing written to the disk.
"""

import marshal
import os
import sys
from importlib.machinery import ModuleSpec

# The worker's own package. Drivers may import what is meant for them as `ferrolab`, unless there
# is an installed package of that name.
PRIVATE = "_ferrolab_worker"
PUBLIC = "ferrolab"
PUBLIC_MODULES = ("__init__", "client/__init__", "client/decorators", "client/quantities")


class Finder:
    """Finds the modules of a package among texts, by their paths in it (`client/decorators`).

    It has the methods of an importlib.abc.MetaPathFinder and InspectLoader without being one: that
    module brings twenty others, and every worker would start later by 20 ms.
    """

    def __init__(self, package, sources):
        self._package = package
        self._sources = sources

    def find_spec(self, fullname, path=None, target=None):
        """The module of that name, if it is ours."""
        if fullname.partition(".")[0] != self._package or self._path(fullname) not in self._sources:
            return None
        origin, is_package = self._file(fullname), self.is_package(fullname)
        spec = ModuleSpec(fullname, self, origin=origin, is_package=is_package)
        spec.has_location = True
        return spec

    def get_source(self, fullname):
        """The text of a module."""
        return self._sources[self._path(fullname)]

    def is_package(self, fullname):
        """Whether a module is a folder."""
        return self._path(fullname).endswith("__init__")

    def create_module(self, spec):
        """Nothing but an ordinary module."""

    def get_code(self, fullname):
        """A module, compiled. Tracebacks take its lines from `get_source`."""
        return compile(self.get_source(fullname), self._file(fullname), "exec", dont_inherit=True)

    def exec_module(self, module):
        """Runs a module."""
        exec(self.get_code(module.__name__), module.__dict__)

    def _file(self, fullname):
        return "<ferrolab>/{}.py".format(self._path(fullname))

    def _path(self, fullname):
        path = fullname.partition(".")[2].replace(".", "/")
        folder = (path + "/__init__").lstrip("/")
        return folder if folder in self._sources else path


def install(sources):
    """Makes the sources importable."""
    sys.meta_path.insert(0, Finder(PRIVATE, sources))
    install_public({name: sources[name] for name in PUBLIC_MODULES})


def install_public(sources):
    """Makes importable what is meant for drivers."""
    sys.meta_path.append(Finder(PUBLIC, sources))


def main(sources):
    """Starts the worker."""
    # Set by the daemon for this process (`run.rs`), not for those that drivers start.
    if os.environ.get("MALLOC_ARENA_MAX") == "01":
        del os.environ["MALLOC_ARENA_MAX"]
    if sys.path and sys.path[0] == "":
        # the working directory is no place to import drivers from by accident
        del sys.path[0]
    install(sources)
    from _ferrolab_worker.worker import process, spawned

    spawned.watch(sources, PUBLIC_MODULES)
    process.main()


if "read" in globals():
    main(marshal.loads(read(int.from_bytes(read(4), "big"))))  # noqa: F821
