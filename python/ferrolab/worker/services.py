"""Services, sessions, and the instances that serve them.

Owns the instance modes and the release of instances. Knows nothing of sockets, frames or the
configuration.
"""

import functools
import inspect
import sys
import threading
import weakref

from . import describe, exposure, pyro, stdio
from .logging_bridge import log

# Set when a method of a safe state has raised.
unrested = threading.Event()


class Service:
    """A class (or an object) that is served under a name."""

    # The name of the service that it is a part of.
    owner = None
    # Gets `report_broken` when an instance cannot be made, `report_mended` when one can be again.
    reports = None

    def __init__(
        self,
        name,
        target,
        mode=None,
        selection=exposure.MARKED,
        arguments=None,
        on_disconnect=(),
        is_made=False,
    ):
        self.name = name
        self._lock = threading.Lock()
        self._instance = None
        self._rested = False
        self._positional, self._keywords = make_arguments(arguments)
        self._on_disconnect = tuple(on_disconnect)
        if inspect.isclass(target):
            self.cls = target
            own_mode, self._creator = getattr(target, "_pyroInstancing", ("session", None))
            self.mode = mode or own_mode
        else:
            self.cls = type(target)
            self.mode, self._creator, self._instance = "single", None, target
        self.target = target
        # Whether an object that is no class was made for this service, and is released with it.
        self._is_made = is_made
        # The members of a module are its own, those of an instance are its class's.
        self.shape = target if inspect.ismodule(target) else self.cls
        self.selection = selection
        # Whether its one instance is made before the first call.
        self.is_eager = False
        # Called with the first instance, where its class does not show everything.
        self.look = None
        self.is_seen = True
        # Instances for sessions and single calls, by identity, as long as they live.
        self._made = weakref.WeakValueDictionary()
        self.broken = False
        # Attributes that hold objects which the log has warned of.
        self.warned_of = set()
        # Whether the daemon has been told its members.
        self.is_loaded = False
        # Methods that the daemon adds, to lock it for one.
        self.added = ()
        self.set_members(exposure.members(self.shape, selection))
        # Methods that end a running call.
        self.abort_methods = ()
        # Settings that do not fit the members, as texts for `ferrolab ps`.
        self.remarks = []
        # Members that the configuration says something of, each with its arguments' names.
        self.facts = {}

    def set_members(self, members, parts=(), saw_part=None):
        """Says what is exposed, and under which names further objects hang on the instance."""
        self.members = members
        if parts or self.selection.hidden:
            self.access = exposure.RestrictedAccess(members, self.selection, parts, saw_part)
        else:
            self.access = exposure.Access(members, self.selection)

    def described(self):
        """The members with the service card, for the daemon."""
        found = dict(self.members)
        try:
            found["card"] = describe.card(self.shape, self.members)
        except Exception:
            log.warning("the members of '%s' cannot be described", self.name, exc_info=True)
        return describe.fit({self.name: found})[self.name]

    def instance_for_call(self, session, pin=0):
        """The instance for a call; calls of the same `pin` share one. A constructor's error is
        reported to the daemon."""
        try:
            if pin and self.mode == "percall":
                instance = session.pinned(pin, self)
            else:
                instance = self.instance(session)
        except BaseException as error:  # a constructor that calls sys.exit() is as broken as any
            if self.reports is not None:
                self.reports.report_broken(self, error)
            raise
        if self.broken:
            self.reports.report_mended(self)
        return instance

    def instance(self, session):
        """The instance that serves a call of `session`."""
        if self.mode == "single":
            self._rested = False
            instance = self._instance
            if instance is None:
                with self._lock:
                    if self._instance is None:
                        self._instance = self._create()
                    instance = self._instance
            return instance
        if self.mode == "session":
            return session.instance(self)
        if self.mode == "percall":
            return self._create()
        raise pyro.error_class("DaemonError")("invalid instancemode in registered class")

    def has_instance(self, session):
        """Whether there is an instance that serves a call of `session`."""
        if self.mode == "single":
            return self._instance is not None
        return self.mode == "session" and session.has_instance(self)

    def single_instance(self):
        """The one instance for all clients, if it has been made."""
        return self._instance

    def mark_used(self):
        """A call drives the one instance by way of a part: the safe state is due again."""
        self._rested = False

    def mark_driven(self, session, instance):
        """An item stream drives an instance for `session`: the safe state is due again."""
        if self.mode == "single":
            self._rested = False
        elif self.mode == "session":
            session.mark_driven(self, instance)

    def look_with(self, look):
        """Has the first instance looked at with `look`."""
        self.look, self.is_seen = look, False

    def starts_with_instance(self):
        """Whether its one instance is made at the start: it is wanted then, or only it tells what
        is exposed."""
        return self.mode == "single" and (self.is_eager or not self.is_seen)

    def make_at_start(self):
        """Makes the instance that the service starts with."""
        if self.starts_with_instance():
            self._see(self.instance(None))

    def _see(self, instance):
        if not self.is_seen:
            self.is_seen = True
            self.look(instance)

    def is_served_by(self, obj):
        """Whether calls go to this very object; another of its class is another instrument."""
        if self.mode == "single":
            return self._instance is obj
        return self._made.get(id(obj)) is obj

    def _create(self):
        if self._creator is None:
            instance = self.cls(*self._positional, **self._keywords)
        else:
            instance = self._creator(self.cls)
            if not isinstance(instance, self.cls):
                raise TypeError("instance creator returned object of different type")
        try:
            self._made[id(instance)] = instance
        except TypeError:
            pass  # a class with slots, without one for weak references
        self._see(instance)
        return instance

    def to_rest(self, session, member, makes_instance=False):
        """Calls a method for a session that has lost its lock. Returns the instance mode if there
        is no instance to call it on; one is made only for a service that has one for all.

        At the end of an instance that was not used since the same would be called, and is not.
        """
        if self.mode == "single":
            instance = self.instance(session) if makes_instance else self._instance
            self._rested = instance is not None
            instances = [instance] if self._rested else []
        elif self.mode == "session":
            instances = session.rested(self)
        else:
            instances = []
        return self._call_on_each(instances, member)

    def abort(self, sessions, member):
        """Calls a method beside the running calls, on the instances of these sessions. Returns the
        instance mode where no instance exists."""
        return self._call_on_each(self._driven(sessions), member)

    def aborts(self, sessions):
        """Functions that end the calls which run, at the end of the process."""
        return [
            functools.partial(self._abort_at_end, instance)
            for instance in (self._driven(sessions) if self.abort_methods else ())
        ]

    def _abort_at_end(self, instance):
        stdio.current.service = self.name
        _call_all(instance, self.abort_methods)

    def _driven(self, sessions):
        if self.mode == "single":
            instance = self._instance
            return [] if instance is None else [instance]
        if self.mode == "session":
            return [instance for session in sessions for instance in session.driven(self)]
        return []

    def _call_on_each(self, instances, member):
        failure = None
        for instance in instances:
            try:
                getattr(instance, member)()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return None if instances else self.mode

    def leave(self, session, rests):
        """Runs the safe state of what the session drives before its end, or skips it."""
        instances = session.rested(self, again=False) if self.mode == "session" else []
        for instance in instances if rests else []:
            self.bring_to_rest(instance)

    def is_locked(self):
        """Whether a constructor is under way that the release would wait for."""
        return self._lock.locked()

    def release_single(self):
        """Releases the one instance, if there is one."""
        with self._lock:
            instance, self._instance = self._instance, None
        if instance is not None and (instance is not self.target or self._is_made):
            self.release(instance, self._rested)

    def replace_instance(self):
        """Releases and closes the one instance, so that the next call makes another. Returns
        whether there was one; an object that was not made for the service stays."""
        instance = self._instance
        if instance is None or not inspect.isclass(self.target):
            return False
        self.release_single()
        self.is_seen = self.look is None
        close = getattr(instance, "close", None)
        if callable(close):
            try:
                close()
            except Exception:
                log.warning("close() failed at the end of an instance", exc_info=True)
        return True

    def bring_to_rest(self, instance):
        """Runs the safe state of an instance."""
        stdio.current.service = self.name
        _run_safe_state(instance, self._on_disconnect)

    def release(self, instance, rested=False):
        """Runs the safe state of an instance that is no longer used, and closes it."""
        stdio.current.service = self.name
        self._made.pop(id(instance), None)
        release_instance(instance, () if rested else self._on_disconnect)


