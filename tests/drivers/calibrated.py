"""An instrument whose parameters and arguments hold dates."""

from pyrolab.api import expose
from pyrolab.drivers import Instrument
from shape import shape


@expose
class Calibrated(Instrument):
    def connect(self, **parameters):
        self._parameters = parameters

    def parameters(self):
        return shape(self._parameters)


@expose
class Dated:
    def __init__(self, *positional, **keywords):
        self._given = shape([positional, keywords])

    def given(self):
        return self._given
