"""A driver that is not Python."""

class Camera
    pass