def release_instance(instance, on_disconnect):
    """Calls the methods of an instance's safe state, and closes it."""
    _run_safe_state(instance, on_disconnect)
    drivers = sys.modules.get("pyrolab.drivers")
    instrument = getattr(drivers, "Instrument", None)
    if instrument is not None and isinstance(instance, instrument):
        try:
            # PyroLab before 0.5, which is what older Pythons have, closes in the destructor.
            if hasattr(instance, "_release"):
                instance._release()
        except Exception:
            log.warning("closing %s failed", type(instance).__name__, exc_info=True)


def _run_safe_state(instance, methods):
    is_reached = False
    try:
        is_reached = _call_all(instance, methods)
    finally:
        if not is_reached:
            unrested.set()


def _call_all(instance, methods):
    """Calls methods one after the other; returns whether none has raised."""
    failed = 0
    for name in methods:
        try:
            getattr(instance, name)()
        except Exception:
            failed += 1
            log.warning("%s() failed at the end of a session", name, exc_info=True)
    return not failed


def make_arguments(arguments):
    """Positional and keyword arguments, of what the configuration's `arguments` say."""
    if arguments is None:
        return (), {}
    if isinstance(arguments, dict):
        return (), arguments
    return tuple(arguments), {}


# -- sessions -----------------------------------------------------------------------------------


