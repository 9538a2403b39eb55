"""A driver whose process loses its worker's answers to the daemon's questions."""

import gc

from _ferrolab_worker.worker.process import Worker


class Mute:
    """It counts its calls and the answers that are lost."""

    calls = 0
    lost = 0

    def mute(self):
        (worker,) = (found for found in gc.get_objects() if type(found) is Worker)
        out = worker._out
        worker._out = self
        self.write = lambda frame: self._write(out, frame)

    def _write(self, out, frame):
        if frame[0] == "pong":
            self.lost += 1
        else:
            out.write(frame)

    def count(self):
        self.calls += 1
        return [self.calls, self.lost]
