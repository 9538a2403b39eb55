"""A driver that is a client itself: it passes itself, and objects that it registered, to others."""

import signal
import threading
import weakref

from Pyro5.api import Proxy, SerializerBase, callback, expose
from Pyro5.serializers import serializers


@expose
class Kid:
    def __init__(self, name="kid"):
        self.name = name

    def hello(self):
        return "hello from " + self.name


@expose
class Heir(Kid):
    pass


@expose
class Twin(Kid):
    pass


@expose
class Child(Kid):
    pass


class Stranger:
    """An object that is never registered."""

    def __init__(self):
        self.name = "stranger"


@expose
class Teller:
    def __init__(self):
        self._kept = []

    def hello(self):
        return "hello from the teller"

    def _made(self, what):
        daemon, kid = self._pyroDaemon, Kid()
        self._kept.append(kid)
        if what == "itself":
            return self
        if what == "stranger":
            return Stranger()
        if what == "not registered":
            daemon.register(kid)
            other = Heir("another")
            return other.name
        if what == "class":
            if Child not in daemon.objectsById.values():
                daemon.register(Child)
            return Child()
        daemon.register(kid, weak=what == "weak")
        if what == "unregistered":
            daemon.unregister(kid)
        return {"nested": {"all": [kid, (self,)]}, "list": [kid, kid], "proxy": daemon.proxyFor(kid)}.get(what, kid)

    def tell(self, what, uri, serializer, method="take"):
        with Proxy(uri) as other:
            other._pyroSerializer = serializer
            return getattr(other, method)(self._made(what))

    def tell_keyword(self, uri, serializer):
        with Proxy(uri) as other:
            other._pyroSerializer = serializer
            return other.take(0, other=self)

    def tell_in_batch(self, uri):
        from Pyro5.api import BatchProxy

        with Proxy(uri) as other:
            batch = BatchProxy(other)
            batch.take(self)
            batch.take([self])
            return list(batch())

    def stream(self):
        kid = Kid("of a stream")
        self._kept.append(kid)
        self._pyroDaemon.register(kid)
        yield kid
        yield [self, kid]

    @callback
    def called_back(self, value):
        return ["called back", value]

    def register_as(self, object_id):
        kid = Kid()
        uri = self._pyroDaemon.register(kid, object_id)
        self._kept.append(kid)
        return [uri.object.startswith("obj_"), kid]

    def twins(self, serializer):
        """Forms of objects that are registered before and after a converter of their class."""
        serializer = serializers[serializer]
        read = lambda twin: type(serializer.loads(serializer.dumps(twin))).__name__
        first, second = Twin(), Twin()
        self._pyroDaemon.register(first)
        SerializerBase.register_class_to_dict(Twin, lambda twin: {"made": "by hand"})
        seen = [read(first)]
        self._pyroDaemon.register(second)
        seen += [read(first), read(second)]
        for twin in (first, second):
            self._pyroDaemon.unregister(twin)
        SerializerBase.unregister_class_to_dict(Twin)
        return seen

    def catalogue(self):
        """Entries of `objectsById` for each kind of object, as it comes and goes."""
        daemon, seen = self._pyroDaemon, []
        objects = daemon.objectsById
        seen.append([type(self).__name__, self._pyroId in objects, "Pyro.Daemon" in objects, "none" in objects])
        kid, weak = Kid(), Kid()
        daemon.register(kid, "kid.one")
        daemon.register(weak, "kid.weak", weak=True)
        daemon.register(Heir, "kid.class")
        seen.append([objects["kid.one"] is kid, objects["kid.class"] is Heir])
        seen.append([isinstance(objects["kid.weak"], weakref.ref), objects["kid.weak"]() is weak])
        seen.append(sorted(key for key in objects if key.startswith("kid.")))
        seen.append([objects.get("kid.one") is kid, objects.get("none"), len(objects) == len(list(objects.keys()))])
        seen.append([len(dict(objects)) == len(objects.items()), kid in objects.values()])
        try:
            objects["none"]
        except KeyError as error:
            seen.append(list(error.args))
        for refused in ("kid.one", "Pyro.Daemon"):
            try:
                daemon.register(Kid(), refused)
            except Exception as error:
                seen.append([type(error).__name__, str(error)])
        for registered in (kid, weak, Heir):
            daemon.unregister(registered)
        seen.append(sorted(key for key in objects if key.startswith("kid.")))
        return seen


@expose
class Taker:
    """The other server: it says what it got, and may call it."""

    def take(self, value, other=None):
        return [self._kind(value), self._kind(other)]

    def _kind(self, value):
        if isinstance(value, Proxy):
            known = value._pyroUri.object
            return "proxy of " + (known if known.startswith("t.") else known[:4])
        if isinstance(value, (list, tuple)):
            return [self._kind(item) for item in value]
        if isinstance(value, dict):
            return {key: self._kind(item) for key, item in value.items()}
        return repr(value)

    def call(self, value):
        return value.hello()

    def call_back(self, value):
        return value.called_back(5)


_SIGNALS = []


def _noted(number, frame):
    _SIGNALS.append(number)
    print("the handler ran in", threading.current_thread().name, "for", signal.Signals(number).name, flush=True)


@expose
class Safe:
    """It has its own handler for SIGTERM, as a driver does that opens a shutter."""

    def __init__(self):
        self._stop = threading.Event()

    def install(self, leaves=False):
        def handler(number, frame):
            _noted(number, frame)
            self._stop.set()
            if leaves:
                raise SystemExit(0)

        signal.signal(signal.SIGTERM, handler)

    def wait(self):
        """Runs until the handler ends it."""
        print("waiting", flush=True)
        print("the call ended:", self._stop.wait(60), flush=True)

    def off(self):
        print("off after", len(_SIGNALS), "signals", flush=True)
