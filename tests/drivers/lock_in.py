"""An instrument of pymeasure's that talks to its test adapter instead of a wire."""

from pymeasure.adapters import ProtocolAdapter
from pymeasure.instruments.srs import SR830

# Commands and their answers, in this order.
EXCHANGE = [
    (b"FREQ?", b"1000"),
    (b"FREQ5.00000e+02", None),
    (b"FREQ?", b"500"),
    (b"SNAP? 1,2", b"0.25,-0.5"),
    (b"PHAS?", b"45"),
]


class LockIn(SR830):
    def __init__(self):
        super().__init__(ProtocolAdapter(EXCHANGE))
