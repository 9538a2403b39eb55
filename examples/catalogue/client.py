"""A reader borrows a book, and another one wants the same. Needs Pyro5 only."""

import argparse

from Pyro5.api import Proxy, locate_ns, register_dict_to_class


class NotOnShelf(Exception):
    """The catalogue's own exception, as this client knows it."""


def not_on_shelf(_classname, fields):
    exception = NotOnShelf(*fields["args"])
    exception.isbn = fields["attributes"]["isbn"]
    return exception


# Pyro5 turns built-in exceptions back into what they were. One of a driver's own comes under the
# name of its module and class, and the client says what becomes of it.
register_dict_to_class("catalogue.NotOnShelf", not_on_shelf)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost", help="where the nameserver is")
    parser.add_argument("--port", type=int, default=9090, help="the nameserver's port")
    options = parser.parse_args()

    with locate_ns(options.host, options.port) as nameserver:
        catalogue = Proxy(nameserver.lookup("library.catalogue"))
        desk = Proxy(nameserver.lookup("library.desk"))

    with catalogue, desk:
        print(f"Above the door: {catalogue.motto}")
        books = catalogue.search()
        print(f"The library holds {len(books)} books:")
        for isbn, (title, author) in books.items():
            print(f"  {isbn}  {title}, by {author}")

        (isbn,) = catalogue.search("spring")
        title = catalogue.lend(isbn, "Ada")
        print(f"Ada borrows '{title}' on loan slip {desk.next_slip()}")
        try:
            catalogue.lend(isbn, "Grace")
        except NotOnShelf as refusal:
            print(f"Grace is refused: {refusal.args[0]} (ISBN {refusal.isbn})")
        reader = catalogue.give_back(isbn)
        print(f"{reader} returns it: '{title}' is back on its shelf")


if __name__ == "__main__":
    main()
