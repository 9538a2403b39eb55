from Pyro5.api import Proxy, locate_ns
from Pyro5.errors import NamingError

with locate_ns() as ns:
    for found in (
        ns.yplookup(meta_all={"optical"}),
        ns.yplookup(meta_any={"optical", "imaging"}),
        ns.yplookup(meta_all={"nothing like it"}),
    ):
        print("found", sorted(found))
        for name, (uri, metadata) in sorted(found.items()):
            with Proxy(uri) as instrument:
                print("  ", instrument.identify(), sorted(metadata))
    print(sorted(ns.list(prefix="book.")), sorted(ns.list(regex=r"book\..*cam.*")))
    uri, metadata = ns.lookup("book.laser", return_metadata=True)
    print(uri.object, sorted(metadata))
    try:
        ns.lookup("book.nobody")
    except NamingError as error:
        print("NamingError:", error)
with Proxy("PYROMETA:imaging") as camera:
    print(camera.identify())
try:
    Proxy("PYROMETA:nothing_like_it").identify()
except NamingError as error:
    print("NamingError:", error)
