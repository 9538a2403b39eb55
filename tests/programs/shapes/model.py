"""Classes that client and server share, with the functions that carry them."""

import Pyro5.api


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __repr__(self):
        return f"Point({self.x!r}, {self.y!r})"


class Path:
    def __init__(self, points, closed=False):
        self.points, self.closed = points, closed

    def __repr__(self):
        return f"Path({self.points!r}, closed={self.closed})"


def point_to_dict(point):
    return {"__class__": "shapes.Point", "at": [point.x, point.y]}


def dict_to_point(_name, state):
    return Point(*state["at"])


def path_to_dict(path):
    return {"__class__": "shapes.Path", "points": path.points, "closed": path.closed}


def dict_to_path(_name, state):
    points = [
        dict_to_point(None, point) if isinstance(point, dict) else point
        for point in state["points"]
    ]
    return Path(points, state["closed"])


def register():
    Pyro5.api.register_class_to_dict(Point, point_to_dict)
    Pyro5.api.register_dict_to_class("shapes.Point", dict_to_point)
    Pyro5.api.register_class_to_dict(Path, path_to_dict)
    Pyro5.api.register_dict_to_class("shapes.Path", dict_to_path)
