"""First look at a service's instance: members that its class does not show, and its parts.

Owns what follows from the configuration's `expose` and `parts` where only an instance tells it.
Knows nothing of calls or frames.
"""

import functools
import threading

from . import describe, exposure, parts, static_look
from .logging_bridge import log
from .served_part import Part

# Seconds that a look waits for another one. The thread that reads the daemon's answers, on which a
# destructor may have brought it here, must not wait for a look that waits for an answer.
_TURN_SECONDS = 5

# Members that a lock adds to a service; every client may call them.
_OF_LOCKS = ("lock", "unlock", "islocked", "lock_info")


def is_needed(service, wanted):
    """Whether an instance has to be looked at, to know what the service exposes."""
    selection = service.selection
    return bool(
        wanted or selection.everything or exposure.unknown(service.shape, selection)
    )


class FirstLook:
    """Looks at an instance when it has been made, and again when something else hangs on it."""

    def __init__(self, service, wanted, readable, daemon, tell):
        self._service, self._daemon, self._tell = service, daemon, tell
        # The configuration's `parts` and `read_while_locked`.
        self._wanted, self._readable = wanted, readable
        # Remarks that no instance changes.
        self._remarks = list(service.remarks)
        # Objects that the last look has found and that are not served, by path.
        self._unserved = {}
        # Two threads may see new objects at a time.
        self._turn = threading.RLock()
        self._is_looking = False
        # The attributes that the instance itself had at the last look: their number, those names
        # that clients may see.
        self._size, self._names = 0, set()
        # Names that `__getattr__` makes up and that have turned out to be methods when read.
        self._made_up_methods = set()

    def __call__(self, instance):
        """Lists what the instance exposes, and serves its parts. Never raises."""
        if not self._turn.acquire(timeout=_TURN_SECONDS):
            return
        try:
            if not self._is_looking:  # else a property that is read has asked for another look
                self._is_looking = True
                try:
                    self._look(instance)
                finally:
                    self._is_looking = False
        finally:
            self._turn.release()

    def follow(self, instance):
        """Looks again when an instance for all clients has got other attributes since the last
        look. Called after each call."""
        own = static_look.own_dict(instance)
        if len(own) == self._size or self._service.mode != "single":
            return
        self._size = len(own)
        names, members = self._own_names(own), self._service.members
        if self._names - names or names.difference(self._names, *members.values()):
            self(instance)
            # A client that connects after this call's answer knows the members.
            self._daemon.wait_for_reports()

    def _own_names(self, own):
        """The names that clients may see among attributes of an instance, and that its class does
        not have."""
        is_own = lambda name: static_look.member_of(self._service.cls, name, self) is self
        names = [name for name in list(own) if isinstance(name, str)]
        return {name for name in names if not name.startswith("_") and is_own(name)}

    def learn_method(self, instance, name):
        """Lists a member as a method, for clients that connect from now on."""
        self._made_up_methods.add(name)
        self(instance)
        self._daemon.wait_for_reports()

    def has_refused(self, path, obj):
        """Whether the last look has found this object and did not serve it."""
        return self._unserved.get(path) is obj

    def _look(self, instance):
        service = self._service
        before = service.members, service.remarks
        own = static_look.own_dict(instance)
        self._size, self._names = len(own), self._own_names(own)
        problems = []
        try:
            children = self._serve_parts(instance, problems) if self._wanted else ()
            members = exposure.members(service.shape, service.selection, instance, children)
            members = exposure.leave_out(members, self._unknown(instance, problems))
            self._hides_nothing(instance, problems)
            learned = self._made_up_methods.intersection(members["attrs"]).difference(children)
            members["methods"] = sorted(learned.union(members["methods"]))
            members["attrs"] = [name for name in members["attrs"] if name not in learned]
            service.set_members(members, children, functools.partial(self._saw_part, ""))
            if not self._wanted and not members["methods"] and not members["attrs"]:
                problems.append("it exposes nothing: its class has no public members")
        except BaseException as error:  # the instance is there, and must not be made again
            log.warning("the members of '%s' cannot be listed", service.name, exc_info=True)
            problems.append("{}: {}".format(type(error).__name__, error))
        problems += not_readable(service, self._readable, self._of_parts())
        problems += not_described(service, self._daemon.parts_of(service))
        # Some names are told when the class is loaded, and again with the instance.
        service.remarks = list(dict.fromkeys(self._remarks + problems))
        if (service.members, service.remarks) != before:
            self._tell(service)

    def _serve_parts(self, instance, problems):
        """Serves the parts; returns the names under which they hang on the instance itself."""
        service = self._service
        hidden = service.selection.hidden
        found, not_found = parts.find(instance, self._wanted, hidden)
        problems += not_found
        children = _children(found, self._wanted)
        children[""] -= hidden
        made, bare, names = [], [], 0
        for path, obj in found.items():
            try:
                saw_part = functools.partial(self._saw_part, path + ".")
                own = children.get(path, ())
                part = Part(service, instance, path, obj, own, saw_part, self._daemon)
            except Exception as error:
                problems.append("parts: {}: {}: {}".format(path, type(error).__name__, error))
                continue
            if not any(part.members.values()):
                bare.append(path)
                continue
            names += sum(map(len, part.members.values()))
            if names > parts.MAX_NAMES:
                problems.append("parts: they have more than {} members".format(parts.MAX_NAMES))
                break
            made.append(part)
        if bare and not (made and set(bare).isdisjoint(self._wanted)):
            text = "parts: {} exposes nothing; `expose` of the service is for its parts, too"
            problems.append(text.format(", ".join(bare[:5])))
        made += self._absent(instance, found, parts.MAX_PARTS - len(made))
        for name, reason in sorted(self._daemon.serve_parts(service, made).items()):
            problems.append("parts: {}: {}".format(name, reason))
        self._unserved = {
            path: obj for path, obj in found.items() if not self._daemon.has_part(obj)
        }
        return children[""]

    def _absent(self, instance, found, most):
        """The parts that were served before and hang there no longer. They stay: their callers hear
        why, and another object may take the place."""
        absent = [part for part in self._daemon.parts_of(self._service) if part.path not in found]
        del absent[max(most, 0) :]
        for part in absent:
            part.let_go_of_absent(instance)
        return absent

    def _unknown(self, instance, problems):
        """The names in `expose` that the service itself does not have. Those that its parts do not
        have either are problems; but an instance that makes up members may know them."""
        service = self._service
        of_parts = self._of_parts()
        unknown = exposure.unknown(service.shape, service.selection, instance)
        known = [name for name in static_look.names_of(instance) if not name.startswith("_")]
        may_have = static_look.makes_up_members(service.shape)
        problems += [
            not_exposed(service, name, known)
            for name in unknown
            if name not in of_parts and not (may_have and not parts.nearest(name, known))
        ]
        return of_parts.intersection(unknown) if may_have else unknown

    def _hides_nothing(self, instance, problems):
        """Finds the names in `except` that nothing has: members that they were meant for are open.
        The instrument is not asked, so one that answers to any name gets no remark."""
        service = self._service
        if static_look.makes_up_members(service.shape):
            return
        known = set(static_look.names_of(instance))
        for part in self._daemon.parts_of(service):
            known.update(static_look.names_of(part.target))
        problems += [
            not_exposed(service, name, known, "except")
            for name in sorted(service.selection.hidden - known)
        ]

    def _of_parts(self):
        """The names of the members of all parts."""
        names = set()
        for part in self._daemon.parts_of(self._service):
            names.update(part.members["methods"], part.members["attrs"])
        return names

    def _saw_part(self, prefix, name, value):
        """A client has read what hangs under a name: an instrument may get new channels."""
        path = prefix + name
        part = self._daemon.part("{}.{}".format(self._service.name, path))
        if part is not None and type(part.target) is type(value):
            if part.target is not value:
                self._daemon.serve_instead(part, value)
        elif part is not None and not parts.may_be_part(value):
            self._daemon.serve_instead(part, None)
        elif self.has_refused(path, value):
            pass  # Another look would find the same, and takes long where there are many parts.
        elif parts.is_part(value) and not self._daemon.has_part(value):
            self(self._service.instance(None))


