"""Pyro5's own tests, unmodified, against servers that are not Pyro5's.

Owns the stand-ins: where a test makes a daemon or a nameserver to serve its objects, it gets the
daemon that hosts this process, or a proxy of a nameserver elsewhere. The tests' files are those of
Pyro5's source package.

Run as a script it is a run of one file: it prints the outcomes as one line of JSON.
"""

import json
import os
import sys
import tempfile
import threading


def run_tests(file, serializer, left_out=(), only=()):
    """Runs a test file with one serializer; the outcome of each test by its name, a failure's as
    text. `left_out` and `only` hold names of classes and tests.
    """
    import pytest
    from Pyro5.configure import Configuration

    # The tests choose serpent themselves.
    chosen = property(lambda config: serializer, lambda config, value: None)
    Configuration.SERIALIZER = chosen
    outcomes = _Outcomes(set(left_out), set(only))
    folder = os.path.dirname(file)
    arguments = [file, "--rootdir", folder, "-c", os.devnull, "--capture=no"]
    # Without the plugins of the suite around it.
    for plugin in ("cacheprovider", "terminal", "xdist", "timeout", "faulthandler"):
        arguments += ["-p", f"no:{plugin}"]
    ended = pytest.main([*arguments, "-W", "ignore"], plugins=[outcomes])
    if ended not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        outcomes.by_test["(the run)"] = f"failed: pytest ended with {ended!r}"
    return outcomes.by_test


class _Outcomes:
    """A plugin of pytest."""

    def __init__(self, left_out, only):
        self.by_test = {}
        self._left_out = left_out
        self._only = only

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if self._is_wanted({item.cls.__name__, item.name})]

    def _is_wanted(self, names):
        return not names & self._left_out and (not self._only or bool(names & self._only))

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.partition("::")[2].replace("::", ".")
        if report.failed:
            self.by_test[name] = f"failed in {report.when}: {report.longreprtext}"
        elif report.when == "call" or report.skipped:
            self.by_test.setdefault(name, report.outcome)


def use_hosted_daemon(hosted):
    """Has the tests register their objects with the daemon that hosts this process.

    A subclass of Pyro5's daemon and one that gets an address stay what they are: the tests look
    inside them.
    """
    import Pyro5.server

    real = Pyro5.server.Daemon

    class Daemon(real):
        def __new__(cls, *args, **settings):
            if cls is Daemon and not settings.keys() - {"port"}:
                return _Hosted(hosted, real)
            return super().__new__(cls)

    Pyro5.server.Daemon = Daemon


class _Hosted:
    """The stand-in for a daemon that a test makes."""

    def __init__(self, hosted, real):
        self._hosted = hosted
        self._real = real
        self._ids = []
        self._over = threading.Event()

    def register(self, *args, **settings):
        uri = self._hosted.register(*args, **settings)
        self._ids.append(uri.object)
        return uri

    def requestLoop(self):
        self._over.wait()

    def shutdown(self):
        self._wait_for_running_call()
        for object_id in self._ids:
            self._hosted.unregister(self._hosted.objectsById.get(object_id, object_id))
        self._over.set()

    def _wait_for_running_call(self):
        """Pyro5's multiplex daemon ends its call before it stops."""
        import Pyro5.api

        with Pyro5.api.Proxy(self.register(Pyro5.api.expose(Last)())) as last:
            last.call()

    def __enter__(self):
        # A daemon in a `with` block is never run: nothing may answer there.
        return self._real(port=0)

    def __getattr__(self, name):
        return getattr(self._hosted, name)


class Last:
    """An object whose call waits for its turn."""

    def call(self):
        pass


def use_nameserver(location, broadcast_port):
    """Has the tests talk to the nameserver at `location`, over the wire.

    A nameserver that a test makes with more settings, or as a `NameServerDaemon`, stays what it
    is: the test looks inside.
    """
    import Pyro5.nameserver

    start_ns = Pyro5.nameserver.start_ns

    def start(host=None, port=None, bcport=None, **settings):
        if settings:
            return start_ns(host=host, port=port, bcport=bcport or 0, **settings)
        shown = host or "0.0.0.0"
        uri = Pyro5.core.URI(f"PYRO:{Pyro5.core.NAMESERVER_NAME}@{shown}:{location.rpartition(':')[2]}")
        return uri, _Running(), _Broadcasting(broadcast_port)

    Pyro5.nameserver.start_ns = start
    Pyro5.nameserver.NameServer = lambda storageProvider: _Directory(location, storageProvider)


class _Running:
    """The stand-in for the daemon of a nameserver that a test makes."""

    def __init__(self):
        self._over = threading.Event()

    def requestLoop(self):
        self._over.wait()

    def shutdown(self):
        self._over.set()


class _Broadcasting(_Running):
    """The stand-in for the discovery of that nameserver."""

    def __init__(self, port):
        super().__init__()
        self._port = port

    def getPort(self):
        return self._port

    def runInThread(self):
        thread = threading.Thread(target=self.requestLoop, daemon=True)
        thread.start()
        return thread

    def close(self):
        self.shutdown()


class _Directory:
    """The stand-in for a `NameServer` with an empty store.

    A nameserver elsewhere has its own name in the store. A test sees it only if the test has
    registered that name.
    """

    def __init__(self, location, storage):
        import Pyro5.api

        self._own = Pyro5.core.NAMESERVER_NAME
        self._proxy = Pyro5.api.Proxy(f"PYRO:{self._own}@{location}")
        self._own_is_shown = False
        self.storage = storage
        self._proxy.remove(regex=".*")

    def register(self, name, *args, **settings):
        self._own_is_shown |= name == self._own
        return self._proxy.register(name, *args, **settings)

    def list(self, *args, **settings):
        return self._without_its_own(self._proxy.list(*args, **settings))

    def yplookup(self, *args, **settings):
        return self._without_its_own(self._proxy.yplookup(*args, **settings))

    def count(self):
        return self._proxy.count() - (not self._own_is_shown)

    def _without_its_own(self, names):
        return {name: entry for name, entry in names.items() if self._own_is_shown or name != self._own}

    def __getattr__(self, name):
        return getattr(self._proxy, name)


def _main(file, serializer, settings, location=None, broadcast_port=0):
    if location:
        use_nameserver(location, broadcast_port)
    said, sys.stdout = sys.stdout, sys.stderr
    # The tests write a database where they stand.
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        outcomes = run_tests(file, serializer, **settings)
    print(json.dumps(outcomes), file=said, flush=True)
    os._exit(0)


if __name__ == "__main__":
    _main(*json.loads(sys.argv[1]))
