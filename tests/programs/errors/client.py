import model
import Pyro5.errors
from Pyro5.api import Proxy

model.register()

with Proxy("PYRONAME:source") as source:
    for name, args in [
        ("set", (5,)),
        ("set", (31,)),
        ("interlock", ()),
        ("with_attributes", ()),
        ("chained", ()),
        ("pyro_error", ()),
        ("os_error", ()),
        ("unicode_error", ()),
        ("divide", (1, 0)),
        ("divide", (1, "x")),
        ("divide", ()),
        ("stop", ()),
        ("no_such_method", ()),
    ]:
        try:
            print(name, args, "->", getattr(source, name)(*args))
        except Exception as error:
            attributes = {k: v for k, v in vars(error).items() if k != "_pyroTraceback"}
            print(name, args, "->", type(error).__name__, error.args, attributes)
            trace = "".join(Pyro5.errors.get_pyro_traceback(type(error), error, error.__traceback__))
            print("   the server's file is in the traceback:", "errors/server.py" in trace)
    returned = source.returned()
    print("returned", type(returned).__name__, returned.args)
