"""Where the worker's sources are, and the workers that tests share."""

import pathlib
import sys

# The package is tested from its sources; workers get them through their control socket.
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

# After the paths, since it needs them.
import pytest  # noqa: E402
from workers import probe, service, start  # noqa: E402


@pytest.fixture(scope="module")
def shared():
    with start(
        probe(), service("lab.single", "standard", "Probe", instancemode="single"),
        service("lab.percall", "standard", "Probe", instancemode="percall"),
        service("lab.pyro", "pyro", "Service"),
    ) as worker:
        yield worker


@pytest.fixture
def channel(shared):
    channel = shared.channel()
    yield channel
    channel.close()
