"""A stock client, configured by Pyro5's variables alone: names, calls, locks and streams.

Arguments: the port of a nameserver on localhost, and services. Prints what it has seen as JSON.
"""

import json
import sys

import Pyro5.api

SERIALIZERS = ("serpent", "marshal", "json", "msgpack")


def use(name, serializer, names):
    uri = names.lookup(name)
    with Pyro5.api.Proxy(uri) as mine, Pyro5.api.Proxy(uri) as other:
        mine._pyroSerializer = other._pyroSerializer = serializer
        seen = [serializer, mine.lock("ada")]
        try:
            seen.append(other.echo(1))
        except ConnectionRefusedError as error:
            seen.append(str(error))
        seen += [len(mine.echo("x" * 100_000)[0][0]), list(mine.numbers(3)), mine.unlock()]
        return [*seen, other.echo([1.5, None, True])]


def main(port, services):
    with Pyro5.api.locate_ns("localhost", int(port)) as names:
        listed = sorted(names.list(prefix="t."))
        seen = {name: [use(name, serializer, names) for serializer in SERIALIZERS] for name in services}
    print(json.dumps({"listed": listed, "seen": list(seen.values())}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
