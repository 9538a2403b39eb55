"""A Python class with the members of the simulated power supply, to compare it with."""

import Pyro5.api


@Pyro5.api.expose
class PowerSupply:
    def __init__(self):
        self._voltage = 0.0
        self._output = False

    def identify(self):
        return "Ferrolab,Simulated power supply,0,1.0"

    def on(self):
        self._output = True

    def off(self):
        self._output = False

    def reset(self):
        self.__init__()

    @property
    def voltage(self):
        return self._voltage

    @voltage.setter
    def voltage(self, volts):
        if not 0 <= volts <= 30:
            raise ValueError(f"voltage must be 0 to 30 volts, not {volts}")
        self._voltage = float(volts)

    @property
    def current_limit(self):
        return 1.0

    @property
    def output(self):
        return self._output


@Pyro5.api.expose
class Multimeter:
    def sample(self, count):
        return [0.0] * count
