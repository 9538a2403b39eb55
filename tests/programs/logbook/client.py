import time

from Pyro5.api import Proxy


def until(book, count):
    deadline = time.monotonic() + 10
    while book.count() < count and time.monotonic() < deadline:
        time.sleep(0.02)


with Proxy("PYRONAME:logbook") as book:
    book._pyroBind()
    print("oneway:", sorted(book._pyroOneway))
    print(book.write("wait"))
    print(book.write("after"))
    until(book, 1)
    print("the first still waits:", book.lines())
    book.open_gate()
    until(book, 2)
    print(book.lines())
    print(book.fail())
    until(book, 3)
    print(book.lines())
    for number in range(50):
        book.write(f"line {number:02}")
    until(book, 53)
    print(book.count(), book.lines()[-3:])
    try:
        book.write("too", "many")
        print("nobody is told of wrong arguments either")
    except TypeError as error:
        print(error)
    print(book.count())
