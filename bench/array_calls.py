"""Arrays to our client, beside lists to Pyro5's client and bare bytes.

Pyro5's own daemon and client have the same numbers as a list, by serpent, their default.
"""

from figures import PYRO5, RAW, Goal

_STOCK, _NATIVE, _HOSTED = f"{PYRO5} thread", "native", "hosted"
# Bytes of a short request, and of an answer around its array.
_REQUEST_BYTES, _AROUND_BYTES = 100, 150


def array_client(bench, name, options):
    """Calls that return an array, by the client that belongs to the server."""
    job = {**bench.servers[name].target(), "seconds": bench.seconds, "warmup": bench.seconds / 5}
    if name == RAW:
        answer = options["bytes"] + _AROUND_BYTES
        job |= {"client": "raw", "raw": {"request": _REQUEST_BYTES, "answer": answer}}
    elif name == _STOCK:
        job |= {"serializer": "serpent", **options["as_list"]}
    else:
        job |= {"client": "ours", **options["call"]}
    return bench.watched(name, lambda: bench.run_client(job))


# Name, description, servers, goals and options of each scenario.
ARRAYS = [
    (
        "arrays-100k",
        "an array of 100,000 floats to our client; as a list by serpent to Pyro5's",
        [_NATIVE, _HOSTED, _STOCK, RAW],
        [Goal(_HOSTED, least=100, against=_STOCK)],
        {
            "bytes": 800_000,
            "call": {"method": "array", "args": [100_000]},
            "as_list": {"method": "floats", "args": [100_000]},
        },
    ),
    (
        "arrays-1m",
        "an array of 1,000,000 floats to our client",
        [_NATIVE, _HOSTED, RAW],
        [Goal(_HOSTED, least=0.5, against=RAW)],
        {"bytes": 8_000_000, "call": {"method": "array", "args": [1_000_000]}},
    ),
    (
        "arrays-frame",
        "a frame of 1024 x 1024 uint16 to our client; as a list by serpent to Pyro5's",
        [_NATIVE, _HOSTED, _STOCK, RAW],
        [Goal(_HOSTED, least=0.5, against=RAW), Goal(_HOSTED, least=500, against=_STOCK)],
        {
            "bytes": 2 << 20,
            "call": {"method": "frame", "args": [1024, 1024]},
            "as_list": {"method": "rows", "args": [1024, 1024]},
        },
    ),
]
