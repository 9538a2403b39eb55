import time

from Pyro5.api import Proxy


def wait_until(condition):
    deadline = time.monotonic() + 300
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


with Proxy("PYRONAME:resources") as watcher:
    one = Proxy("PYRONAME:resources")
    for name in ("a", "b", "c"):
        one.allocate(name)
    two = Proxy("PYRONAME:resources")
    two.allocate("d")
    print(watcher.book())
    print(one.free("a"), watcher.book())
    one.forget("b")
    try:
        one.free("z")
    except KeyError as error:
        print("KeyError", error)
    one._pyroRelease()
    wait_until(lambda: watcher.book()["c"] == "closed")
    print(watcher.book())
    two._pyroRelease()
    wait_until(lambda: watcher.book()["d"] == "closed")
    print(watcher.book())
