import threading

from Pyro5.api import Proxy


def client(name, results):
    with Proxy("PYRONAME:handles") as handles:
        before = handles.name()
        handles.open(name)
        same = [handles.same_thread() for _ in range(20)]
        met = handles.meet(4)
        results[name] = (before, handles.name(), all(same), met)


results = {}
threads = [threading.Thread(target=client, args=(name, results)) for name in "abcd"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for name in sorted(results):
    print(name, results[name])
with Proxy("PYRONAME:handles") as handles:
    print("the main thread serves:", handles.is_main())
