"""Measures our nameserver beside Pyro5's, in one run: `python tests/bench_nameserver.py`.

Not collected by pytest. It needs the interpreter that has Pyro5 (`cargo xtask venv`) and the
binary in FERROLAB_BIN (a release build). Both nameservers keep their names in a database; the
clients are the same: stock Pyro5 for what one client does, and for throughput sockets that send
recorded requests, so that the nameserver is measured and not the client. Pyro5's runs as its
multiplex server there, since its thread server refuses more than 80 connections. Both run all the
time, and are measured in turns: whatever else the machine does, it does to both.

    python tests/bench_nameserver.py [--names 100000] [--connections 1000] [--seconds 5]
                                     [--rounds 5] [--storage sql|memory] [--only TEXT]
"""

import argparse
import contextlib
import functools
import multiprocessing
import os
import selectors
import socket
import sqlite3
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS), str(TESTS / "drivers")]

import Pyro5.api  # noqa: E402
import Pyro5.protocol  # noqa: E402
import Pyro5.serializers  # noqa: E402
from harness import free_port, new_lab, proxy, stock_nameserver  # noqa: E402

LAB = """\
version: "1.0"
nameservers:
  local: {host: localhost, ns_port: $port, storage: $storage}
autolaunch: {nameservers: [local]}
"""
BATCH = 500


@contextlib.contextmanager
def ours(storage):
    with new_lab() as lab:
        port = free_port()
        lab.config(LAB, port=port, storage=storage)
        lab.up()
        yield f"PYRO:Pyro.NameServer@localhost:{port}", register


@contextlib.contextmanager
def pyro5(storage):
    with tempfile.TemporaryDirectory() as folder:
        place = f"sql:{folder}/names.sql" if storage == "sql" else storage
        config = {"SERVERTYPE": "multiplex"}
        with stock_nameserver(storage=place, config=config) as server:
            fill = register
            if storage == "sql":
                # It takes some 10 ms for each; the rest goes into its file without its knowledge,
                # which it reads anew for every question.
                fill = functools.partial(insert, Path(folder) / "names.sql")
            yield server.uris["nameserver"], fill


def name(number):
    return f"bench.room{number % 100:02}.instrument{number:06}"


def tags(number):
    return [f"room{number % 100:02}", f"kind{number % 1000:03}"]


