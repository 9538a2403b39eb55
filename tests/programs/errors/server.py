"""Exceptions, Python's and the program's own."""

from Pyro5.api import expose
from Pyro5.errors import NamingError

from . import model

model.register()


@expose
class Source:
    def set(self, volts):
        if not 0 <= volts <= 30:
            raise model.OutOfRange("no such voltage", 0, 30)
        return volts

    def interlock(self):
        raise model.Interlock("the door is open")

    def with_attributes(self):
        error = ValueError("overload", 4.5)
        error.channel = "A"
        error.readings = {"volts": [1, 2]}
        raise error

    def chained(self):
        try:
            return {}["missing"]
        except KeyError as error:
            raise RuntimeError("cannot look that up") from error

    def pyro_error(self):
        raise NamingError("no such name here")

    def os_error(self):
        open("/no/such/file")

    def unicode_error(self):
        b"\xff".decode("utf-8")

    def divide(self, a, b):
        return a / b

    def stop(self):
        raise StopIteration("enough")

    def returned(self):
        return ZeroDivisionError("not raised, returned")
