"""Sums over every serializer, compressed and timed out."""

import threading

from Pyro5.api import expose


@expose
class Calculator:
    def total(self, numbers):
        return sum(numbers)

    def table(self, rows, columns):
        return [[row * column for column in range(columns)] for row in range(rows)]

    def big(self, exponent):
        return 2**exponent

    def slow(self, seconds):
        threading.Event().wait(seconds)
        return "slept"

    def special(self):
        return [float("inf"), -0.0, 1e300, 0.1, True, None, 1 + 2j]
