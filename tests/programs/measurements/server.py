"""Measurements as item streams."""

from Pyro5.api import behavior, expose

log = []


@expose
@behavior(instance_mode="single")
class Meter:
    def readings(self, count, scale=1.0):
        log.append("opened")
        try:
            for index in range(count):
                yield {"index": index, "volts": index * scale, "ok": index % 2 == 0}
        finally:
            log.append("closed")

    def until_it_breaks(self, count):
        yield from range(count)
        raise OSError(5, "the meter has lost its supply")

    def listed(self):
        return iter([1.5, "two", None, (4, 5)])

    def squares(self, numbers):
        return (number * number for number in numbers)

    def mapped(self):
        return map(str, range(3))

    def history(self):
        return list(log)
