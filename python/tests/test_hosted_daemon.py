"""The object that a driver finds as `self._pyroDaemon`."""

import gc
import weakref

from ferrolab.worker.daemon import HostedDaemon


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
