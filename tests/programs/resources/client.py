import time

from Pyro5.api import Proxy

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
    deadline = time.monotonic() + 10
    while watcher.book()["c"] == "open" and time.monotonic() < deadline:
        time.sleep(0.02)
    print(watcher.book())
    two._pyroRelease()
    while watcher.book()["d"] == "open" and time.monotonic() < deadline:
        time.sleep(0.02)
    print(watcher.book())
