"""Instruments that are found by what the nameserver knows of them."""

from Pyro5.api import expose


class Instrument:
    kind = "instrument"

    @expose
    def identify(self):
        return f"{self.kind} {self._pyroId}"


class Laser(Instrument):
    kind = "laser"


class Camera(Instrument):
    kind = "camera"
