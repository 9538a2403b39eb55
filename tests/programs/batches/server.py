"""Many small calls at once."""

from Pyro5.api import behavior, expose


@expose
@behavior(instance_mode="single")
class Sequencer:
    def __init__(self):
        self._steps = []

    def step(self, name, **settings):
        self._steps.append(name)
        return len(self._steps), sorted(settings.items())

    def divide(self, a, b):
        return a / b

    def steps(self):
        return self._steps

    def clear(self):
        self._steps = []

    def _hidden(self):
        return 1
