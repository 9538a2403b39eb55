import itertools

from Pyro5.api import Proxy, locate_ns
from Pyro5.errors import CommunicationError

with locate_ns() as ns:
    uri = ns.lookup("market")
with Proxy(uri) as market, Proxy("PYRONAME:broker") as broker:
    print(market.name, type(market.symbols).__name__, sorted(market.symbols))
    quotes = market.quotes(42)
    for symbol, price in itertools.islice(quotes, 12):
        print(symbol, price)
    quotes.close()
    print("a tuple stays one:", type(next(market.quotes(1))).__name__)
    print("highest:", sorted(broker.highest(market, 7, 60).items()))
    print("looked up:", broker.look_up(str(market._pyroUri)))
    try:
        broker.look_up("PYRO:nobody@" + market._pyroUri.location)
    except CommunicationError:
        print("nobody there")
