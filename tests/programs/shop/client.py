from Pyro5.api import Proxy

harry = Proxy("PYRONAME:shop")
sally = Proxy("PYRONAME:shop")
print(harry.enter("Harry"))
print(sally.enter("Sally"))
try:
    harry.enter("Ron")
except RuntimeError as error:
    print("refused:", error)
print("prices:", sorted(harry.prices().items()), sally.price("tape"))
harry.buy("laser")
harry.buy("paper", count=10)
sally.buy("tape", 4)
try:
    sally.buy("glue")
except LookupError as error:
    print(type(error).__name__, error)
print("Harry's:", harry.cart)
print("Sally's:", sally.cart)
print("Harry pays", harry.pay(), "and has", harry.cart)
sally._pyroRelease()
print("Sally comes back to", sally.cart)
try:
    sally.buy("tape")
except RuntimeError as error:
    print("Sally:", error)
try:
    harry.cart = []
except AttributeError as error:
    print("AttributeError:", error)
print("Sally pays", sally.pay())
