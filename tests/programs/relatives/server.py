"""A class whose instances are pickled and handed out."""

import pickle

from Pyro5.api import behavior, expose


@expose
@behavior(instance_mode="single")
class Family:
    def __init__(self, name="root"):
        self.name = name

    def who(self):
        return self.name

    def is_itself(self):
        return type(self) is Family

    def twin(self):
        """Another of its class, that was never registered."""
        return Family("twin")

    def heir(self):
        return Heir("heir")

    def copied(self):
        copy = pickle.loads(pickle.dumps(self))
        return type(copy) is Family, vars(copy)


class Heir(Family):
    pass
