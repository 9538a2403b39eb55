"""Proxies in place of registered objects where the driver itself is a client.

In a process with a Pyro5 daemon, Pyro5's serializers replace a registered object by its proxy, also
in calls to other servers. Here they are told to, once a driver has imported them.
"""

import weakref

from . import pyro
from .import_watch import when_imported
from .logging_bridge import log


class AutoProxies:
    """The classes whose objects may be registered, as Pyro5's serializers know them."""

    def __init__(self, daemon):
        self._daemon = daemon
        # By identity: a class need not be hashable. Weak: drivers may make one for each object.
        self._classes = {}
        self._serializers = None

    def watch(self):
        """Tells the serializers, now or when they are imported."""
        when_imported("Pyro5.serializers", self._start)

    def add(self, cls):
        """One more class, or one that is known."""
        key = id(cls)
        if key in self._classes:
            return
        self._classes[key] = weakref.ref(cls, lambda _: self._classes.pop(key, None))
        if self._serializers is not None:
            self._tell(cls)

    def renew(self, cls):
        """An object of the class is registered: with serpent, its proxies replace what the driver
        has registered for the class before, as under Pyro5."""
        self._classes.pop(id(cls), None)
        self.add(cls)

    def discard(self, cls):
        """No object of the class is registered any longer: nothing keeps the class."""
        self._classes.pop(id(cls), None)
        for serializer in (self._serializers or {}).values():
            kind = type(serializer)
            known = vars(kind).get("_{}__type_replacements".format(kind.__name__), {})
            if getattr(known.get(cls), "_ferrolab_auto_proxy", False):
                known.pop(cls, None)
        writers = pyro.serpent_converters()
        if getattr(writers.get(cls), "_ferrolab_auto_proxy", False):
            writers.pop(cls, None)

    def _start(self, module):
        self._serializers = getattr(module, "serializers", {})
        for cls in [known() for known in list(self._classes.values())]:
            if cls is not None:
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
