"""A camera whose classes travel by functions that are registered with Pyro5."""

import collections

import numpy
from Pyro5.api import expose, register_class_to_dict, register_dict_to_class


class Frame:
    def __init__(self, rows):
        self.rows = rows


class DarkFrame(Frame):
    pass


class Unreadable:
    """A class whose function fails."""

    def __init__(self, what):
        self.what = what


class Jammed(Exception):
    """An error with its own function."""

    def __init__(self, text, axis):
        super().__init__(text, axis)
        self.axis = axis


class OutOfFilm(RuntimeError):
    pass


def array_to_dict(array):
    return {"__class__": "numpy.ndarray", "dtype": str(array.dtype), "items": array.tolist()}


def frame_to_dict(frame):
    return {"__class__": "converted.Frame", "kind": type(frame).__name__, "rows": frame.rows}


def unreadable_to_dict(value):
    if value.what == "a file":
        raise FileNotFoundError(2, "no such file", "/calibration")
    raise ZeroDivisionError("no scale")


def jammed_to_dict(error):
    return {"__class__": "converted.Jammed", "axis": error.axis, "lines": len(error._pyroTraceback)}


def array_from_dict(name, made):
    return numpy.array(made["items"], dtype=made["dtype"])


def frame_from_dict(name, made):
    return (DarkFrame if made["kind"] == "DarkFrame" else Frame)(made["rows"])


def broken_from_dict(name, made):
    raise ArithmeticError("the client sent " + str(made["value"]))


TO_DICT = {
    numpy.ndarray: array_to_dict,
    numpy.generic: lambda value: {"__class__": "numpy.scalar", "text": str(value)},
    Frame: frame_to_dict,
    Unreadable: unreadable_to_dict,
    Jammed: jammed_to_dict,
    complex: lambda value: {"__class__": "made.complex", "re": value.real, "im": value.imag},
    collections.OrderedDict: lambda value: {"__class__": "made.ordered", "keys": list(value)},
}
FROM_DICT = {
    "numpy.ndarray": array_from_dict,
    "converted.Frame": frame_from_dict,
    "converted.broken": broken_from_dict,
}
for cls, function in TO_DICT.items():
    register_class_to_dict(cls, function)
for name, function in FROM_DICT.items():
    register_dict_to_class(name, function)

MADE = {
    "array": lambda: numpy.arange(6, dtype="u2").reshape(2, 3),
    "scalar": lambda: numpy.bool_(True),
    "frame": lambda: DarkFrame([1, (2.5, None)]),
    "nested": lambda: {"frames": [Frame([1]), (DarkFrame([]),)], "n": 2},
    "complex": lambda: 1 + 2j,
    "complex in a list": lambda: [1 + 2j, 3],
    "ordered": lambda: collections.OrderedDict(b=1, a=2),
    "unreadable": lambda: Unreadable("scale"),
    "unreadable in a list": lambda: [1, Unreadable("scale")],
}


@expose
class Camera:
    def __init__(self):
        self._held = Frame(["held"])

    def made(self, name):
        return MADE[name]()

    def stream(self, *names):
        for name in names:
            yield MADE[name]()

    @property
    def held(self):
        return self._held

    @held.setter
    def held(self, value):
        self._held = value

    def seen(self, *args, **kwargs):
        """The classes of the arguments, and what they hold."""
        return [
            [type(value).__name__, getattr(value, "rows", None), str(getattr(value, "dtype", None))]
            for value in [*args, *kwargs.values()]
        ]

    def jam(self, axis):
        raise Jammed("jammed", axis)

    def jam_in_a_list(self):
        return [Jammed("jammed", "y")]

    def fail(self):
        raise OutOfFilm("no film")

    def missing_file(self):
        return Unreadable("a file")
