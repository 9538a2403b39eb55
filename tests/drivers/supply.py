"""A supply with channels, as it comes from any library."""

import os
from os import getpid  # noqa: F401  (of another module: no client may call it)


class Channel:
    """One output."""

    def __init__(self, number):
        self.number = number
        self._voltage = 0.0

    @property
    def voltage(self):
        return self._voltage

    @voltage.setter
    def voltage(self, volts):
        if volts > 30:
            raise ValueError(f"{volts} V is too much for channel {self.number}")
        self._voltage = volts

    def ramp(self, *steps):
        for step in steps:
            self.voltage = step
            yield self.voltage


class Supply:
    """Channels as attributes and in a list, and a module below."""

    def __init__(self, channels=2, record=None):
        self._record = record
        self.channel_class = Channel
        for number in range(1, channels + 1):
            setattr(self, f"ch_{number}", Channel(number))
        self.channels = [self.ch_1, self.ch_2]
        self.remote = Channel(9)
        self.remote.inner = Channel(10)
        self.model = "S-2"

    @property
    def broken(self):
        raise OSError(5, "no answer")

    def identify(self):
        return self.model

    def off(self):
        with open(self._record, "a") as file:
            file.write("off\n")

    def both(self):
        return {"first": self.ch_1, "rest": [self.ch_2]}

    def replace(self, name, number):
        """Has another channel hang under a name; None takes it away."""
        setattr(self, name, None if number is None else Channel(number))

    def die(self):
        os._exit(3)


def open_supply(channels, model="opened"):
    """A factory, as `serial.serial_for_url` is one."""
    supply = Supply(channels)
    supply.model = model
    return supply


def add(first, second):
    return first + second
