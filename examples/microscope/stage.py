"""A stage that moves slowly, simulated: what any motor with a serial line behaves like."""

import threading
import time

MM_PER_SECOND = 5.0
STEP_SECONDS = 0.02


class Stage:
    """One axis. A move returns when it has arrived, and can be stopped from another call."""

    def __init__(self, travel=50.0):
        self.travel = travel
        self._position = 0.0
        self._stopped = threading.Event()

    @property
    def position(self) -> float:
        """Where it is, in mm."""
        return round(self._position, 3)

    def move_to(self, position: float) -> float:
        """Moves to a position in mm, and returns where it stands then."""
        if not 0 <= position <= self.travel:
            raise ValueError(f"the stage travels from 0 to {self.travel} mm, not to {position}")
        self._stopped.clear()
        step = MM_PER_SECOND * STEP_SECONDS
        while self._position != position and not self._stopped.is_set():
            way = position - self._position
            self._position += max(-step, min(step, way))
            time.sleep(STEP_SECONDS)
        return self.position

    def stop(self):
        """Ends a move where it is."""
        self._stopped.set()
