"""An instrument with five readings, which all change from one read to the next."""

import math
import random

from Pyro5.api import expose


@expose
class Fivefold:
    def __init__(self):
        self._reads = random.randrange(1000)

    def read(self) -> tuple:
        self._reads += 1
        return tuple(math.sin(self._reads / 10 + phase) for phase in range(5))
