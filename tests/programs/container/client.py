from Pyro5.api import Proxy


def attempt(label, action):
    try:
        print(label, "->", action())
    except Exception as error:
        print(label, "->", type(error).__name__, error.args)


def remote(method, *args):
    return lambda: rack._pyroInvoke(method, args, {})


with Proxy("PYRONAME:rack") as rack:
    rack._pyroBind()
    print(sorted(rack._pyroMethods))
    attempt("len", remote("__len__"))
    attempt("get", remote("__getitem__", "b"))
    attempt("missing", remote("__getitem__", "z"))
    attempt("set", remote("__setitem__", "c", (4, 5)))
    attempt("contains", remote("__contains__", "c"))
    attempt("delete", remote("__delitem__", "a"))
    attempt("iterate", lambda: list(rack._pyroInvoke("__iter__", (), {})))
    attempt("reversed", lambda: list(rack._pyroInvoke("__reversed__", (), {})))
    for name in ("__call__", "__enter__", "__dir__", "__init__", "__class__", "__dict__"):
        attempt(name, remote(name))
    attempt("python's len", lambda: len(rack))
    attempt("python's []", lambda: rack["b"])
    attempt("python's []=", lambda: rack.__setitem__("x", 1))
    attempt("python's in", lambda: "x" in rack)
    attempt("python's for", lambda: [key for key in rack])
    attempt("keys", lambda: sorted(rack.keys()))
    attempt("items", lambda: sorted(map(str, rack.items())))
    attempt("truth", lambda: bool(rack))
