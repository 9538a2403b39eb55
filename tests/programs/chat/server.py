"""A chat room that calls its members back, in their own daemons."""

from Pyro5.api import behavior, expose


@expose
@behavior(instance_mode="single")
class Room:
    def __init__(self):
        self._channels = {}
        self._nicks = []

    def channels(self):
        return sorted(self._channels)

    def nicks(self):
        return self._nicks

    def join(self, channel, nick, member):
        if nick in self._nicks:
            raise ValueError("this nick is taken", nick)
        self._nicks.append(nick)
        self._channels.setdefault(channel, []).append((nick, member))
        self.publish(channel, "SERVER", f"** {nick} joined **")
        return [name for name, _ in self._channels[channel]]

    def leave(self, channel, nick):
        members = self._channels.get(channel, [])
        members[:] = [(name, member) for name, member in members if name != nick]
        if nick in self._nicks:
            self._nicks.remove(nick)
        self.publish(channel, "SERVER", f"** {nick} left **")
        if not members:
            del self._channels[channel]

    def publish(self, channel, nick, text):
        gone = []
        for name, member in list(self._channels.get(channel, [])):
            member._pyroClaimOwnership()
            try:
                member.message(nick, text)
            except Exception as error:
                gone.append(f"{name}: {type(error).__name__}: {error}")
        return gone
