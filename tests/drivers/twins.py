"""A stage of which there are several, and what its methods return of itself and of others."""

import copy
import threading

from Pyro5.api import expose


@expose
class Stage:
    made = []

    def __init__(self):
        self._position = 0
        self._lock = threading.Lock()
        Stage.made.append(self)

    def move(self):
        self._position += 1
        return self._position

    @property
    def position(self):
        return self._position

    def itself(self):
        return self

    def other(self):
        """The instance that was made before this one."""
        return Stage.made[Stage.made.index(self) - 1]

    def nested(self):
        return {"all": [self, (self,)]}

    def streamed(self):
        yield self

    @property
    def as_property(self):
        return self

    def registered(self):
        part = Part()
        self._pyroDaemon.register(part)
        return [part]

    def further_part(self):
        return Part()

    def address(self, of_itself):
        return str(self._pyroDaemon.uriFor(self if of_itself else Plain()))


@expose
class Plain(Stage):
    """One that serializers can send; its methods return others, which are not registered."""

    def __init__(self):
        self._position = 0

    def itself(self):
        return Plain()

    def nested(self):
        return {"all": [Plain()]}

    def streamed(self):
        yield Plain()

    @property
    def as_property(self):
        return Plain()

    def heir(self):
        return Heir()

    def of_its_own_class(self):
        return type(self)()

    def copied(self):
        return copy.copy(self)


class Heir(Plain):
    """Exposes the members of a stage, too."""


@expose
class Part:
    def turn(self):
        return "turned"
