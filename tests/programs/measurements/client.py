import time

from Pyro5.api import Proxy
from Pyro5.errors import PyroError


def wait_until(condition):
    deadline = time.monotonic() + 300
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


with Proxy("PYRONAME:meter") as meter:
    for reading in meter.readings(4, scale=0.25):
        print(sorted(reading.items()))
    print("history:", meter.history())
    print("listed:", list(meter.listed()))
    print("squares:", list(meter.squares([1, 2.5, -3])))
    print("mapped:", list(meter.mapped()))

    stream = meter.readings(1000)
    print(type(stream).__name__, next(stream)["index"], next(stream)["index"])
    stream.close()
    wait_until(lambda: len(meter.history()) == 4)
    print("history:", meter.history())
    try:
        next(stream)
    except (StopIteration, PyroError) as error:
        print("after close:", type(error).__name__)

    got = []
    try:
        for item in meter.until_it_breaks(3):
            got.append(item)
    except OSError as error:
        print("got", got, "then", type(error).__name__, error.errno, error.args)

    one, two = meter.squares([0, 1, 2]), meter.squares((10, 20, 30))
    print("interleaved:", [(a, b) for a, b in zip(one, two)])
    print("empty:", list(meter.readings(0)))
