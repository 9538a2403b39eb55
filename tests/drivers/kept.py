"""Properties for drivers."""


def kept(attribute):
    """A property that keeps its value in the attribute of this name."""

    def read(self):
        return getattr(self, attribute)

    def write(self, value):
        setattr(self, attribute, value)

    return property(read, write)
