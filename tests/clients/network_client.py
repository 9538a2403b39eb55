"""A stock client somewhere in the network that uses a lab as people do.

    network_client.py HOST PORT       the nameserver is known
    network_client.py "" UDP-PORT     the nameserver is searched for by broadcast

Prints as JSON the hosts that it was told, and what came of its calls.
"""

import json
import sys

import Pyro5.api

sys.dont_write_bytecode = True

SERVICE = "lab.wire"


def host(uri):
    return Pyro5.api.URI(str(uri)).host


def main(where, port):
    if where:
        nameserver = Pyro5.api.locate_ns(where, int(port))
    else:
        Pyro5.config.NS_BCPORT = int(port)
        nameserver = Pyro5.api.locate_ns()
    uri = nameserver.lookup(SERVICE)
    told = {
        "nameserver": host(nameserver.lookup("Pyro.NameServer")),
        "lookup": host(uri),
        "with metadata": host(nameserver.lookup(SERVICE, return_metadata=True)[0]),
        "list": host(nameserver.list(prefix=SERVICE)[SERVICE]),
        "yplookup": host(nameserver.yplookup(meta_any={"a wire"})[SERVICE][0]),
        "found at": nameserver._pyroUri.host,
    }
    batch = Pyro5.api.BatchProxy(nameserver)
    batch.lookup(SERVICE)
    told["batch"] = host(next(iter(batch())))
    with Pyro5.api.Proxy(uri) as wire:
        child = wire.adopt("anna")
        told["auto proxy"] = child._pyroUri.host
        calls = [child.who()]
        child._pyroRelease()
        wire.disown("anna")
        wire.lock("somebody")
        calls += [wire.echo(1)[0][0], wire.islocked()]
        told["owner"] = wire.lock_info()["address"].rpartition(":")[0]
        wire.unlock()
        calls.append(wire.islocked())
    print(json.dumps({"told": told, "calls": calls}))


main(*sys.argv[1:])
