"""Functions that make instruments."""

from members import Broken, Hanging


def make_late(file):
    return Hanging(file)


class Unreleased(metaclass=Broken):
    def off(self):
        print("off")


def make_unlisted():
    return Unreleased()