def not_readable(service, readable, of_parts=()):
    """Remarks on names in `read_while_locked` that are most likely mistaken: others may be those of
    an object that the driver will register."""
    members = set(service.members["methods"]).union(service.members["attrs"], of_parts)
    title = getattr(service.shape, "__name__", service.name)
    return [
        "read_while_locked: {} exposes no '{}'{}".format(title, name, parts.nearest(name, members))
        for name in readable
        if name not in members and name not in _OF_LOCKS and parts.nearest(name, members)
    ]


def not_described(service, of_parts=()):
    """Remarks on names in `members` that nothing has: a limit on such a name limits nothing."""
    title = getattr(service.shape, "__name__", service.name)
    remarks = []
    for path, arguments in service.facts.items():
        below, _, name = path.rpartition(".")
        owners = [part for part in of_parts if part.name == "{}.{}".format(service.name, below)]
        if not below:
            owners = [service] + list(of_parts)
        names = set()
        for owner in owners:
            names.update(owner.members["methods"], owner.members["attrs"])
        if name not in names:
            near = parts.nearest(name, names)
            remarks.append("members: {} has no '{}'{}".format(title, path, near))
            continue
        remarks += _unknown_arguments(owners, {path: arguments})
    return remarks


def likely_mistakes(service, readable):
    """Remarks on names in the configuration that a class does not have, without an instance, which
    may have more: only on those that are much like another name."""
    shape, selection = service.shape, service.selection
    if static_look.makes_up_members(shape):
        return []
    title = getattr(shape, "__name__", service.name)
    known = [name for name in static_look.names_of(shape) if not name.startswith("_")]
    # Where there is no one instance, they are told anyway.
    listed = exposure.unknown(shape, selection) if service.mode == "single" else ()
    named = [("expose", name) for name in sorted(listed)]
    named += [("except", name) for name in sorted(selection.hidden)]
    named += [("read_while_locked", name) for name in readable if name not in _OF_LOCKS]
    named += [("members", path) for path in service.facts if "." not in path]
    set_by_methods = static_look.names_in_methods(shape)
    remarks = []
    for key, name in named:
        near = parts.nearest(name, known)
        if near and name not in known and name not in set_by_methods:
            text = "{}: the class {} has no '{}'{}"
            remarks.append(text.format(key, title, name, near))
    return remarks + _unknown_arguments([service], service.facts)


