"""Fixtures of the behaviour suite."""

import signal
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(TESTS), str(TESTS / "drivers"), str(TESTS.parent / "python")]
sys.dont_write_bytecode = True
# A shell starts jobs in the background with Ctrl-C ignored, and programs inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest.register_assert_rewrite("harness.lab", "harness.sides", "harness.processes")

from harness import both_sides, free_port, new_lab, stock_daemon  # noqa: E402


@pytest.fixture
def lab():
    """A lab in a temporary home; nothing is configured and nothing runs yet."""
    with new_lab() as made:
        yield made


@pytest.fixture
def running(lab, request):
    """A lab that runs with the module's `CONFIGURATION`."""
    lab.ns_port = free_port()
    lab.config(request.module.CONFIGURATION, ns_port=lab.ns_port)
    lab.up()
    return lab


@pytest.fixture(scope="module")
def module_lab():
    """As `lab`, for the tests of one module that only look."""
    with new_lab() as made:
        yield made


@pytest.fixture(scope="module")
def pyro_daemon(request):
    """A stock Pyro5 daemon with the module's `SERVICES`."""
    with stock_daemon(request.module.SERVICES) as server:
        yield server


@pytest.fixture(scope="module")
def sides(request):
    """The module's `SERVICES`, served by stock Pyro5 and by a lab."""
    with both_sides(request.module.SERVICES) as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            # Of its class: asking a proxy for an attribute is a remote call.
            if hasattr(type(value), "diagnosis"):
                report.sections.append((f"fixture {name}", value.diagnosis()))
    return report
