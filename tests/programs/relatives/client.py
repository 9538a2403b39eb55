from Pyro5.api import Proxy

with Proxy("PYRONAME:family") as family:
    print(family.who(), family.is_itself())
    print(family.copied())
    for relative in (family.twin, family.heir):
        try:
            other = relative()
            # not itself, but what is registered under its class's id
            print(type(other).__name__, other.who() if isinstance(other, Proxy) else other)
        except Exception as error:
            print(type(error).__name__, error)