def _unknown_arguments(owners, facts):
    """Remarks on arguments in `members` that no such method takes."""
    remarks = []
    for path, arguments in facts.items():
        for owner in owners:
            name = path.rpartition(".")[2]
            known = describe.parameter_names(owner.shape, owner.members, name)
            for argument in () if known is None else arguments:
                if argument not in known:
                    text = "members: '{}' has no argument '{}'{}"
                    near = parts.nearest(argument, known)
                    remarks.append(text.format(path, argument, near))
    return remarks


def not_exposed(service, name, known, key="expose"):
    """A remark on a name in `expose`, or in `except`, that there is not."""
    near = parts.nearest(name, [other for other in known if not other.startswith("_")])
    title = getattr(service.shape, "__name__", "it")
    return "{}: {} has no '{}'{}".format(key, title, name, near)


def advice_on_object(service, name, value):
    """The way to an object that hangs on an instrument and is no part; None for other values."""
    if not service.selection.is_given or not parts.holds_part(value):
        return None
    owner = getattr(service, "owner", None) or service.name
    path = "{}.{}".format(service.name, name)[len(owner) + 1 :]
    return "`parts: [{}]` in the configuration of '{}' serves it".format(path, owner)


def refuse_method(service, instance, name, value):
    """Raises where what was read is a method that only `__getattr__` knows: no client can call a
    value. Those that connect afterwards find a method."""
    if service.look is None or not exposure.is_made_up(instance, name):
        return
    if name in service.members["methods"] or parts.is_part(value):
        return
    service.look.learn_method(instance, name)
    raise AttributeError(
        "'{}' of service '{}' is a method, which its class does not show: connect anew to call "
        "it".format(name, service.name)
    )


def warn_of_object(service, name, value):
    """Logs that an object was sent as data, once for each attribute."""
    advice = advice_on_object(service, name, value)
    if advice is None or name in service.warned_of:
        return
    service.warned_of.add(name)
    log.warning(
        "'%s' is a %s, and clients can only read it if they have registered the class; %s",
        name,
        type(value).__name__,
        advice,
    )


def _children(found, wanted):
    """The names of attributes that lead to parts, by the path of the object that has them; "" is
    the instrument itself."""
    children = {"": {path.split(".")[0] for path in wanted} - {"all"}}
    for path in found:
        names = path.split(".")
        for end in range(len(names) - 1, -1, -1):
            owner = ".".join(names[:end])
            if owner in found or not owner:
                children.setdefault(owner, set()).add(names[end])
                break
    return children
