"""A class whose instances are pickled."""

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

    def copied(self):
        copy = pickle.loads(pickle.dumps(self))
        return type(copy) is Family, vars(copy)
