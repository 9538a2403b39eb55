"""A stock market that produces quotes, and an aggregator that follows several."""

import random

from Pyro5.api import Proxy, behavior, expose


@expose
@behavior(instance_mode="session")
class Market:
    def __init__(self):
        self._name = "NASDAQ"
        self._symbols = ["AAPL", "CSCO", "MSFT", "GOOG"]

    @property
    def name(self):
        return self._name

    @property
    def symbols(self):
        return set(self._symbols)

    def quotes(self, seed):
        dice = random.Random(seed)
        while True:
            yield dice.choice(self._symbols), round(dice.uniform(5, 150), 2)


@expose
@behavior(instance_mode="session")
class Broker:
    """Itself a client of the market whose URI it is given."""

    def highest(self, market, seed, count):
        best = {}
        quotes = market.quotes(seed)
        for _, (symbol, price) in zip(range(count), quotes):
            best[symbol] = max(price, best.get(symbol, 0))
        quotes.close()
        return best

    def look_up(self, name):
        with Proxy(name) as market:
            return market.name, sorted(market.symbols)
