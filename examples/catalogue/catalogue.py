"""The services of a small library: the catalogue and the loan desk.

Plain Pyro5 classes. Nothing here knows that Ferrolab hosts them.
"""

import threading

from Pyro5.api import expose

BOOKS = {
    "0-201-03801-3": ("The Art of Computer Programming", "Donald Knuth"),
    "0-7356-1967-0": ("Code Complete", "Steve McConnell"),
    "0-618-24906-0": ("Silent Spring", "Rachel Carson"),
    "0-385-50420-9": ("The Double Helix", "James Watson"),
}


class NotOnShelf(Exception):
    """A book that cannot be lent: `args` are a sentence and the book's ISBN."""

    def __init__(self, reason, isbn):
        super().__init__(reason, isbn)
        # Attributes travel along with an exception, next to its arguments.
        self.isbn = isbn


@expose
class Catalogue:
    """Which books there are, and who has them.

    `thread`: several clients are served at the same time, so the shelves have a lock.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._books = dict(BOOKS)
        self._loans = {}
        self._motto = "Quiet, please"

    @property
    def motto(self):
        """The text above the door."""
        return self._motto

    @motto.setter
    def motto(self, text):
        self._motto = text

    def add(self, isbn, title, author):
        """Puts a book on the shelf."""
        with self._lock:
            if isbn in self._books:
                raise ValueError(f"{isbn} is in the catalogue already")
            self._books[isbn] = (title, author)

    def search(self, words=""):
        """The books with `words` in their title or author: ISBN -> (title, author)."""
        words = words.casefold()
        with self._lock:
            return {
                isbn: book
                for isbn, book in self._books.items()
                if any(words in text.casefold() for text in book)
            }

    def lend(self, isbn, reader):
        """Gives a book to a reader and returns its title."""
        with self._lock:
            if isbn not in self._books:
                raise NotOnShelf(f"no book {isbn} in this library", isbn)
            title, _ = self._books[isbn]
            if isbn in self._loans:
                raise NotOnShelf(f"'{title}' is out on loan", isbn)
            self._loans[isbn] = reader
            return title

    def give_back(self, isbn):
        """Takes a book back and returns who had it."""
        with self._lock:
            if isbn not in self._loans:
                raise NotOnShelf(f"{isbn} is not out on loan", isbn)
            return self._loans.pop(isbn)

    def loans(self):
        """The loans: ISBN -> reader."""
        with self._lock:
            return dict(self._loans)


@expose
class Desk:
    """The desk that numbers the loan slips.

    `multiplex`: one call at a time in the whole daemon, so nothing here needs a lock.
    """

    def __init__(self):
        self._slips = 0

    def next_slip(self):
        """The number of the next loan slip."""
        self._slips += 1
        return self._slips
