"""Members of a service, as its daemon describes them in the handshake.

These are Pyro5's metadata: names of methods, attributes and oneway methods. Types, units and texts
are on the service card, which is asked for when somebody looks at it.
"""

from . import arrays
from .errors import ProtocolError


class Members:
    """Names of what a service offers; `ferrolab` says whether its daemon is one of ours, `arrays`
    whether it knows arrays as packed bytes."""

    __slots__ = ("arrays", "attributes", "ferrolab", "methods", "oneway")

    def __init__(self, methods=(), attributes=(), oneway=(), ferrolab=False, arrays=False):
        self.methods = frozenset(methods)
        self.attributes = frozenset(attributes)
        self.oneway = frozenset(oneway)
        self.ferrolab = ferrolab
        self.arrays = arrays

    @classmethod
    def from_handshake(cls, answer):
        """Members from a daemon's answer to a handshake."""
        meta = answer.get("meta") if isinstance(answer, dict) else None
        if not isinstance(meta, dict):
            raise ProtocolError("the server's handshake has no metadata", outcome="not started")
        names = []
        for key in ("methods", "attrs", "oneway"):
            value = meta.get(key, ())
            if not isinstance(value, (list, tuple, set, frozenset)) or not all(
                isinstance(name, str) for name in value
            ):
                raise ProtocolError(
                    "the server's handshake has no list of {}".format(key), outcome="not started"
                )
            names.append(value)
        ours = meta.get("ferrolab")
        is_ours = isinstance(ours, dict)
        return cls(*names, is_ours, is_ours and ours.get("arrays") == arrays.FORMAT)

    def __contains__(self, name):
        return name in self.methods or name in self.attributes

    def names(self):
        """All names, sorted."""
        return sorted(self.methods | self.attributes)

    def __eq__(self, other):
        return isinstance(other, Members) and all(
            getattr(self, slot) == getattr(other, slot) for slot in Members.__slots__
        )

    __hash__ = None
