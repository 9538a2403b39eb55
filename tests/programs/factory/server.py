"""Objects made on demand and handed out as proxies."""

from Pyro5.api import behavior, expose


class Channel:
    def __init__(self, number):
        self._number = number
        self._gain = 1

    @expose
    @property
    def number(self):
        return self._number

    @expose
    @property
    def gain(self):
        return self._gain

    @gain.setter
    def gain(self, value):
        if value <= 0:
            raise ValueError("a gain is positive")
        self._gain = value

    @expose
    def read(self):
        return self._number * self._gain

    @expose
    def close(self):
        self._pyroDaemon.unregister(self)


@expose
class Scratch:
    """Registered as a class: each session has its own instance."""

    def __init__(self):
        self._notes = []

    def note(self, text):
        self._notes.append(text)
        return self._notes


@expose
@behavior(instance_mode="single")
class Amplifier:
    def __init__(self):
        self._channels = {}

    def channel(self, number):
        if number not in self._channels:
            channel = Channel(number)
            self._pyroDaemon.register(channel)
            self._channels[number] = channel
        return self._channels[number]

    def channels(self):
        return [self._channels[number] for number in sorted(self._channels)]

    def by_name(self):
        return {f"channel {number}": channel for number, channel in self._channels.items()}

    def plain(self):
        return {"number": 99}

    def scratch(self):
        return str(self._pyroDaemon.register(Scratch, "scratch"))

    def own_uri(self):
        return str(self._pyroDaemon.uriFor(self)), self._pyroId

    def gain_of(self, channel):
        """For an argument that is a proxy of an object of this daemon."""
        return type(channel).__name__, channel.gain

    def twice(self):
        self._pyroDaemon.register(self._channels[1], "again")
