"""A container with the special methods that Pyro lets through."""

from Pyro5.api import behavior, expose


@expose
@behavior(instance_mode="single")
class Rack:
    def __init__(self):
        self._slots = {"a": 1, "b": [2, 3]}

    def __len__(self):
        return len(self._slots)

    def __getitem__(self, key):
        return self._slots[key]

    def __setitem__(self, key, value):
        self._slots[key] = value

    def __delitem__(self, key):
        del self._slots[key]

    def __contains__(self, key):
        return key in self._slots

    def __iter__(self):
        return iter(sorted(self._slots))

    def __reversed__(self):
        return reversed(sorted(self._slots))

    def __call__(self, value):
        return "never remote"

    def __enter__(self):
        return "never remote"

    def __dir__(self):
        return ["private", "as", "well"]

    def keys(self):
        return self._slots.keys()

    def items(self):
        return list(self._slots.items())