class Session:
    """One client connection of the daemon, with the instances that are its own."""

    def __init__(self, address, own_address, object_id):
        self.address = address
        self.connection = pyro.Connection(address, own_address, object_id)
        self.channels = 0
        self._instances = {}
        # Instances of earlier sessions that this one drives by item streams which it took over, by
        # identity, each with its service and whether its safe state was run since.
        self._taken_over = {}
        # Instances for one call each, for as long as a batch that is carried out entry by entry.
        self._pinned = {}
        # Services whose instance is in its safe state and was not used since.
        self._rested = set()
        # A oneway call of the session may run beside its other calls.
        self._lock = threading.Lock()

    def instance(self, service):
        """The session's own instance of a service."""
        entry = self._instances.get(service.name)
        if self._rested:
            self._rested.discard(service.name)
        if entry is None or entry[0] is not service:
            with self._lock:
                entry = self._instances.get(service.name)
                if entry is None or entry[0] is not service:
                    entry = (service, service._create())
                    self._instances[service.name] = entry
        return entry[1]

    def has_instance(self, service):
        """Whether the session has an instance of a service."""
        entry = self._instances.get(service.name)
        return entry is not None and entry[0] is service

    def pinned(self, pin, service):
        """The instance of a batch whose entries come one by one."""
        if pin not in self._pinned:
            self._pinned[pin] = service.instance(self)
        return self._pinned[pin]

    def unpin(self, pin):
        """The batch has ended."""
        self._pinned.pop(pin, None)

    def mark_driven(self, service, instance):
        """An item stream of `instance` is read: the safe state is due again."""
        entry = self._instances.get(service.name)
        if entry is not None and entry[1] is instance:
            self._rested.discard(service.name)
        else:
            self._taken_over[id(instance)] = (service, instance, False)

    def driven(self, service):
        """The instances of a service that the session drives."""
        entry = self._instances.get(service.name)
        own = [entry[1]] if entry is not None and entry[0] is service else []
        taken_over = list(self._taken_over.values())
        return own + [instance for of, instance, _ in taken_over if of is service]

    def rested(self, service, again=True):
        """The instances of a service that the session drives, for their safe state. One that was
        not used since its last safe state counts only with `again`."""
        found = []
        entry = self._instances.get(service.name)
        if entry is not None and entry[0] is service:
            if again or service.name not in self._rested:
                self._rested.add(service.name)
                found.append(entry[1])
        for key, (of, instance, is_rested) in list(self._taken_over.items()):
            if of is service and (again or not is_rested):
                self._taken_over[key] = (of, instance, True)
                found.append(instance)
        return found

    def release(self):
        """Releases what belongs to the session."""
        with self._lock:
            self._pinned = {}
        # One at a time: where one hangs at the end of the process, others see to the rest.
        for release in self._take():
            release()
        self.connection.close_resources()

    def releases(self):
        """Functions that release the session, each with whether it must wait for a constructor."""
        return [(False, release) for release in self._take()] + [
            (self._lock.locked(), self.release)
        ]

    def _take(self):
        """Takes the instances out, one after the other, and gives what releases each."""
        while self._instances:
            name = next(iter(list(self._instances)), None)
            entry = self._instances.pop(name, None)
            if entry is not None:
                service, instance = entry
                yield functools.partial(service.release, instance, name in self._rested)
        while self._taken_over:
            key = next(iter(list(self._taken_over)), None)
            service, instance, is_rested = self._taken_over.pop(key, (None, None, True))
            if not is_rested:
                yield functools.partial(service.bring_to_rest, instance)


class Sessions:
    """The sessions that have a channel here."""

    def __init__(self):
        self._lock = threading.Lock()
        self._by_id = {}
        # Those whose release is under way, and may hang.
        self._leaving = set()

    def bind(self, number, address, own_address, object_id):
        """The session of that number, which one more channel now belongs to."""
        with self._lock:
            session = self._by_id.get(number)
            if session is None:
                session = self._by_id[number] = Session(address, own_address, object_id)
            session.channels += 1
            return session

    def chosen(self, numbers):
        """The sessions of these numbers that have a channel; all of them without numbers."""
        with self._lock:
            if numbers is None:
                return list(self._by_id.values())
            return [self._by_id[number] for number in numbers if number in self._by_id]

    def hold(self, session):
        """A oneway call of a session begins: it counts as one of its channels."""
        with self._lock:
            session.channels += 1

    def unbind(self, number, session):
        """One channel or oneway call of a session has ended; with the last one its instances go."""
        with self._lock:
            session.channels -= 1
            if session.channels:
                return
            self._by_id.pop(number, None)
            self._leaving.add(session)
        try:
            session.release()
        finally:
            with self._lock:
                self._leaving.discard(session)

    def are_leaving(self):
        """Whether sessions are being released."""
        with self._lock:
            return bool(self._leaving)

    def releases(self):
        """Functions that release all sessions, whether or not their calls still run."""
        with self._lock:
            sessions = list(self._by_id.values()) + list(self._leaving)
        return [release for session in sessions for release in session.releases()]
