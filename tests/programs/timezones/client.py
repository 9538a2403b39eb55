import datetime

from Pyro5.api import Proxy

DATE = datetime.date(2020, 1, 2)
for serializer in ("serpent", "json", "marshal", "msgpack"):
    with Proxy("PYRONAME:clock") as clock:
        clock._pyroSerializer = serializer
        print(serializer, clock.at(0), clock.at(5.5), clock.at(-3))
        for name, args in [
            ("raw", ()),
            ("day", ()),
            ("span", ()),
            ("several", ()),
            ("kind", (DATE,)),
            ("kind", (datetime.datetime(2020, 1, 2, 3, 4),)),
            ("kind", (datetime.timedelta(minutes=5),)),
        ]:
            try:
                print("  ", name, repr(getattr(clock, name)(*args)))
            except Exception as error:
                print("  ", name, type(error).__name__)
