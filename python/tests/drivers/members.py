"""Instruments with members of all kinds, and with objects that hang on them. No Pyro in sight."""

import functools
import math
import os
import threading
import time
import types


class Channel:
    def __init__(self, number):
        self.number = number
        self._level = 0.0

    @property
    def level(self):
        return self._level

    @level.setter
    def level(self, volts):
        self._level = volts

    def off(self):
        self._level = 0.0
        return "off"


class Parameter:
    """Like qcodes': it is called to be read and set."""

    def __init__(self):
        self._value = 1

    def __call__(self, *value):
        if value:
            (self._value,) = value
        return self._value

    def get(self):
        return self._value


class Everything:
    """A member of every kind."""

    __slots__ = ("__dict__", "__weakref__", "slot")
    constant = 5
    sine = staticmethod(math.sin)
    partial = functools.partialmethod(lambda self, a, b: a * b, 2)

    class Error(Exception):
        pass

    def __init__(self):
        self.slot, self.plain, self._hidden = "slot", "plain", "hidden"
        self.callable = Parameter()
        self.bound = [3, 1, 2].index
        self.made = 0

    @functools.cached_property
    def cached(self):
        return "cached"

    @property
    def counted(self):
        """A property that counts: listing must not read it."""
        self.made += 1
        return self.made

    def method(self):
        return "method"

    def __getattr__(self, name):
        if name == "virtual":
            return "virtual"
        if name == "virtual_call":
            return lambda: "called"
        raise AttributeError(name)

    def __dir__(self):
        return list(super().__dir__()) + ["virtual", "virtual_call"]


class Asked:
    """An instrument that sends every name that it does not have to its device."""

    def __init__(self):
        self._sent = []

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        self._sent.append(name)
        if name != "identify":
            return name + "?"
        return lambda text: "*IDN? " + (", ".join(self._sent) if text == "sent" else text)


class Wrapper:
    """It has what the object has that it wraps, and what is in its dict."""

    def __init__(self):
        self._wrapped, self._more = Everything(), {"wrapped_call": Parameter()}

    def __getattr__(self, name):
        more = self.__dict__["_more"]
        return more[name] if name in more else getattr(self.__dict__["_wrapped"], name)


class Growing:
    def __init__(self):
        self.first = 1

    def call(self):
        self._private = 2

    def grow(self, name, odd=None):
        setattr(self, name, name)
        if odd:
            setattr(self, odd.decode("utf-8", "surrogateescape"), 1)

    def get(self, name):
        return getattr(self, name)


class Supply:
    """Channels as attributes, in a list, in a dict, below each other; other values."""

    def __init__(self, broken=False):
        self.axes = [Channel(10), Channel(11)]
        self.named = {"x": Channel(20), "not a name": Channel(21)}
        self.ch_1, self.ch_2 = Channel(1), Channel(2)
        self.all_channels = [self.ch_1, self.ch_2]
        self.nested = Channel(3)
        self.nested.inner = Channel(4)
        self.nested.parent = self
        self.loop = Channel(5)
        self.loop.itself = self.loop
        self.parameter = Parameter()
        self.lock, self.number, self.text = threading.Lock(), 1.5, "text"
        self.nothing = None
        if broken:
            raise OSError(5, "no device")

    @property
    def asked(self):
        raise ValueError("the instrument does not answer")

    @property
    def exits(self):
        raise SystemExit("no instrument")

    @property
    def odd(self):
        return Unlisted()

    @property
    def fresh(self):
        return Channel(30)

    @property
    def shown(self):
        return types.MappingProxyType(self.named)

    def __getattr__(self, name):
        # As of an instrument that sends what it does not have.
        self.__dict__.setdefault("sent", []).append(name)
        raise AttributeError(name)

    def renew(self):
        self.ch_1 = Channel(100)

    def put(self, path, kind):
        """Puts a new object in the place of another."""
        value = {"channel": lambda: Channel(200), "parameter": Parameter, "nothing": lambda: None,
                 "number": lambda: 1.5, "items": list}.get(kind, dict)()
        if kind == "deleted":
            delattr(self, path)
        elif path == "axes.0":
            self.axes[0] = value
        else:
            setattr(self, path, value)

    @property
    def changing(self):
        return self._changing

    _changing = Channel(40)

    def grow(self):
        self.ch_9 = Parameter()

    def everything(self):
        return [self.ch_1, {"x": self.named["x"]}]


class Unlisted:
    """`dir()` of its instances, and with the metaclass of the class, raises."""

    def __init__(self):
        self.value = 1

    def __dir__(self):
        raise ValueError("no list")

    def method(self):
        return "method"


class Broken(type):
    def __dir__(cls):
        raise ValueError("no list of the class")


class UnlistedClass(metaclass=Broken):
    def method(self):
        return "method"


class Late:
    """Raises until it is asked for the second time."""

    made = 0

    def __init__(self):
        type(self).made += 1
        if self.made == 1:
            raise OSError(5, "no device")
        self.ch_1 = Channel(1)

    def method(self):
        return "method"


class Hanging:
    def __init__(self, file):
        while not os.path.exists(file):
            time.sleep(0.01)
        self.late = "late"


def make(number=1, what="channel"):
    """A factory."""
    return {"channel": Channel, "nothing": lambda number: None, "class": lambda number: Channel}[what](
        number
    )


def double(number):
    return number * 2


_private = 1
here = Channel(7)
shared = Supply()
