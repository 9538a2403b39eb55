"""Health checks: whether an instrument answers, and a new instance in place of one that does not.

The daemon decides when; it gives a check up after some time and lets calls go on. So in a multiplex
daemon, where the main thread carries out all calls, a check has a thread for itself.
"""

import threading

from . import pyro, stdio
from .logging_bridge import log


def begin(host, check, done):
    """Carries out a check, which is a service, a member and whether its instance is replaced.
    `done` is called with the result and None, or with None and the exception."""

    def run():
        try:
            outcome = _is_well(host, *check), None
        except BaseException as error:  # one that calls sys.exit() has failed, too
            outcome = None, error
        done(*outcome)

    def run_alone():
        try:
            run()
        except OSError:
            pass  # the daemon is gone

    if host.is_multiplex():
        try:
            threading.Thread(target=run_alone, name="ferrolab-health", daemon=True).start()
            return
        except RuntimeError:
            pass  # no further thread can be started
    run()


def _is_well(host, name, member, replaces):
    """Whether the instrument of a service is well; raises what its driver raises."""
    stdio.current.service = name
    try:
        service = host.services.get(name)
        if service is None:
            raise pyro.error_class("DaemonError")("unknown object")
        if replaces and service.replace_instance():
            log.warning("its health check failed: the instance was released and is made anew")
        instance = service.instance_for_call(None)
        if member is None:
            return True
        value = getattr(instance, member)
        if callable(value):
            value = value()
        return value is not False
    finally:
        if stdio.current.partial:
            stdio.end_of_call()
