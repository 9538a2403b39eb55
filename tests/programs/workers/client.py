import threading

from Pyro5.api import Proxy


def factors(number):
    found, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found


def work(name, done):
    with Proxy("PYRONAME:dispatcher") as dispatcher:
        while True:
            item = dispatcher.get_work(timeout=300)
            if item is None:
                return
            done.append(name)
            dispatcher.put_result({"number": item["data"], "factors": factors(item["data"])})


with Proxy("PYRONAME:dispatcher") as dispatcher:
    try:
        dispatcher.get_work(timeout=0.05)
    except ValueError as error:
        print("empty:", error)
    done = []
    workers = [threading.Thread(target=work, args=(n, done)) for n in range(4)]
    for worker in workers:
        worker.start()
    numbers = [2, 12, 97, 1001, 65536, 99999, 123456, 7919 * 3] * 5
    for number in numbers:
        dispatcher.put_work({"data": number, "nested": {"tags": ("a", "b")}})
    results = [dispatcher.get_result(timeout=300) for _ in numbers]
    for _ in workers:
        dispatcher.put_work(None)
    for worker in workers:
        worker.join()
    print("left:", dispatcher.work_size(), "done:", len(done))
    for line in sorted({(r["number"], tuple(r["factors"])) for r in results}):
        print(line)
    try:
        dispatcher.get_result(timeout=0)
    except ValueError as error:
        print("empty:", error)
