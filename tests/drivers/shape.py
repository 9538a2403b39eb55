"""The exact shape of a value, as text: its types, its contents, nan and all.

Drivers use it to tell what arrived at the server, tests to compare what came back.
"""

import math


def shape(value):
    kind = type(value)
    if kind is float:
        return "nan" if math.isnan(value) else repr(value)
    if kind is complex:
        return f"complex({shape(value.real)}, {shape(value.imag)})"
    if kind in (list, tuple):
        return f"{kind.__name__}[{', '.join(map(shape, value))}]"
    if kind in (set, frozenset):
        return f"{kind.__name__}{{{', '.join(sorted(map(shape, value)))}}}"
    if kind is dict:
        entries = (f"{shape(key)}: {shape(entry)}" for key, entry in value.items())
        return f"dict{{{', '.join(entries)}}}"
    if kind in (type(None), bool, int, str, bytes):
        return ascii(value)
    if isinstance(value, BaseException):
        attributes = {k: v for k, v in vars(value).items() if k != "_pyroTraceback"}
        return f"{name(kind)}({shape(value.args)}, {shape(attributes)})"
    if name(kind) == "Pyro5.core.URI":
        return f"URI({value})"
    if name(kind) == "Pyro5.client.Proxy":
        return f"Proxy({value._pyroUri})"
    return f"{name(kind)}({value!r})"


def name(kind):
    return f"{kind.__module__}.{kind.__qualname__}"
