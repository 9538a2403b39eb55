"""A driver with a member of each type, which says what has arrived."""

import os
import time
from typing import Dict, List, Optional, Set, Tuple

from Pyro5.api import expose


@expose
class Typed:
    def __init__(self):
        self._volts = 1.5
        self._calls = 0
        self._reads = 0

    @property
    def volts(self) -> float:
        """Volts at the output."""
        return self._volts

    @volts.setter
    def volts(self, value: float):
        if value > 30:
            raise ValueError(f"{value} V is more than the supply has")
        self._volts = value

    @property
    def reads(self) -> int:
        """How often this was read."""
        self._reads += 1
        return self._reads

    def show(self, value) -> str:
        """The value as Python writes it."""
        self._calls += 1
        return repr(value)

    def typed(
        self,
        number: float,
        count: int = 1,
        pair: Tuple[int, float] = (1, 2.0),
        names: Optional[Set[str]] = None,
        table: Optional[Dict[int, float]] = None,
        data: bytes = b"",
        rest: Optional[List[float]] = None,
    ) -> str:
        return repr((number, count, pair, names, table, data, rest))

    def give(self, text):
        """The value of a Python expression of the tests."""
        return eval(text, {"__builtins__": {"float": float, "range": range, "bytes": bytes, "frozenset": frozenset}})

    def calls(self) -> int:
        return self._calls

    def items(self, count: int):
        for number in range(count):
            yield number

    def fail(self, text):
        raise ValueError(text)

    def wait(self, gate):
        """Returns when the file exists."""
        while not os.path.exists(gate):
            time.sleep(0.02)
        return "done"
