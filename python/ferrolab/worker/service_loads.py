"""Loads of services: from an entry of the configuration to a service that can be called.

Owns on which thread each step runs, and the reports of what has come of it. The main thread imports
drivers, since some want that. Code of drivers that may wait for an instrument runs elsewhere in a
threaded daemon, and after all imports in a multiplex one.
"""

import contextlib
import functools
import threading
import traceback

from . import driver_sources, exceptions, exposure, first_look, loading, stdio
from .logging_bridge import log
from .starting import Starter

# How much of a traceback is reported.
_MOST_LINES = 100


class ServiceLoads:
    """The loads of one worker."""

    def __init__(self, worker, out):
        # `worker` serves what has been loaded; `out` takes the reports for the daemon.
        self._worker, self._out = worker, out
        self._starter = Starter()
        self._lock = threading.Lock()
        # The number of imports that are still to come, and the steps that a multiplex daemon takes
        # after them.
        self._imports, self._after_imports = 0, []

    def submit(self, specs):
        """Has services loaded on the main thread."""
        with self._lock:
            self._imports += len(specs)
        for spec in specs:
            self._worker.main.submit(self._load, spec)

    def _load(self, spec):
        try:
            self._import(spec)
        finally:
            with self._lock:
                self._imports -= 1
                steps = [] if self._imports else self._after_imports
                self._after_imports = self._after_imports if self._imports else []
            for step in steps:
                self._worker.main.submit(step)

    def _import(self, spec):
        """Imports the driver of a service and serves it, now or in its turn."""
        with self._reporting(spec["name"]):
            target = loading.find(spec)
            if self._worker.imports_only:
                self._describe(spec, target)
                return
            if loading.is_factory(target):
                self._take_turn(self._serve_made, spec, target)
                return
            service = self._serve(spec, target)
            if service.starts_with_instance():
                self._take_turn(self._start_in_turn, service)
            else:
                self._start(service)

    def _describe(self, spec, target):
        """Tells the daemon of a service that no instance is made for."""
        if loading.is_factory(target):
            self._out.write(("loaded", spec["name"], exposure.NO_MEMBERS, []))
            return
        service = loading.serve(spec, target, self._worker.daemon, self._tell_members)
        remarks = list(service.remarks)
        if service.look is not None:
            # An instance would have told.
            remarks += first_look.likely_mistakes(service, spec.get("read_while_locked") or ())
        self._out.write(("loaded", service.name, service.described(), remarks))

    def _take_turn(self, step, *args):
        """Has a step taken that runs code of a driver's which may hang."""
        if self._worker.is_multiplex():
            # One that hangs here holds up every call.
            with self._lock:
                self._after_imports.append(functools.partial(step, *args))
        else:
            self._starter.add(step, *args)

    def _serve(self, spec, target):
        service = loading.serve(spec, target, self._worker.daemon, self._tell_members)
        service.reports = self
        self._worker.daemon.add(service)
        return service

    def _serve_made(self, spec, factory):
        with self._reporting(spec["name"]):
            self._start(self._serve(spec, factory))

    def _start_in_turn(self, service):
        with self._reporting(service.name):
            self._start(service)

    def _start(self, service):
        """Makes the instance that shows what a service exposes, and tells the daemon of it."""
        try:
            service.make_at_start()
        except BaseException as error:
            # Before the service is loaded: from then on a call may make an instance, and what it
            # reports comes after this.
            self.report_broken(service, error)
        service.is_loaded = True
        self._out.write(("loaded", service.name, service.described(), service.remarks))
        self._tell_sources(service)

    def _tell_sources(self, service):
        """Tells the daemon which files the driver was imported from."""
        try:
            self._out.write(("sources", service.name, driver_sources.sources_of(service.shape)))
        except Exception:  # a class with odd attributes serves all the same
            log.debug("the files of '%s' are not known", service.name, exc_info=True)

    @contextlib.contextmanager
    def _reporting(self, name):
        """Reports what a step to a service raises; what it prints is the service's."""
        stdio.current.service = name
        try:
            yield
        except BaseException as error:
            self._report_error("failed", name, error)
        finally:
            stdio.end_of_call()
            stdio.current.service = None

    def _tell_members(self, service):
        """An instance has shown more members of a service than its class."""
        if service.is_loaded:
            self._out.write(("members", service.name, service.described(), service.remarks))

    def report_broken(self, service, error):
        """An instance could not be made."""
        service.broken = True
        log.error("an instance of '%s' could not be made", service.name, exc_info=error)
        self._report_error("broken", service.name, error)

    def report_mended(self, service):
        """An instance has been made, where one could not be before."""
        service.broken = False
        self._out.write(("mended", service.name))

    def _report_error(self, kind, name, error):
        lines = exceptions.traceback_lines(error)
        cls = type(error)
        try:
            text = "".join(traceback.format_exception_only(cls, error)).strip()
        except BaseException:
            text = cls.__name__
        place = kind == "failed" and exceptions.place(error)
        if place:
            text = "{} ({})".format(text, place)
        class_name = stdio.beginning("{}.{}".format(cls.__module__, cls.__name__))
        lines = [stdio.beginning(line) for line in lines[-_MOST_LINES:]]
        self._out.write((kind, name, class_name, stdio.beginning(text), lines))
