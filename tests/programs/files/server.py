"""A file store: bytes in both directions, whole and in pieces."""

import hashlib

import serpent
from Pyro5.api import behavior, expose


@expose
@behavior(instance_mode="single")
class Store:
    def __init__(self):
        self._files = {}

    def put(self, name, data):
        data = serpent.tobytes(data)
        self._files[name] = data
        return len(data), hashlib.sha256(data).hexdigest()

    def append(self, name, data):
        self._files[name] = self._files.get(name, b"") + serpent.tobytes(data)

    def get(self, name):
        return self._files[name]

    def view(self, name, start, stop):
        return bytearray(self._files[name])[start:stop]

    def pieces(self, name, size):
        data = self._files[name]
        for start in range(0, len(data), size):
            yield data[start : start + size]

    def names(self):
        return sorted(self._files)

    def kind(self, data):
        return type(data).__name__
