import time

from Pyro5.api import BatchProxy, Proxy


def wait_until(condition):
    deadline = time.monotonic() + 300
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


with Proxy("PYRONAME:sequencer") as sequencer:
    batch = BatchProxy(sequencer)
    print(batch.step("a"), batch.step("b", volts=1, amps=2), batch.divide(10, 4))
    results = batch()
    print(type(results).__name__, list(results))

    batch.step("c")
    batch.divide(1, 0)
    batch.step("never")
    try:
        for result in batch():
            print(result)
    except ZeroDivisionError as error:
        print("stopped:", error, bool(error._pyroTraceback))
    print(sequencer.steps())

    print("oneway:", batch.step("d"), batch(oneway=True))
    wait_until(lambda: len(sequencer.steps()) == 4)
    print(sequencer.steps())

    for attempt in (lambda: batch._hidden(), lambda: batch.unknown()):
        try:
            attempt()
            print(list(batch()))
        except AttributeError as error:
            print("AttributeError:", error)
    sequencer.clear()
    batch = BatchProxy(sequencer)
    for number in range(1000):
        batch.step(str(number))
    print(sum(count for count, _ in batch()), len(sequencer.steps()))
    print("empty:", list(BatchProxy(sequencer)()))
