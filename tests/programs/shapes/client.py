import model
from model import Path, Point
from Pyro5.api import Proxy

model.register()


def attempt(label, call):
    try:
        result = call()
        print("  ", label, type(result).__name__, result)
    except Exception as error:
        print("  ", label, type(error).__name__)


for serializer in ("serpent", "json", "msgpack", "marshal"):
    print(serializer)
    with Proxy("PYRONAME:drawing") as drawing:
        drawing._pyroSerializer = serializer
        attempt("mirror", lambda: drawing.mirror(Point(3, -1.5)))
        attempt("kinds", lambda: drawing.kinds(Point(1, 2), 5, [Point(1, 2)], p=Point(0, 0)))
        attempt("path", lambda: drawing.path(3))
        attempt("length", lambda: drawing.length(Path([Point(1, 1)], closed=False)))
        attempt("mixed", drawing.mixed)
        attempt("unregistered", drawing.unregistered)
        attempt("unknown to it", lambda: drawing.kinds({"__class__": "shapes.Circle", "r": 1}))
