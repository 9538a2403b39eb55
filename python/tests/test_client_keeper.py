"""The threads that look after held locks."""

import threading

from ferrolab.client import keeper


class Held:
    ttl = 0.4

    def __init__(self, location, look):
        self.location = location
        self.look_after = look


def test_a_host_that_does_not_answer_delays_no_other_ones_locks():
    looked, begun, answers = threading.Event(), threading.Event(), threading.Event()

    def stall():
        begun.set()
        answers.wait()

    stalled, living = Held("a:1", stall), Held("b:1", looked.set)
    keeper.keep(stalled)
    assert begun.wait(60)
    keeper.keep(living)
    assert looked.wait(60)
    again = Held("a:1", looked.set)
    looked.clear()
    keeper.let_go(living)
    keeper.keep(again)
    answers.set()
    assert looked.wait(60), "locks of one daemon share a thread"
    for held in (stalled, again):
        keeper.let_go(held)
    assert not keeper._keepers
