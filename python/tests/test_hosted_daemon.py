"""The object that a driver finds as `self._pyroDaemon`."""

import gc
import weakref

from ferrolab.worker.daemon import HostedDaemon
from ferrolab.worker.exposure import Selection
from ferrolab.worker.first_look import FirstLook
from ferrolab.worker.services import Service


def test_the_class_of_an_unregistered_object_is_let_go():
    answers = {"location": ("localhost:1", None, None), "register": (), "unregister": None}
    daemon = HostedDaemon({}, lambda what, *_: answers[what])

    def register():
        one_time = type("OneTime", (), {})
        first, second = one_time(), one_time()
        daemon.register(first, "first")
        daemon.register(second, "second")
        daemon.unregister("first")
        assert daemon.proxy_state(second) is not None
        daemon.unregister(second)
        return weakref.ref(one_time)

    one_time = register()
    gc.collect()
    assert one_time() is None


class Instrument:
    """Has one part, whose class is made for it alone."""

    def __init__(self):
        self.renew()

    def renew(self):
        self.part = type("OneTime", (), {"__module__": "drivers.of_tests", "read": lambda self: 1})()
        return weakref.ref(type(self.part))


def test_the_class_of_a_part_that_is_gone_is_let_go():
    daemon = HostedDaemon({}, lambda what, *_: [[], {}])
    service = Service("lab.x", Instrument, "single", Selection("all"))
    service.look_with(FirstLook(service, ["part"], (), daemon, lambda service: None))
    daemon.add(service)
    instrument = service.instance(None)
    first, second = instrument.renew(), None
    for _ in range(2):
        assert daemon.has_part(service.access.get(instrument, "part"))
        assert daemon.is_of_service_class(instrument.part)
        first, second = second or first, instrument.renew()
    assert daemon.has_part(service.access.get(instrument, "part"))
    gc.collect()
    assert first() is None and second() is not None
