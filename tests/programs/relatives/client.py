from Pyro5.api import Proxy

with Proxy("PYRONAME:family") as family:
    print(family.who())
    print(family.is_itself())
    print(*family.copied(), sep="\n")
