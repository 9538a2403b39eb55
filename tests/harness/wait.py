"""The one way to wait in a test: for a condition."""

import os
import time

# Seconds between two looks at a condition.
INTERVAL = 0.02
# Seconds after which what has not happened never will, on a machine however busy.
NEVER = 300
# `--extended` has the machine for itself and does as many rounds as are promised.
EXTENDED = bool(os.environ.get("FERROLAB_TEST_EXTENDED"))


def within(promised):
    """The seconds that a test allows for what is promised in `promised` seconds.

    With `--extended`: just these. The ordinary run shares its machine with whatever else happens
    to run there, so that it can only tell what comes late from what never comes.
    """
    return promised if EXTENDED else max(NEVER, promised)


def at_most(promised):
    """The memory that a test allows for what is promised in the same unit.

    With `--extended`: just this. The ordinary run allows twice as much: allocators and pages
    differ from machine to machine.
    """
    return promised if EXTENDED else 2 * promised


def wait_for(condition, timeout, what, ignoring=(), interval=INTERVAL):
    """Calls `condition` until it returns something true, and returns that.

    Exceptions of the classes in `ignoring` count as "not yet". After `timeout` seconds, taken as
    in `within`, the test fails with `what` and the last answer.
    """
    timeout = within(timeout)
    deadline = time.monotonic() + timeout
    while True:
        try:
            answer = condition()
        except ignoring as exception:
            answer = exception
        else:
            if answer:
                return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what} (last answer: {answer!r})")
        time.sleep(interval)
