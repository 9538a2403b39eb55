"""Drivers with annotations of every form, for the service card."""

import enum
import functools
from typing import Any, Dict, Generator, Iterator, List, NewType, Optional, Sequence, Tuple, Union

from ferrolab import Range, Unit, expose, oneway

try:
    from typing import Annotated, Literal
except ImportError:  # Python 3.8
    Annotated = Literal = None

touched = []


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


Volts = NewType("Volts", float)


class Instrument:
    """Notes each access to it, for a test."""

    def __getattr__(self, name):
        touched.append(name)
        raise AttributeError(name)

    def __getitem__(self, key):
        touched.append(key)


instrument = Instrument()


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@expose
class Everything:
    """A class with every form of an annotation.

    The second paragraph.
    """

    def __getattr__(self, name):
        touched.append(name)
        raise AttributeError(name)

    def plain(self, a: int, b: float = 1.5, *, c: str = "x", d: bool = False) -> complex: ...

    def bare(self, a, b=None, *args, **kwargs): ...

    def containers(
        self, a: List[float], b: Dict[str, int], c: Tuple[int, str]
    ) -> Tuple[int, ...]: ...

    def sequence(self, a: Sequence[int], b: list, c: dict, d: bytes) -> None: ...

    def unions(self, a: Optional[int], b: Union[int, str, None], c: Any, d: Union[int, Mode]): ...

    def enums(self, mode: Mode = Mode.FAST) -> Mode: ...

    def new_type(self, volts: Volts) -> "Volts": ...

    def texts(
        self, a: "int", b: "Optional[float]", c: "Nowhere", d: "List['int']"  # noqa: F821
    ) -> "Mode": ...

    def new_texts(self, a: "int | None", b: "list[float]", c: "dict[str, list[int]]"): ...

    def hostile(
        self,
        a: "instrument.voltage",  # noqa: F821
        b: "instrument['x']",  # noqa: F821
        c: "touched.append(1)",  # noqa: F821
        d: "(" * 100,
        e: instrument,
        f: "__import__('os')",  # noqa: F821
    ): ...

    def drive(self, volts: 'Annotated[float, Unit("V"), Range(0, 30)]', channel: "int" = 1): ...

    @logged
    def wrapped(self, a: int) -> float:
        """Calls another one."""
        return 1.0

    @staticmethod
    def static(a: int): ...

    @classmethod
    def of_class(cls, a: int): ...

    @oneway
    def later(self, a: int): ...

    def items(self) -> Iterator[float]: ...

    def generated(self, count: int):
        yield from range(count)

    def typed_generator(self) -> Generator[int, None, None]: ...

    @property
    def voltage(self) -> float:
        """Volts at the output."""
        touched.append("voltage")
        return 1.0

    @voltage.setter
    def voltage(self, volts: 'Annotated[float, Unit("V"), Range(maximum=30)]'): ...

    @property
    def serial(self) -> str:
        touched.append("serial")
        return "1"


@expose
class Bare:
    def go(self, x, y=1):
        return x

    @property
    def value(self):
        touched.append("value")


class Attributes:
    limit: float = 5.0
    mode: "Optional[str]"
    count = 3

    def __init__(self):
        self.mode = None
        self.own = 1


many = type("Many", (), {"method_%d" % i: Everything.plain for i in range(2000)})
