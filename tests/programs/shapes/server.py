"""Objects of classes that both sides have registered."""

from Pyro5.api import expose

from . import model

model.register()


class Unregistered:
    def __init__(self):
        self.colour = "red"


@expose
class Drawing:
    def mirror(self, point):
        return model.Point(-point.x, -point.y)

    def kinds(self, *things, **named):
        return [type(thing).__name__ for thing in things] + [
            f"{key}: {type(thing).__name__}" for key, thing in sorted(named.items())
        ]

    def path(self, count):
        return model.Path([model.Point(n, n * n) for n in range(count)], closed=True)

    def length(self, path):
        return len(path.points), path.closed

    def mixed(self):
        return {"where": model.Point(1, 2), "all": [model.Point(0, 0), (model.Point(3, 4),)]}

    def unregistered(self):
        return Unregistered()
