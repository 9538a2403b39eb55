"""Clients of the soak: stock Pyro5 proxies that call, lock, send, stream, look names up, and go."""

import itertools
import socket
import struct

import ferrolab
import Pyro5.api
import Pyro5.errors

# Exceptions that faults explain: a server is gone, or refuses.
EXPECTED = (Pyro5.errors.PyroError, ferrolab.PyroError, OSError)
# Seconds for an answer; nothing takes so long.
PATIENCE = 60
# Clients of each kind, and the longest pause of one in seconds.
CALLERS, LOCKERS = 4, 6
PAUSE = 0.1
# Pyro5's marshal can neither set properties nor send batches.
SERIALIZERS = ["serpent", "json", "msgpack"]
LOCKABLE = ["soak.bench", "soak.session", "soak.turns", "soak.calm"]


def bodies(run):
    """Names and functions of the clients' threads."""
    kinds = [(_call, CALLERS), (_lock, LOCKERS), (_send, 2), (_stream, 2), (_names, 2), (_own_client, 2)]
    return [
        (f"{kind.__name__[1:]}{number}", lambda kind=kind, number=number: _again(run, kind, number))
        for kind, count in kinds
        for number in range(count)
    ]


def _again(run, kind, number):
    """One client after the other, until the soak is over."""
    name = f"{kind.__name__[1:]}{number}"
    random = run.random(name)
    keys = (f"{name}.{count}" for count in itertools.count())
    while not run.over.is_set():
        try:
            kind(run, random, keys)
        except Pyro5.errors.TimeoutError:
            run.tally.fault(f"{name}: no answer within {PATIENCE} s")
        except EXPECTED as error:
            run.tally.count(f"{kind.__name__[1:]}: {type(error).__name__}")
        except Exception:
            run.tally.unexpected(name)
        run.over.wait(random.random() * PAUSE)


def _proxy(run, random):
    name = random.choice(LOCKABLE)
    proxy = Pyro5.api.Proxy(run.uris[name])
    proxy._pyroTimeout = PATIENCE
    proxy._pyroSerializer = random.choice(SERIALIZERS)
    return name, proxy


def _cut(proxy):
    """Ends a connection as a crash does, without a goodbye."""
    connection = proxy._pyroConnection
    if connection is not None:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sock.close()


def _call(run, random, keys):
    name, proxy = _proxy(run, random)
    with proxy:
        for _ in range(random.randrange(1, 20)):
            if run.over.is_set():
                return
            key = next(keys)
            run.tally.answer(name, key, proxy.count(key))
            if random.random() < 0.2:
                proxy.level = 5
                assert proxy.level in (0, 5)
        if random.random() < 0.3:
            batch = Pyro5.api.BatchProxy(proxy)
            sent = [next(keys) for _ in range(5)]
            for key in sent:
                batch.count(key)
            for key, result in zip(sent, batch()):
                run.tally.answer(name, key, result)
        if random.random() < 0.3:
            _cut(proxy)


def _lock(run, random, keys):
    name, proxy = _proxy(run, random)
    key = next(keys)
    who = key.replace(".", "-")
    with proxy:
        token = f"token {key}" if random.random() < 0.3 else None
        kwargs = {"token": token, "ttl": random.choice([0, 1, 3])} if token else {}
        if random.random() < 0.6:
            kwargs["wait"] = random.choice([0, 1, 10])
        if not proxy.lock(who, **kwargs):
            return run.tally.count("locks in vain")
        run.tally.count("locks")
        epoch = proxy.lock_info()["epoch"]
        for _ in range(random.randrange(6)):
            key = next(keys)
            run.tally.answer(name, key, proxy.drive(who, epoch, key))
            run.over.wait(random.random() * 0.05)
        end = random.random()
        if end < 0.4:
            proxy.unlock()
        elif end < 0.5 and name == "soak.bench":
            # Its program hangs, and `lock_idle` takes the lock away.
            run.over.wait(3)
        elif end < 0.8:
            _cut(proxy)
            if token:
                _come_back(run, random, name, who, token, keys)


def _come_back(run, random, name, who, token, keys):
    run.over.wait(random.random() * 2)
    with Pyro5.api.Proxy(run.uris[name]) as proxy:
        proxy._pyroTimeout = PATIENCE
        proxy.lock(who, token=token)
        run.tally.count("locks by token")
        key = next(keys)
        run.tally.answer(name, key, proxy.drive(who, proxy.lock_info()["epoch"], key))
        proxy.unlock()


def _send(run, random, keys):
    name, proxy = _proxy(run, random)
    with proxy:
        for _ in range(random.randrange(1, 30)):
            proxy.send(next(keys))
            run.tally.count("sent")
        key = next(keys)
        run.tally.answer(name, key, proxy.count(key))


def _stream(run, random, keys):
    name, proxy = _proxy(run, random)
    with proxy:
        key, last = next(keys), random.randrange(1, 40)
        stream = proxy.numbers(key, last)
        read = list(itertools.islice(stream, random.randrange(1, 60)))
        if read != list(range(len(read))):
            run.tally.fault(f"{name}: a stream gave {read}")
        run.tally.count("streams")
        if random.random() < 0.5:
            stream.close()
        elif random.random() < 0.5:
            _cut(proxy)


def _names(run, random, keys):
    with Pyro5.api.Proxy(f"PYRO:Pyro.NameServer@localhost:{run.port}") as nameserver:
        nameserver._pyroTimeout = PATIENCE
        for _ in range(10):
            name = random.choice(list(run.uris))
            try:
                uri = nameserver.lookup(name)
            except Pyro5.errors.NamingError:
                # Its daemon was killed, and has longer to come back than the name's lease.
                run.tally.count("names that are away")
                continue
            if uri.object != name:
                run.tally.fault(f"the name {name} is that of {uri}")
            run.tally.count("lookups")
        name = f"temp.{next(keys)}"
        nameserver.register(name, "PYRO:temp@localhost:1")
        if str(nameserver.lookup(name)) != "PYRO:temp@localhost:1":
            run.tally.fault(f"{name} is another's")
        nameserver.remove(name)


def _own_client(run, random, keys):
    """The client of this house."""
    name = random.choice(LOCKABLE)
    try:
        with ferrolab.Proxy(run.uris[name], timeout=PATIENCE) as instrument:
            for _ in range(random.randrange(1, 10)):
                key = next(keys)
                run.tally.answer(name, key, instrument.count(key))
    except ferrolab.TimeoutError:
        raise Pyro5.errors.TimeoutError from None