def timed(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def insert(file, _, names):
    """Writes names into Pyro5's database."""
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        for number in names:
            row = database.execute(
                "INSERT INTO pyro_names(name, uri) VALUES (?, ?)",
                (name(number), "PYRO:object@localhost:1234"),
            )
            tag_rows = [(row.lastrowid, tag) for tag in tags(number)]
            database.executemany("INSERT INTO pyro_metadata VALUES (?, ?)", tag_rows)


def register(uri, names):
    """Registers names in batches, by one client."""
    with proxy(uri, timeout=600) as nameserver:
        for first in range(names.start, names.stop, BATCH):
            batch = Pyro5.api.BatchProxy(nameserver)
            for number in range(first, min(first + BATCH, names.stop)):
                batch.register(name(number), "PYRO:object@localhost:1234", False, tags(number))
            for _ in batch():
                pass


def register_singly(uri, count=300):
    with proxy(uri, timeout=600) as nameserver:
        for number in range(count):
            nameserver.register(name(number), "PYRO:object@localhost:1234", False, tags(number))


def query(expected, *args, method="list", **kwargs):
    """A query by one stock client; its answer must be complete."""

    def ask(uri):
        with proxy(uri, timeout=600) as nameserver:
            nameserver._pyroBind()
            started = time.perf_counter()
            found = nameserver._pyroInvoke(method, args, kwargs)
            taken = time.perf_counter() - started
        assert len(found) == expected, (method, args, kwargs, len(found), expected)
        return taken

    return ask


# Throughput: sockets that send what a stock client would


def message(kind, data, flags=0):
    serializer = Pyro5.serializers.serializers["serpent"]
    return bytes(Pyro5.protocol.SendingMessage(kind, flags, 1, serializer.serializer_id, data).data)


def requests(uri):
    """A handshake and a lookup, as bytes."""
    serializer = Pyro5.serializers.serializers["serpent"]
    target = Pyro5.api.URI(uri).object
    hello = serializer.dumps({"handshake": "hello", "object": target})
    call = serializer.dumpsCall(target, "lookup", (name(42),), {})
    return message(Pyro5.protocol.MSG_CONNECT, hello), message(Pyro5.protocol.MSG_INVOKE, call)


def receive(connection):
    """One whole message; its kind and flags."""
    data = b""
    while len(data) < 40:
        data += connection.recv(40 - len(data)) or sys.exit("a connection was lost")
    kind, _, flags, _, data_size, annotations_size = struct.unpack("!BBHHIH", data[6:18])
    left = data_size + annotations_size
    while left:
        left -= len(connection.recv(left)) or sys.exit("a connection was lost")
    return kind, flags


def load(uri, connections, seconds, results):
    """Looks names up over all connections, one request under way on each; how many a second."""
    hello, lookup = requests(uri)
    where = Pyro5.api.URI(uri)
    selector = selectors.DefaultSelector()
    sockets = []
    for _ in range(connections):
        connection = socket.create_connection((where.host, where.port), timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(hello)
        assert receive(connection)[0] == Pyro5.protocol.MSG_CONNECTOK
        sockets.append(connection)
    connection.sendall(lookup)
    kind, flags = receive(connection)
    assert kind == Pyro5.protocol.MSG_RESULT and not flags & Pyro5.protocol.FLAGS_EXCEPTION
    connection.sendall(lookup)
    # Every answer is as long as the first: no need to take them apart.
    length = len(connection.recv(65536))
    pending = {}
    for connection in sockets:
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)
        pending[connection] = length
        connection.send(lookup)
    answered = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        for key, _ in selector.select(1):
            connection = key.fileobj
            pending[connection] -= len(connection.recv(65536))
            if pending[connection] <= 0:
                answered += 1
                pending[connection] = length
                connection.send(lookup)
    results.put(answered / (time.perf_counter() - started))


def lookups(uri, connections, seconds, clients=2):
    """Lookups per second, over `connections` connections of a few client processes."""
    clients = min(clients, connections)
    results = multiprocessing.Queue()
    share = connections // clients
    processes = [
        multiprocessing.Process(target=load, args=(uri, share, seconds, results))
        for _ in range(clients)
    ]
    for process in processes:
        process.start()
    total = sum(results.get(timeout=seconds + 300) for _ in processes)
    for process in processes:
        process.join()
    return total


def lookups_of_one(uri, seconds):
    """Lookups per second of one stock client."""
    with proxy(uri) as nameserver:
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            nameserver.lookup(name(42))
            count += 1
        return count / (time.perf_counter() - started)


def rows(options):
    """The measurements: title, unit, how often, and a function of a nameserver's URI."""
    n, connections, seconds = options.names, options.connections, options.seconds

    def search(what, expected, pattern):
        return f"list by regex ({what})", "s", options.rounds, query(expected, regex=pattern)

    return [
        ("list all", "s", options.rounds, query(n + 1)),
        ("list by prefix (1%)", "s", options.rounds, query(n // 100, prefix="bench.room42.")),
        search("1%, plain beginning", n // 100, r"bench\.room4[2]\."),
        search("10%, plain beginning", n // 10, r"bench\.room0\d\..*"),
        search("10 anywhere", 10, r".*instrument00001\d$"),
        search("10% anywhere", n // 10, r".*9$"),
        search("10 of either case", 10, r"(?i).*INSTRUMENT00001\d$"),
        search("alternatives", 3, r".*(000111|000222|000333)$"),
        search("words and digits", n // 100, r"\w+\.room42\.\w+\d+$"),
        search("none, plain", 0, r"nomatch"),
        search("none anywhere", 0, r".*nomatch"),
        (
            "all of two tags (0.1%)",
            "s",
            options.rounds,
            query(n // 1000, ["room42", "kind042"], method="yplookup"),
        ),
        (
            "any of two tags (2%)",
            "s",
            options.rounds,
            query(n // 50, None, ["room42", "room43"], method="yplookup"),
        ),
        ("lookups, one stock client", "/s", 3, lambda uri: lookups_of_one(uri, seconds)),
        ("lookups, 1 connection", "/s", 3, lambda uri: lookups(uri, 1, seconds)),
        (
            f"lookups, {connections} connections",
            "/s",
            3,
            lambda uri: lookups(uri, connections, seconds),
        ),
    ]


def fill_all(servers, options):
    """Registers all names; how fast that went, as rows."""
    singly, in_batches = [], []
    for uri, fill in servers:
        singly.append(300 / timed(lambda uri=uri: register_singly(uri)))
        # All of them where that does not take for ever.
        n = options.names
        some = n if fill is register else min(n, options.registrations)
        in_batches.append(some / timed(lambda uri=uri, some=some: register(uri, range(some))))
        fill(uri, range(some, n))
    yield "registrations, one by one", "/s", singly
    yield "registrations, in batches", "/s", in_batches


def in_turns(ask, servers, number):
    """One round; who is first changes from one to the next, since the second finds things warm."""
    turns = list(enumerate(uri for uri, _ in servers))
    taken = {place: ask(uri) for place, uri in (turns if number % 2 == 0 else reversed(turns))}
    return [taken[place] for place, _ in turns]


def measure(servers, options):
    """Rows of what was measured, each with the servers' medians."""
    yield from fill_all(servers, options)
    for what, unit, rounds, ask in rows(options):
        if options.only in what:
            taken = [in_turns(ask, servers, number) for number in range(rounds)]
            yield what, unit, [statistics.median(column) for column in zip(*taken, strict=True)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--names", type=int, default=100_000)
    parser.add_argument("--registrations", type=int, default=2000, help="of Pyro5's, measured")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows with this text in their names")
    parser.add_argument("--storage", choices=["sql", "memory"], default="sql")
    options = parser.parse_args()
    if "FERROLAB_BIN" not in os.environ:
        parser.error("FERROLAB_BIN is not set")
    print(f"storage: {options.storage}\n")
    print("| | Pyro5 | Ferrolab | times as fast |\n|---|---|---|---|")
    with pyro5(options.storage) as theirs, ours(options.storage) as mine:
        for what, unit, (stock, own) in measure([theirs, mine], options):
            ratio = own / stock if unit == "/s" else stock / own
            figures = f"{stock:.4g} {unit} | {own:.4g} {unit} | {ratio:.1f}"
            print(f"| {what} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
