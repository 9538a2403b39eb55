"""A supply that counts what reaches it, for limits on its members."""

from typing import Optional

try:
    from typing import Annotated
except ImportError:
    Annotated = None

from ferrolab import Range, Unit, expose, oneway


class Channel:
    def __init__(self):
        self.voltage = 0.0

    def set_voltage(self, volts):
        self.voltage = volts


@expose
class Supply:
    def __init__(self):
        self._voltage = 0.0
        self.ch_1, self.ch_2 = Channel(), Channel()
        self._reached = []

    @property
    def voltage(self):
        return self._voltage

    @voltage.setter
    def voltage(self, volts):
        self._reached.append(("voltage", volts))
        self._voltage = volts

    def move(self, x, y=0, *, speed=1):
        self._reached.append(("move", x, y, speed))
        return [x, y, speed]

    def set_level(self, level):
        self._reached.append(("set_level", level))
        return level

    def forward(self, *args, **kwargs):
        self._reached.append(("forward", args, kwargs))
        return self.move(*args, **kwargs)

    @oneway
    def later(self, x):
        self._reached.append(("later", x))

    def steps(self, count):
        self._reached.append(("steps", count))
        yield from range(count)

    def drive(self, volts: 'Annotated[Optional[float], Unit("V"), Range(0, 5)]' = None):
        self._reached.append(("drive", volts))

    def free(self, x):
        return x

    def reached(self):
        """The calls that have reached it since the last time."""
        seen, self._reached = self._reached, []
        return [repr(one) for one in seen]
