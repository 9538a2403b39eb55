from Pyro5.api import Proxy

for name in ("creator.one", "creator.session", "creator.call"):
    with Proxy("PYRONAME:" + name) as first, Proxy("PYRONAME:" + name) as second:
        base = first.number()
        seen = [first.number(), second.number(), first.number(), second.number()]
        print(name, [number - base for number in seen], first.told())

for name in ("creator.wrong", "creator.arguments"):
    with Proxy("PYRONAME:" + name) as broken:
        for _ in range(2):
            try:
                broken.number() if name == "creator.wrong" else broken.where()
            except TypeError as error:
                print(name, error)
