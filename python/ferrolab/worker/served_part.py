"""Part of a service: an object that hangs on its instrument, served under a name below it.

Owns which object serves a call: the one that hangs at the part's path then, as in
`supply.ch_1.off()`. An attribute is looked at for each call; a property, which may speak to the
instrument, is read when a client reads it, and again while it has given no object.
"""

from . import exposure, parts, pyro, static_look
from .services import Service


class Part(Service):
    """An object that hangs on the instrument of a service."""

    def __init__(self, owner, root, path, obj, children, saw_part, daemon):
        super().__init__("{}.{}".format(owner.name, path), obj, selection=owner.selection)
        self.owner, self.path = owner.name, path
        self._owner_service, self._daemon = owner, daemon
        self._names = tuple(path.split("."))
        # Whether the path shows the object without a property being read.
        self._is_shown = self._shown(root) is obj
        self.set_members(self._members(root, obj, children), children, saw_part)

    def _members(self, root, obj, children):
        members = exposure.members(self.shape, self.selection, obj, children)
        # `expose` lists the members of all parts, and of the service itself.
        unknown = exposure.unknown(self.shape, self.selection, obj)
        if static_look.makes_up_members(self.shape):
            shape = self._owner_service.shape
            unknown = set(unknown).difference(exposure.unknown(shape, self.selection, root))
        return exposure.leave_out(members, unknown)

    def _shown(self, root):
        """The object at the path below the instrument `root`, as far as that shows."""
        try:
            return parts.current(root, self._names)
        except LookupError:
            return None

    def has_instance(self, session):
        """Whether the instrument is there that it hangs on."""
        return self._owner_service.single_instance() is not None

    def instance(self, session):
        """The object that serves a call. The instrument is driven with it, and so no longer in its
        safe state."""
        root = self._owner_service.single_instance()
        try:
            found = self.target if root is None else parts.current(root, self._names)
            if found is not self.target or found is None:
                found = self._serve_found(root, found)
        except LookupError as absence:
            self._daemon.serve_instead(self, None)
            raise pyro.error_class("DaemonError")(
                "service '{}' has no part '{}' now: {}".format(self.owner, self.path, absence)
            ) from None
        self._owner_service.mark_used()
        return found

    def _serve_found(self, root, found):
        """The object to drive, where another one or none hangs at the path since the last call."""
        if root is None:
            raise LookupError("the instrument has been released")
        if found is parts.UNASKED:
            if self.target is not None and not self._is_shown:
                return self.target
            found = parts.read(root, self._names)
        if type(found) is self.cls:
            self._daemon.serve_instead(self, found)
            return found
        look = self._owner_service.look
        if not look.has_refused(self.path, found):
            # Its members are others, and so perhaps are its own parts.
            look(root)
        part = self._daemon.part(self.name)
        if part is None or part.target is not found:
            raise LookupError("the {} that hangs there is not served".format(type(found).__name__))
        self.access = part.access
        return found

    def mark_driven(self, session, instance):
        """An item stream drives the instrument: its safe state is due again."""
        self._owner_service.mark_used()

    def let_go_of_absent(self, root):
        """Forgets the object if it hangs at the path no longer."""
        shown = self._shown(root)
        if shown is not self.target and shown is not parts.UNASKED:
            self._daemon.serve_instead(self, None)

    def serve(self, obj):
        """Serves another object of the class: the one that hangs there now."""
        self.target = self._instance = obj
