"""A lab with services that can be locked, for the tests of our Python client."""

import contextlib

from .lab import new_lab

CONFIGURATION = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {classname: LockableDaemon, threadpool_size: 200}
  other: {classname: LockableDaemon, threadpool_size: 200}
services:
  lab.laser: {module: stage, classname: Laser, daemon: bench, instancemode: single, arguments: {record: "$record"}, on_disconnect: [off]}
  lab.shutter: {module: stage, classname: Laser, daemon: other, instancemode: single, arguments: {record: "$record.2"}, on_disconnect: [off]}
  lab.a: {module: stage, classname: Stage, daemon: bench, instancemode: single}
  lab.b: {module: stage, classname: Stage, daemon: bench, instancemode: single}
  lab.c: {module: stage, classname: Stage, daemon: other, instancemode: single}
  lab.d: {module: stage, classname: Stage, daemon: other, instancemode: single}
  lab.e: {module: stage, classname: Stage, daemon: bench, instancemode: single}
  lab.f: {module: stage, classname: Stage, daemon: other, instancemode: single}
autolaunch: {daemons: [bench, other]}
"""


@contextlib.contextmanager
def lockable_lab():
    """A running lab; its laser writes to the file `record`, its shutter to `record.2`."""
    with new_lab() as lab:
        lab.record = lab.files / "record"
        lab.record.touch()
        lab.record.with_name("record.2").touch()
        lab.config(CONFIGURATION, record=str(lab.record))
        lab.up()
        yield lab


def state(proxy):
    """Whether a service is locked."""
    return proxy.lock_info()["state"]


def lines(record, first):
    """The lines of a record from number `first` on."""
    return record.read_text().splitlines()[first:]
