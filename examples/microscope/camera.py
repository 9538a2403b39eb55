"""A camera, simulated: frames of 16 bits a pixel, as bytes, which every client can read."""

import array
import time


class Camera:
    """Sees a bright spot on a dark ground. It needs nothing but the standard library."""

    def __init__(self, width=64, height=48):
        self.width, self.height = width, height
        self._exposure = 0.01

    @property
    def exposure(self) -> float:
        """Exposure time in seconds."""
        return self._exposure

    @exposure.setter
    def exposure(self, seconds: float):
        if not 0 < seconds <= 10:
            raise ValueError(f"an exposure takes up to 10 s, not {seconds}")
        self._exposure = seconds

    def frame(self) -> bytes:
        """One frame: rows of unsigned 16-bit numbers, little-endian."""
        time.sleep(self._exposure)
        brightest = min(65535, int(self._exposure * 1e6))
        middle_x, middle_y = self.width // 2, self.height // 2
        pixels = array.array("H")
        for y in range(self.height):
            for x in range(self.width):
                distance = (x - middle_x) ** 2 + (y - middle_y) ** 2
                pixels.append(brightest // (1 + distance))
        return pixels.tobytes()

    def frames(self, count: int):
        """A number of frames, one after the other: clients get an item stream."""
        for _ in range(count):
            yield self.frame()
