"""Properties: read, written, computed, write-only, deleted."""

from Pyro5.api import behavior, expose


class Device:
    serial = "plain class attributes are not remote"

    def __init__(self):
        self._target = 20.0
        self._mode = "off"
        self._history = []

    @expose
    @property
    def target(self):
        return self._target

    @target.setter
    def target(self, celsius):
        if not isinstance(celsius, (int, float)):
            raise TypeError("celsius are a number", type(celsius).__name__)
        self._history.append((self._target, celsius))
        self._target = celsius

    @property
    @expose
    def mode(self):
        return self._mode

    @mode.setter
    def mode(self, value):
        self._mode = value

    @expose
    @property
    def fixed(self):
        return "cannot be set"

    @property
    def internal(self):
        return "not exposed"

    @internal.setter
    def internal(self, value):
        self._mode = value


@behavior(instance_mode="single")
class Thermostat(Device):
    @expose
    @property
    def fahrenheit(self):
        return self._target * 9 / 5 + 32

    @fahrenheit.setter
    def fahrenheit(self, value):
        self.target = round((value - 32) * 5 / 9, 3)

    @expose
    def history(self):
        return self._history

    def store_code(self, value):
        self._mode = f"code {value}"

    code = expose(property(None, store_code))
