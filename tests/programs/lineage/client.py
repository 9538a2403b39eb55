from Pyro5.api import Proxy


def attempt(name, *args, **kwargs):
    try:
        print(name, "->", derived._pyroInvoke(name, args, kwargs))
    except Exception as error:
        print(name, "->", type(error).__name__, error.args)


with Proxy("PYRONAME:derived") as derived:
    derived._pyroBind()
    print(sorted(derived._pyroMethods))
    for name in ("inherited", "overridden", "plain", "mixed", "helper", "_private"):
        attempt(name)
    attempt("_Mixin__mangled")
    attempt("static", 1)
    attempt("of_class", 2)
    attempt("variadic", 1, c=3)
    attempt("variadic", 1, 5, 6, 7, c=8, d=9, e=10, f=None)
    attempt("variadic", c=3)
    attempt("recursive", 20)
