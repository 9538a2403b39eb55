"""Decorators for the classes of drivers that do not want to depend on Pyro5.

A driver that Ferrolab hosts may use Pyro5's decorators or these; they set the same marks:

    from ferrolab import behavior, expose

    @expose
    @behavior(instance_mode="single")
    class Thermometer:
        def celsius(self):
            return 21.5

Nothing has to be installed for it: a worker of Ferrolab brings this module along.
"""

from .client.decorators import behavior, callback, expose, oneway

__all__ = ["behavior", "callback", "expose", "oneway"]
