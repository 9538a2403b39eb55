"""Parts of services, as the daemon serves them.

Owns which parts are there, by their services and by the identity of their objects: a name on such
an object might be remote, or sent to the instrument. Knows nothing of how parts are found.
"""

from . import describe

TAKEN = "an object or class is already registered with that id"


class PartTable:
    """The parts of all services of a worker."""

    def __init__(self, services, lock, ask, count_classes):
        # Services and parts by name, which others fill too; `lock` guards both.
        self._services, self._lock = services, lock
        # Asks the daemon's process, which answers on another thread.
        self._ask = ask
        # Called with the classes whose objects are parts now, and with those that are no longer.
        self._count_classes = count_classes
        self._by_owner = {}
        self._classes_by_owner = {}
        # Two services may share an object: a list for each.
        self._by_object = {}
        # The classes of all parts.
        self.classes = ()

    def serve(self, owner, parts):
        """Serves the parts of a service, in place of those that it had before. Returns the reasons
        why some are not served, by their ids.

        Where the daemon does not answer, the parts before stay.
        """
        with self._lock:
            before = self._by_owner.get(owner.name, {})
            is_free = lambda name: self._services.get(name) is before.get(name)
            refused = {part.name: TAKEN for part in parts if not is_free(part.name)}
            offered = {part.name: part for part in parts if part.name not in refused}
            self._services.update(offered)
        try:
            members = describe.fit({name: one.described() for name, one in offered.items()})
            # No answer comes to the thread that reads answers.
            added, others = self._ask("parts", owner.name, members) or ((), {})
        except BaseException:
            with self._lock:
                self._replace(offered, before)
            raise
        with self._lock:
            served = {name: part for name, part in offered.items() if name not in others}
            self._replace({**before, **offered}, served)
            for part in before.values():
                self._unindex(part)
            for part in served.values():
                part.added = tuple(added)
                self._index(part)
            self._by_owner[owner.name] = served
            classes = {part.cls for part in served.values() if part.target is not None}
            gone = self._classes_by_owner.get(owner.name, set())
            self._classes_by_owner[owner.name] = classes
            # Others of these classes could be taken for a part.
            self.classes = tuple(set().union(*self._classes_by_owner.values()))
        self._count_classes(classes - gone, gone - classes)
        return {**refused, **others}

    def _replace(self, names, parts):
        """Has the names of some parts lead to `parts` again, or to nothing. A name that has got
        another owner meanwhile is left alone."""
        for name, part in names.items():
            if self._services.get(name) is part or self._services.get(name) is parts.get(name):
                if name in parts:
                    self._services[name] = parts[name]
                else:
                    self._services.pop(name, None)

    def serve_instead(self, part, obj):
        """Serves another object as the part, or nothing for now (None)."""
        with self._lock:
            self._unindex(part)
            part.serve(obj)
            self._index(part)

    def _index(self, part):
        if part.target is not None:
            self._by_object.setdefault(id(part.target), []).append(part)

    def _unindex(self, part):
        same = self._by_object.get(id(part.target), [])
        if part in same:
            same.remove(part)
            if not same:
                del self._by_object[id(part.target)]

    def of(self, owner):
        """The parts of a service."""
        with self._lock:
            return list(self._by_owner.get(owner.name, {}).values())

    def by_object(self, obj):
        """The part that an object is served as; None for others."""
        same = self._by_object.get(id(obj))
        part = same[0] if same else None
        return part if part is not None and part.target is obj else None
