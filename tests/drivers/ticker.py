"""An instrument that counts how often it was read."""

import Pyro5.api


@Pyro5.api.expose
class Ticker:
    def __init__(self):
        self._count = 0

    @property
    def count(self):
        """One more with each read."""
        self._count += 1
        return self._count

    @property
    def other(self):
        return 0.5

    def last(self):
        """The last count, without a read."""
        return self._count
