"""A driver that runs Pyro5's own tests against the daemon that hosts it."""

import threading

import Pyro5.api
from harness.pyro5_suite import run_tests, use_hosted_daemon


@Pyro5.api.expose
@Pyro5.api.behavior(instance_mode="single")
class Pyro5Suite:
    """One run, in a thread: a multiplex daemon serves the calls of the tests meanwhile."""

    def __init__(self):
        self._outcomes = None

    def start(self, file, serializer, settings):
        use_hosted_daemon(self._pyroDaemon)
        threading.Thread(target=self._run, args=(file, serializer, settings), daemon=True).start()

    def _run(self, file, serializer, settings):
        try:
            self._outcomes = run_tests(file, serializer, **settings)
        except BaseException as error:
            self._outcomes = {"(the run)": f"failed: {error!r}"}

    def outcomes(self):
        """None until the run is over."""
        return self._outcomes
