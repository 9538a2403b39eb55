"""Subclasses that inherit, override and hide members."""

from Pyro5.api import behavior, expose


class Base:
    @expose
    def inherited(self):
        return "Base.inherited"

    @expose
    def overridden(self):
        return "Base.overridden"

    def plain(self):
        return "Base.plain"

    @staticmethod
    @expose
    def static(value):
        return ("Base.static", value)

    @classmethod
    @expose
    def of_class(cls, value):
        return (cls.__mro__[-3].__name__, value)


@expose
class Mixin:
    def mixed(self):
        return "Mixin.mixed", self.helper()

    def helper(self):
        return "Mixin.helper"

    def _private(self):
        return "hidden"

    def __mangled(self):
        return "hidden"


@behavior(instance_mode="percall")
class Derived(Mixin, Base):
    def overridden(self):
        return "Derived.overridden, not exposed"

    @expose
    def helper(self):
        return "Derived.helper"

    @expose
    def variadic(self, a, b=2, *args, c, d=4, **kwargs):
        return a, b, args, c, d, sorted(kwargs.items())

    @expose
    def recursive(self, depth):
        return [] if depth == 0 else [self.recursive(depth - 1)]
