"""Resources that belong to a connection and are freed with it."""

from Pyro5.api import behavior, current_context, expose


class Resource:
    def __init__(self, name, book):
        self.name = name
        self._book = book
        book[name] = "open"

    def close(self):
        self._book[self.name] = "closed"


@expose
@behavior(instance_mode="single")
class Service:
    def __init__(self):
        self._book = {}
        self._kept = []

    def allocate(self, name):
        resource = Resource(name, self._book)
        current_context.track_resource(resource)
        self._kept.append(resource)

    def free(self, name):
        for resource in list(self._kept):
            if resource.name == name:
                self._kept.remove(resource)
                current_context.untrack_resource(resource)
                resource.close()
                return True
        raise KeyError(name)

    def forget(self, name):
        """Frees nothing, and does not track it any more either."""
        for resource in self._kept:
            if resource.name == name:
                current_context.untrack_resource(resource)

    def book(self):
        return dict(sorted(self._book.items()))
