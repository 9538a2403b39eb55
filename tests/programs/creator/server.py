"""Instances that a creator makes, in each instance mode."""

import itertools

from Pyro5.api import behavior, expose

numbers = itertools.count(1)


def make(cls):
    instance = cls(next(numbers))
    instance.note = "made by the creator"
    return instance


class Numbered:
    def __init__(self, number):
        self._number = number
        self.note = None

    @expose
    def number(self):
        return self._number

    @expose
    def told(self):
        return self.note


@behavior(instance_mode="single", instance_creator=make)
class One(Numbered):
    pass


@behavior(instance_mode="session", instance_creator=make)
class EachSession(Numbered):
    pass


@behavior(instance_mode="percall", instance_creator=make)
class EachCall(Numbered):
    pass


@behavior(instance_mode="single", instance_creator=lambda cls: "something else")
class Wrong(Numbered):
    pass


class NeedsArguments:
    def __init__(self, address):
        self.address = address

    @expose
    def where(self):
        return self.address
