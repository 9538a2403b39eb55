import time

from Pyro5.api import Proxy


def wait_until(condition):
    deadline = time.monotonic() + 300
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


with Proxy("PYRONAME:logbook") as book:
    book._pyroBind()
    print("oneway:", sorted(book._pyroOneway))
    print(book.write("wait"))
    print(book.write("after"))
    wait_until(lambda: book.count() == 1)
    print("the first still waits:", book.lines())
    book.open_gate()
    wait_until(lambda: book.count() == 2)
    print(book.lines())
    print(book.fail())
    wait_until(lambda: book.count() == 3)
    print(book.lines())
    for number in range(50):
        book.write(f"line {number:02}")
    wait_until(lambda: book.count() == 53)
    print(book.count(), book.lines()[-3:])
    try:
        book.write("too", "many")
        print("nobody is told of wrong arguments either")
    except TypeError as error:
        print(error)
    print(book.count())
