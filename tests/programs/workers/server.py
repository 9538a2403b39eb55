"""A dispatcher between those who have work and those who do it."""

import queue

from Pyro5.api import behavior, expose


@expose
@behavior(instance_mode="single")
class Dispatcher:
    def __init__(self):
        self._work = queue.Queue()
        self._results = queue.Queue()

    def put_work(self, item):
        self._work.put(item)

    def get_work(self, timeout=5):
        try:
            return self._work.get(timeout=timeout)
        except queue.Empty:
            raise ValueError("no items in queue") from None

    def put_result(self, item):
        self._results.put(item)

    def get_result(self, timeout=5):
        try:
            return self._results.get(timeout=timeout)
        except queue.Empty:
            raise ValueError("no result available") from None

    def work_size(self):
        return self._work.qsize()
