"""A subject that notifies observers: oneway where the observer says so."""

from Pyro5.api import behavior, expose


@expose
@behavior(instance_mode="single")
class Subject:
    def __init__(self):
        self._observers = {}
        self._value = 0

    def subscribe(self, observer, *topics):
        self._observers[observer._pyroUri.object] = (observer, topics)
        return len(self._observers)

    def unsubscribe(self, observer):
        return self._observers.pop(observer._pyroUri.object, None) is not None

    @property
    def value(self):
        return self._value

    @value.setter
    def value(self, new):
        old, self._value = self._value, new
        self._notify("value", old, new)

    def alarm(self, text):
        return self._notify("alarm", text)

    def _notify(self, topic, *details):
        told = 0
        for observer, topics in list(self._observers.values()):
            if topic in topics:
                observer._pyroClaimOwnership()
                observer.notify(topic, *details)
                told += 1
        return told
