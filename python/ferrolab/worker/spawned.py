"""`from ferrolab import expose` in the processes that `multiprocessing` spawns.

Such a process (start methods `spawn` and `forkserver`) imports the driver's module anew, and its
environment has no package `ferrolab`. The preparation data, which it reads first, brings the
package along. Nothing is written to the disk for it.
"""

from .import_watch import when_imported

_MODULE = "multiprocessing.spawn"


class _Package:
    """Sources that make the package importable in the process that unpickles them."""

    def __init__(self, boot, sources):
        self._program = boot + "\ninstall_public(SOURCES)\n"
        self._sources = sources

    def __reduce__(self):
        return exec, (self._program, {"__name__": "ferrolab-boot", "SOURCES": self._sources})


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
    when_imported(_MODULE, lambda module: _bring_along(module, package))
