"""A shop whose carts belong to their customers' connections."""

from Pyro5.api import behavior, expose

STOCK = {"paper": 1.25, "tape": 2.5, "laser": 1999.0}


@behavior(instance_mode="session")
class Shop:
    def __init__(self):
        self._customer = None
        self._cart = []

    @expose
    def enter(self, customer):
        if self._customer:
            raise RuntimeError(f"{self._customer} is here already")
        self._customer = customer
        return f"welcome, {customer}"

    @staticmethod
    @expose
    def prices():
        return STOCK

    @classmethod
    @expose
    def price(cls, item):
        return STOCK[item]

    @expose
    def buy(self, item, count=1):
        if not self._customer:
            raise RuntimeError("who are you?")
        if item not in STOCK:
            raise LookupError(f"no {item} here")
        self._cart.append((item, count))

    @expose
    @property
    def cart(self):
        return self._cart

    @expose
    def pay(self):
        total = sum(STOCK[item] * count for item, count in self._cart)
        self._cart.clear()
        return total
