"""How fast Python's own serializers write and read the values of `crates/wire/benches`.

    python bench/serializers.py          (the interpreter of `cargo xtask venv`)

Prints megabytes of encoded data per second, under the names that `cargo bench -p ferrolab-wire`
uses. Each is called as Pyro5 calls it.
"""

import time

import Pyro5.errors
import Pyro5.serializers

LONG = 100_000
SECONDS = 0.5


def record(i):
    return {"name": f"sensor {i}", "value": i * 0.1, "unit": "mbar", "ok": True}


VALUES = {
    "floats": [i * 0.6180339887498949 % 1.0 for i in range(LONG)],
    "short floats": [i / 64.0 for i in range(LONG)],
    "ints": [i * 37 % 65_536 for i in range(LONG)],
    "records": [record(i) for i in range(LONG // 10)],
    "bytes": b"\x5a" * (1 << 20),
    "text": "It is a truth, universally acknowledged. " * 25_000,
    "record": record(3),
}
CALL = ("lab.supply", "set_output", (3, 12.5, True), {"unit": "V"})


def megabytes_per_second(size, function, *args):
    rounds, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        function(*args)
        rounds += 1
    return size * rounds / (time.perf_counter() - started) / 1e6


def main():
    for name in ("serpent", "marshal", "json", "msgpack"):
        serializer = Pyro5.serializers.serializers[name]
        for value_name, value in VALUES.items():
            try:
                data = serializer.dumps(value)
            except Pyro5.errors.SerializeError:
                continue  # json has no bytes
            written = megabytes_per_second(len(data), serializer.dumps, value)
            read = megabytes_per_second(len(data), serializer.loads, data)
            print(f"{name}/write {value_name:14} {written:10,.1f} MB/s")
            print(f"{name}/read {value_name:15} {read:10,.1f} MB/s", flush=True)
        data = serializer.dumpsCall(*CALL)
        read = megabytes_per_second(len(data), serializer.loadsCall, data)
        print(f"{name}/read {'call':15} {read:10,.1f} MB/s", flush=True)


if __name__ == "__main__":
    main()
