"""A client program that does to a lock what it is told, and prints what came of it.

    lock_client.py URI pyrolab             PyroLab's documented behaviour, line by line
    lock_client.py URI hold USER [..]      takes the lock and keeps it until it is killed
    lock_client.py URI crowd N SECONDS M   N clients in threads, M acquisitions each
"""

import json
import os
import socket
import struct
import sys
import threading
import time

import Pyro5.api
import Pyro5.client
import Pyro5.errors

sys.dont_write_bytecode = True


def told(function):
    try:
        return ["returned", function()]
    except Exception as error:
        return ["raised", type(error).__module__ + "." + type(error).__qualname__, list(error.args)]


def reset(proxy):
    """Ends a proxy's connection with an RST, as a program does that dies with unread data."""
    sock = proxy._pyroConnection.sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def wait_until(outcome, wanted):
    """Asks for an outcome until it is the wanted one, and returns the last."""
    deadline = time.monotonic() + 300
    while (last := outcome()) != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return last


def wait_for_the_lock(proxy):
    """How PyroLab's users wait."""
    return wait_until(lambda: told(lambda: proxy.lock("next")), ["returned", True])


def pyrolab(uri):
    """The documented behaviour of a lock, through PyroLab's own client."""
    from pyrolab.api import Proxy

    say = lambda what, function: print(json.dumps([what, told(function)]), flush=True)
    ada, eve = Proxy(uri), Proxy(uri)
    say("not locked", ada.islocked)
    say("unlock, not locked", ada.unlock)
    say("lock", lambda: ada.lock("ada"))
    say("lock again", lambda: ada.lock("ada"))
    say("own call", lambda: ada.move(1))
    say("own islocked", ada.islocked)
    say("other's call", lambda: eve.move(1))
    say("other's read", lambda: eve.position)
    say("other's write", lambda: setattr(eve, "position", 7))
    say("other's oneway", eve.kick)
    say("other's unknown member", lambda: eve._pyroInvoke("nothing", (), {}))
    say("other's private member", lambda: eve._pyroInvoke("_nothing", (), {}))
    say("other's lock", lambda: eve.lock("eve"))
    say("other's lock without a name", eve.lock)
    say("other's unlock", eve.unlock)
    batch = Pyro5.client.BatchProxy(eve)
    batch.move(1)
    batch.move(1)
    say("other's batch", lambda: list(batch()))
    say("own call after all that", lambda: ada.move(1))
    say("unlock", ada.unlock)
    say("unlocked", eve.islocked)
    say("other's call, unlocked", lambda: eve.move(1))
    say("other's lock, unlocked", lambda: eve.lock(user="eve"))
    say("refused the other way round", lambda: ada.move(1))
    say("a name that is no text", lambda: [eve.unlock(), eve.lock(5)])
    say("and what others read", lambda: ada.move(1))
    say("too many arguments", lambda: eve.unlock(1))
    eve._pyroRelease()
    say("after a clean close", lambda: wait_for_the_lock(ada))
    reset(ada)
    eve._pyroReconnect()
    say("after an RST", lambda: wait_for_the_lock(eve))
    eve.unlock()
    child = os.fork()
    if child == 0:
        own = Proxy(uri)
        own.lock("child")
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    say("after a SIGKILL", lambda: wait_for_the_lock(eve))


def hold(uri, user, *arguments):
    """Takes the lock, says so, and does what lines on standard input ask for."""
    options = json.loads(arguments[0]) if arguments else {}
    proxy = Pyro5.api.Proxy(uri)
    print(json.dumps(told(lambda: proxy.lock(user, **options))), flush=True)
    special = {"batch": batch, "at": at}
    for line in sys.stdin:
        name, *args = json.loads(line)
        if name in special:
            outcome = told(lambda: special[name](proxy, *args))
        else:
            outcome = told(lambda: getattr(proxy, name)(*args))
        print(json.dumps(outcome), flush=True)


def batch(proxy, *entries):
    """Several calls in one request."""
    calls = Pyro5.client.BatchProxy(proxy)
    for name, *args in entries:
        getattr(calls, name)(*args)
    return list(calls())


def at(proxy, service, name, *args):
    """A call of another service of the same daemon, on the same connection."""
    return proxy._pyroInvoke(name, args, {}, objectId=service)


def crowd(uri, clients, wait, each):
    """Clients that take the lock, drive and give it back, again and again."""
    barrier = threading.Barrier(int(clients))
    errors = []

    def run(number):
        try:
            with Pyro5.api.Proxy(uri) as proxy:
                who = f"{os.getpid()}.{number}"
                proxy._pyroBind()
                barrier.wait(300)
                for _ in range(int(each)):
                    assert proxy.lock(who, wait=float(wait)) is True, "not granted in time"
                    proxy.drive(who)
                    assert proxy.unlock() is True, "not mine at the end"
        except Exception as error:
            errors.append(repr(error))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(int(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(errors), flush=True)


if __name__ == "__main__":
    {"pyrolab": pyrolab, "hold": hold, "crowd": crowd}[sys.argv[2]](sys.argv[1], *sys.argv[3:])
