"""Proxies in place of registered objects where the driver itself is a client.

In a process with a Pyro5 daemon, Pyro5's serializers replace a registered object by its proxy, also
in calls to other servers. Here they are told to, once a driver has imported them.
"""

from . import pyro
from .import_watch import when_imported
from .logging_bridge import log


class AutoProxies:
    """The classes whose objects may be registered, as Pyro5's serializers know them."""

    def __init__(self, daemon):
        self._daemon = daemon
        # By identity: a class need not be hashable.
        self._classes = {}
        self._serializers = None

    def watch(self):
        """Tells the serializers, now or when they are imported."""
        when_imported("Pyro5.serializers", self._start)

    def add(self, cls):
        """One more class, or one that is known."""
        if id(cls) in self._classes:
            return
        self._classes[id(cls)] = cls
        if self._serializers is not None:
            self._tell(cls)

    def _start(self, module):
        self._serializers = getattr(module, "serializers", {})
        for cls in list(self._classes.values()):
            self._tell(cls)

    def _tell(self, cls):
        for serializer in self._serializers.values():
            try:
                serializer.register_type_replacement(cls, self._replacement)
            except Exception:
                log.debug("%r is not replaced by proxies", cls, exc_info=True)
        writer = pyro.serpent_converters().get(cls)
        if writer is not None:
            # Pyro5 wraps the function for serpent.
            writer._ferrolab_auto_proxy = True

    def _replacement(self, obj):
        """A proxy of a registered object, or the object itself."""
        proxy = self._daemon.proxy_of(obj)
        return obj if proxy is None else proxy

    _replacement._ferrolab_auto_proxy = True
