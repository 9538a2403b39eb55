"""Exceptions of the program's own, with what they carry."""

from Pyro5.api import register_class_to_dict, register_dict_to_class


class OutOfRange(Exception):
    def __init__(self, message, low, high):
        super().__init__(message, low, high)
        self.low, self.high = low, high


class Interlock(RuntimeError):
    """Not registered anywhere."""


def to_dict(error):
    return {"__class__": "errors.OutOfRange", "text": error.args[0], "range": [error.low, error.high]}


def from_dict(_name, state):
    return OutOfRange(state["text"], *state["range"])


def register():
    register_class_to_dict(OutOfRange, to_dict)
    register_dict_to_class("errors.OutOfRange", from_dict)
