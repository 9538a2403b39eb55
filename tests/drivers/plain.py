"""Classes that know nothing of Pyro, as they come from any library."""


class Motor:
    """With constructor arguments, properties, attributes, class and static methods, a generator."""

    limit = 100.0

    def __init__(self, axis, *limits, speed=1.0, tags=()):
        self.axis = axis
        self.limits = limits
        self.speed = speed
        self.tags = list(tags)
        self._position = 0.0

    @property
    def position(self):
        return self._position

    @position.setter
    def position(self, target):
        if abs(target) > self.limit:
            raise ValueError(f"{target} is beyond {self.limit}")
        self._position = target

    def move_by(self, distance):
        self.position += distance
        return self.position

    def settings(self):
        return {"axis": self.axis, "limits": self.limits, "speed": self.speed, "tags": self.tags}

    @staticmethod
    def units():
        return "mm"

    @classmethod
    def kind(cls):
        return cls.__name__

    def path(self, steps):
        for _ in range(steps):
            yield self.move_by(1)

    def handle(self):
        return Handle()

    def _calibrate(self):
        return "private"

    def __len__(self):
        return len(self.limits)

    def __getitem__(self, index):
        return self.limits[index]


class Handle:
    """Nothing that any serializer can send."""

    __slots__ = ()

    def __getstate__(self):
        raise TypeError("a handle stays where it is")
