"""The one way to wait in a test: for a condition."""

import time

INTERVAL = 0.02


def wait_for(condition, timeout, what, ignoring=()):
    """Calls `condition` until it returns something true, and returns that.

    Exceptions of the classes in `ignoring` count as "not yet". After `timeout` seconds the test
    fails with `what` and the last answer.
    """
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
        time.sleep(INTERVAL)
