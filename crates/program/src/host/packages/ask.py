"""Packages that the drivers of some services need, and which of them this interpreter has.

Run with `python -c` by the interpreter of the services. It reads the sources of drivers and the
metadata of installed packages, and imports nothing of either. A question (JSON, on standard input)
has `path`, `services` (module by name) and `wanted` (names of packages); the answer is the last
line.
"""

import sys

# The worker has no current directory in its path either.
if sys.path[:1] == [""]:
    del sys.path[0]

import ast
import inspect
import json
import os
import sysconfig
from importlib import machinery, metadata

# Files of drivers that are read at most, and the bytes of the largest.
MAX_FILES = 2000
MAX_BYTES = 4 << 20
# Packages that the worker brings itself.
OWN = {"ferrolab"}


class Packages:
    """Installed packages by the names of the modules in them."""

    def __init__(self, folders):
        self._owners = {}
        self.versions = {}
        for package in metadata.distributions(path=folders):
            try:
                name, version = package.metadata["Name"], package.version
                folder = os.path.realpath(str(package.locate_file("")))
                modules = set(_modules(package))
            except Exception:  # its metadata are damaged, and others are not
                continue
            if not name or not version or _plain(name) in self.versions:
                continue
            self.versions[_plain(name)] = version
            for module in modules:
                self._owners.setdefault(module, []).append((name, version, folder, package))

    def owners(self, module, folder=None):
        """Packages with a module in them, as `NAME==VERSION`; with a folder, only those there."""
        top = module.partition(".")[0]
        found = [row for row in self._owners.get(top, ()) if folder is None or row[2] == folder]
        if len(found) > 1:
            # Several packages share a namespace.
            start = module.replace(".", "/")
            precise = [row for row in found if _has_file(row[3], start)]
            found = precise or found
        return {name + "==" + version for name, version, _, _ in found}


class Search:
    """A search for everything that modules import, through the drivers' own files."""

    def __init__(self, path):
        self._own = [os.path.realpath(folder) for folder in path]
        self._folders = self._own + [os.path.realpath(folder) for folder in sys.path]
        self.packages = Packages(list(path) + sys.path)
        paths = sysconfig.get_paths()
        self._standard = {os.path.realpath(paths[key]) for key in ("stdlib", "platstdlib")}
        self._standard |= {os.path.join(folder, "lib-dynload") for folder in self._standard}
        self._seen, self._files = set(), set()
        self._waiting = []
        self.needs, self.unknown = set(), set()

    def has(self, module):
        """Whether a module is there."""
        top = module.partition(".")[0]
        folder, _ = self._locate(top)
        if folder is None:
            return _is_standard(top) or bool(self.packages.owners(top))
        return not self._is_driver(top, folder) or bool(self._parts(folder, module)[-1])

    def visit(self, module):
        """Follows a module and all that it imports."""
        self._waiting.append(module)
        # No recursion: drivers may import each other in a chain that is longer than the stack.
        while self._waiting:
            self._follow(self._waiting.pop())

    def _follow(self, module):
        if module in self._seen:
            return
        self._seen.add(module)
        top = module.partition(".")[0]
        folder, is_source = self._locate(top)
        if top in OWN or _is_standard(top) and folder not in self._own:
            return
        if folder is None:
            owners = self.packages.owners(module)
            self.needs |= owners
            if not owners:
                self.unknown.add(top)
        elif not self._is_driver(top, folder):
            self.needs |= self.packages.owners(module, folder) or self.packages.owners(module)
        elif is_source:
            parts = module.split(".")
            for depth, file in enumerate(self._parts(folder, module)):
                if file:
                    is_package = os.path.basename(file) == "__init__.py"
                    self._read(file, parts[: depth + 1 if is_package else depth])

    def _is_driver(self, top, folder):
        """Whether a module is a driver's own file, and of no package."""
        if folder in self._standard or self.packages.owners(top, folder):
            return False
        return folder in self._own or not self.packages.owners(top)

    def _locate(self, top):
        """The folder of a module or a package, and whether it has Python sources."""
        namespace = None
        for folder in self._folders:
            place = os.path.join(folder, top)
            if os.path.isfile(place + ".py") or os.path.isfile(os.path.join(place, "__init__.py")):
                return folder, True
            if any(os.path.isfile(place + suffix) for suffix in machinery.EXTENSION_SUFFIXES):
                return folder, False
            if namespace is None and os.path.isdir(place):
                namespace = folder
        return namespace, namespace is not None

    def _parts(self, folder, module):
        """The files of a module and of the packages that it is in; the last is its own, or None."""
        files, place = [], folder
        for part in module.split("."):
            place = os.path.join(place, part)
            names = [os.path.join(place, "__init__.py"), place + ".py"]
            names += [place + suffix for suffix in machinery.EXTENSION_SUFFIXES]
            found = [name for name in names if os.path.isfile(name)]
            files.append(found[0] if found else place if os.path.isdir(place) else None)
        return files

    def _read(self, file, package):
        """Notes what a file imports; relative imports in it begin in `package`."""
        if file in self._files or len(self._files) >= MAX_FILES or not file.endswith(".py"):
            return
        self._files.add(file)
        try:
            if os.path.getsize(file) > MAX_BYTES:
                return
            with open(file, "rb") as source:
                tree = ast.parse(source.read(), file)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return  # its import will say so
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._waiting += [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                self._visit_from(node, package)

    def _visit_from(self, node, package):
        start = node.module or ""
        if node.level > len(package):
            return  # it fails there as well
        if node.level:
            parts = package[: len(package) - node.level + 1]
            start = ".".join(parts + ([start] if start else []))
        self._waiting.append(start)
        self._waiting += [start + "." + name.name for name in node.names if name.name != "*"]


def _is_standard(top):
    return top in sys.builtin_module_names or top in getattr(sys, "stdlib_module_names", ())


def _plain(name):
    return name.lower().replace("_", "-").replace(".", "-")


def _modules(package):
    """The names of the top modules of an installed package."""
    for line in (package.read_text("top_level.txt") or "").split():
        yield line.replace("/", ".").partition(".")[0]
    for file in package.files or ():
        parts = file.parts
        if ".." in parts or not parts:
            continue
        name = parts[0] if len(parts) > 1 else inspect.getmodulename(parts[0])
        if name and name.isidentifier():
            yield name


def _has_file(package, start):
    files = package.files or ()
    return any(str(file).startswith((start + "/", start + ".")) for file in files)


def answer(question):
    """The needs of the services, and the versions of the packages that are wanted."""
    search = Search(question["path"])
    absent = []
    for service, module in sorted(question["services"].items()):
        if not search.has(module):
            absent.append([service, module])
        search.visit(module)
    versions = search.packages.versions
    return {
        "version": ".".join(str(part) for part in sys.version_info[:3]),
        "needs": sorted(search.needs, key=str.lower),
        "unknown": sorted(search.unknown - {module.partition(".")[0] for _, module in absent}),
        "absent": absent,
        "installed": {name: versions.get(_plain(name)) for name in question["wanted"]},
    }


print("\n" + json.dumps(answer(json.load(sys.stdin))), flush=True)
