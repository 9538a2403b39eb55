import threading

from Pyro5.api import Daemon, Proxy, callback, expose


class Member:
    def __init__(self, name):
        self.name = name
        self.seen = []

    @expose
    @callback
    def message(self, nick, text):
        if "secret" in text:
            raise PermissionError(f"{self.name} does not listen to secrets")
        self.seen.append(f"{nick}: {text}")


with Daemon(host="localhost") as daemon:
    alice, bob = Member("alice"), Member("bob")
    daemon.register(alice)
    daemon.register(bob)
    threading.Thread(target=daemon.requestLoop, daemon=True).start()

    room = Proxy("PYRONAME:chat.room")
    print("channels:", room.channels())
    print("joined:", room.join("lab", "alice", alice))
    print("joined:", room.join("lab", "bob", bob))
    try:
        room.join("lab", "bob", bob)
    except ValueError as error:
        print("refused:", error.args)
    print("nicks:", room.nicks(), "channels:", room.channels())
    print("unreached:", room.publish("lab", "alice", "good morning"))
    print("unreached:", room.publish("lab", "bob", "good morning, alice"))
    print("unreached:", room.publish("lab", "bob", "a secret"))
    daemon.unregister(bob)
    print("unreached:", room.publish("lab", "alice", "are you there?"))
    room.leave("lab", "bob")
    room.leave("lab", "alice")
    print("channels:", room.channels(), "nicks:", room.nicks())
    for member in (alice, bob):
        print(f"{member.name} has seen:")
        for line in member.seen:
            print("  ", line)
    daemon.shutdown()
