"""The object that a driver finds as `self._pyroDaemon`.

Owns the objects that drivers register at run time. The daemon itself is another process; its
part is asked for over the control socket.
"""

import collections
import inspect
import queue
import threading
import uuid
import weakref

from . import class_copy, exposure, pyro, stdio
from .auto_proxy import AutoProxies
from .logging_bridge import log
from .objects_by_id import ObjectsById
from .part_table import TAKEN, PartTable
from .services import Service
from .stdio import clean

_OFFERED = (
    "register",
    "unregister",
    "uriFor",
    "proxyFor",
    "resetMetadataCache",
    "objectsById",
    "locationStr",
    "natLocationStr",
)


class HostedDaemon:
    """The part of Pyro5's `Daemon` that served objects use."""

    def __init__(self, services, ask):
        self._services = services
        self._ask = ask
        # Reentrant: a destructor may unregister what it owns at any step of its thread.
        self._lock = threading.RLock()
        self._registered = {}
        # Objects of `weak=True` that were collected. Destructors run on any thread, also the one of
        # the control socket, which must not wait for answers that it reads itself.
        self._dead = queue.SimpleQueue()
        self._reaper = None
        # How many objects have each class.
        self._classes = collections.Counter()
        self._service_classes = ()
        self._parts = PartTable(services, self._lock, ask, self._count_classes)
        self._known_location = None
        self.objectsById = ObjectsById(self)
        self._auto_proxies = AutoProxies(self)
        self._auto_proxies.watch()

    @property
    def locationStr(self):
        """Where the daemon listens."""
        return self._location()[0]

    @property
    def natLocationStr(self):
        """The address that clients beyond a router use; None if it is not configured."""
        return self._location()[1]

    def add(self, service):
        """Serves what the configuration has named."""
        with self._lock:
            self._services[service.name] = service
            self._service_classes += (class_copy.original(service.cls),)
            self._classes[service.cls] += 1
        self._auto_proxies.add(service.cls)

    def serve_parts(self, owner, parts):
        """Serves the parts of a service, in place of those that it had before. Returns the reasons
        why some are not served, by their ids."""
        return self._parts.serve(owner, parts)

    def serve_instead(self, part, obj):
        """Serves another object as the part, or nothing for now (None)."""
        self._parts.serve_instead(part, obj)

    def parts_of(self, owner):
        """The parts of a service."""
        return self._parts.of(owner)

    def part(self, name):
        """The part of that name, if there is one."""
        service = self._services.get(name)
        return service if service is not None and service.owner else None

    def has_part(self, obj):
        """Whether an object is served as a part."""
        return self._parts.by_object(obj) is not None

    def wait_for_reports(self):
        """Waits until the daemon has heard what this process has told it before."""
        try:
            self._ask("location")
        except Exception:
            log.debug("the daemon does not answer", exc_info=True)

    def register(self, obj_or_class, objectId=None, force=False, weak=False):
        """Serves an object or a class under an id, and returns its URI."""
        objectId = objectId or "obj_" + uuid.uuid4().hex
        if not isinstance(objectId, str):
            raise TypeError("objectId must be a string or None")
        if clean(objectId) != objectId:
            raise ValueError("an object id must be Unicode text, without lone surrogates")
        self._bury()
        is_class = inspect.isclass(obj_or_class)
        if is_class and weak:
            raise TypeError("Classes cannot be registered with weak=True.")
        if is_class and not hasattr(obj_or_class, "_pyroInstancing"):
            obj_or_class._pyroInstancing = ("session", None)
        if not force:
            known = getattr(obj_or_class, "_pyroId", "")
            if known and self._object(known) is obj_or_class:
                raise pyro.error_class("DaemonError")("object or class already has a Pyro id")
            if objectId in self.objectsById:
                raise pyro.error_class("DaemonError")(TAKEN)
        service = (_WeakService if weak else Service)(objectId, obj_or_class)
        # Asked first: an id that the daemon refuses stays whose it is.
        self._serve(service)
        try:
            obj_or_class._pyroId = objectId
            obj_or_class._pyroDaemon = self
        except BaseException:
            # It takes no attributes. No client may find an id without an object.
            self._ask("unregister", objectId)
            raise
        with self._lock:
            # With `force`, an id may change its object.
            self._forget(objectId)
            self._registered[objectId] = weakref.ref(obj_or_class) if weak else obj_or_class
            self._services[objectId] = service
            self._classes[service.cls] += 1
        self._auto_proxies.renew(service.cls)
        if weak:
            self._watch(obj_or_class, service)
        return self.uriFor(objectId)

    def unregister(self, objectOrId):
        """Ends the serving of an object."""
        if objectOrId is None:
            raise ValueError("object or objectid argument expected")
        target = None
        if isinstance(objectOrId, str):
            objectId = objectOrId
        else:
            target, objectId = objectOrId, self._id_of(objectOrId)
            if objectId is None:
                raise pyro.error_class("DaemonError")("object isn't registered")
        if not self._forget(objectId):
            return
        self._ask("unregister", objectId)
        if target is not None:
            for name in ("_pyroId", "_pyroDaemon"):
                try:
                    delattr(target, name)
                except AttributeError:
                    pass

    def shutdown(self):
        """Refuses: other services live in the daemon, and its supervisor would start it again."""
        raise pyro.error_class("DaemonError")(
            "a driver cannot stop the daemon that hosts it: it belongs to the lab. Stop it with "
            "`ferrolab stop daemon NAME`"
        )

    close = requestLoop = shutdown

    def __getattr__(self, name):
        raise AttributeError(
            "'_pyroDaemon.{}' is not there: the daemon of a driver that Ferrolab hosts is another "
            "process, and has {} only".format(name, ", ".join(_OFFERED))
        )

    def _watch(self, obj, service):
        """Has an object unregistered when it is gone."""
        weakref.finalize(obj, self._dead.put, service).atexit = False
        with self._lock:
            if self._reaper is None:
                self._reaper = threading.Thread(
                    target=self._reap, name="ferrolab-reaper", daemon=True
                )
                self._reaper.start()

    def _reap(self):
        while True:
            self._unregister_dead(self._dead.get())

    def _bury(self):
        """Unregisters now what is gone, so that its ids are free."""
        try:
            while True:
                self._unregister_dead(self._dead.get_nowait())
        except queue.Empty:
            pass

    def _unregister_dead(self, service):
        # Its id may have got a new owner meanwhile.
        with self._lock:
            if self._services.get(service.name) is not service:
                return
            self._forget(service.name)
        try:
            self._ask("unregister", service.name)
        except Exception:
            log.warning("'%s' is gone and could not be unregistered", service.name, exc_info=True)

    def _object(self, objectId):
        """The object or class under an id."""
        entry = self.objectsById.get(objectId)
        return entry() if isinstance(entry, weakref.ref) else entry

    def _id_of(self, obj):
        """The id of a registered object or class, or of a service that this very object serves.

        An id on the class would be that of every other object of the class, too.
        """
        part = self._parts.by_object(obj)
        if part is not None:
            return part.name
        known = getattr(obj, "_pyroId", None)
        if inspect.isclass(obj):
            return known if known and self._object(known) is obj else None
        service = self._services.get(known)
        if service is not None and service.is_served_by(obj):
            return known
        with self._lock:
            services = list(self._services.values())
        return next((service.name for service in services if service.is_served_by(obj)), None)

    def _id_for_clients(self, obj):
        """As `_id_of`; an object of a class that the driver itself has registered has the id of
        its class, as under Pyro5. Only a service from the configuration is one instrument."""
        found = self._id_of(obj)
        if found is None and not inspect.isclass(obj):
            known = getattr(obj, "_pyroId", None)
            cls = self._registered.get(known) if isinstance(known, str) else None
            if inspect.isclass(cls) and isinstance(obj, cls):
                return known
        return found

    def _location(self):
        """The daemon's address and the one beyond a router. A daemon that listens at all addresses
        of its host has the one that the caller has reached; for others it is asked for anew, since
        addresses come and go."""
        known = self._known_location
        if known is None:
            known = self._ask("location")
            self._known_location = known
        location, nat_location, port = known
        if port is not None:
            host = _shareable(pyro.reached_address())
            location = "{}:{}".format(host, port) if host else self._ask("location")[0]
        return location, nat_location

    def _forget(self, objectId):
        with self._lock:
            if self._registered.pop(objectId, None) is None:
                return False
            service = self._services.pop(objectId, None)
            if service is not None:
                self._discard_class(service.cls)
        return True

    def _discard_class(self, cls):
        """One object or service less has the class; nothing keeps a class that none has."""
        self._classes -= collections.Counter([cls])
        if not self._classes[cls]:
            self._auto_proxies.discard(cls)

    def _count_classes(self, added, gone):
        """Objects of some classes are parts now, those of others are no longer."""
        with self._lock:
            self._classes.update(added)
            for cls in gone:
                self._discard_class(cls)
        for cls in added:
            self._auto_proxies.add(cls)

    def uriFor(self, objectOrId, nat=True):
        """The URI of a registered object, or of an object id."""
        objectId = objectOrId
        if not isinstance(objectOrId, str):
            objectId = self._id_for_clients(objectOrId)
            if objectId is None:
                raise pyro.error_class("DaemonError")(
                    "object isn't registered in this daemon"
                )
        location, nat_location = self._location()
        text = "PYRO:{}@{}".format(objectId, nat_location if nat and nat_location else location)
        try:
            from Pyro5.core import URI
        except ImportError:
            return text
        return URI(text)

    def proxyFor(self, objectOrId, nat=True):
        """A proxy of a registered object."""
        from Pyro5.client import Proxy

        uri = self.uriFor(objectOrId, nat)
        service = self._services.get(uri.object)
        if service is None:
            raise pyro.error_class("DaemonError")("object isn't registered in this daemon")
        proxy = Proxy(uri)
        proxy._pyroGetMetadata(
            known_metadata=dict(
                {key: set(names) for key, names in service.members.items()},
                methods=set(service.members["methods"]) | set(service.added),
            )
        )
        return proxy

    def resetMetadataCache(self, objectOrId, nat=True):
        """Has the members of an object listed anew."""
        service = self._services.get(self.uriFor(objectOrId, nat).object)
        if service is None:
            return
        if service.look is not None:
            service.look(service.instance(None))
        elif service.owner is not None:
            self.resetMetadataCache(service.owner)
        else:
            service.set_members(exposure.members(service.shape, service.selection))
            self._serve(service)

    def _serve(self, service):
        """Has the daemon serve an object, as a part of the service that its driver works for."""
        added = self._ask("register", service.name, service.described(), stdio.service())
        service.added = tuple(added or ())

    def proxy_of(self, obj):
        """A proxy of a registered object; None if it is not registered."""
        # Only objects of classes that are served are asked, as below.
        if not self._may_be_served(obj) or self._id_for_clients(obj) is None:
            return None
        return self.proxyFor(obj)

    def proxy_state(self, obj):
        """The content of the class dict of a proxy for `obj`; None if it is not registered."""
        # Only objects of classes that are served are asked: the attributes of others may be
        # remote themselves.
        if not self._may_be_served(obj):
            return None
        service = self._services.get(self._id_for_clients(obj))
        if service is None:
            return None
        members = service.members
        return (
            str(self.uriFor(service.name)),
            tuple(members["oneway"]),
            tuple(members["methods"]) + service.added,
            tuple(members["attrs"]),
            "hello",
            None,
        )

    def _may_be_served(self, obj):
        with self._lock:
            classes = tuple(self._classes)
        return isinstance(obj, classes)

    def is_of_service_class(self, obj):
        """Whether an object could be taken for what a configured service or a part serves."""
        return isinstance(obj, self._service_classes + self._parts.classes)


def _shareable(address):
    """The host of a socket's address as URIs have it; None if clients cannot share it: each has its
    own name for the link of a link-local IPv6 address."""
    if not address:
        return None
    host = address[0]
    if ":" not in host:
        return host
    return None if host.lower().startswith("fe80:") else "[{}]".format(host)


class _WeakService(Service):
    """A registered object that lives only as long as somebody else keeps it."""

    def __init__(self, name, target):
        super().__init__(name, type(target), "single")
        self._reference = weakref.ref(target)
        self.target = None

    def instance(self, session):
        instance = self._reference()
        if instance is None:
            raise pyro.error_class("DaemonError")("the object has been deleted meanwhile")
        return instance

    def has_instance(self, session):
        return True  # none is ever made

    def is_served_by(self, obj):
        return self._reference() is obj

    def release_single(self):
        pass
