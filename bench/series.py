"""The scenario of series: a daemon that reads a thousand members each second."""

import threading
import time

from harness import new_lab
from processes import cpu_seconds, rss_mib

SERIES = "values"
LAB = """\
version: "1.0"
python: {executable: "$python", path: ["$drivers"]}
daemons: {values: {host: localhost}}
services:
$services
autolaunch: {daemons: [values]}
"""


def series(bench, _name, options):
    """The processor time of a daemon that reads a thousand members each second for a reader of its
    feed, in percent of a core; and its memory."""
    members = ", ".join(f"value_{number}: {{poll: 1s}}" for number in range(options["members"]))
    keys = "module: many_values, classname: ManyValues, daemon: values, expose: all, instancemode: single"
    lines = [f"  s{one}: {{{keys}, members: {{{members}}}}}" for one in range(options["services"])]
    with new_lab() as lab:
        lab.config(LAB, services="\n".join(lines))
        lab.up()
        pid = lab.entry("daemons", "values")["pid"]
        follower = lab.start("values", "--follow", "--json")
        drain = threading.Thread(target=lambda: sum(1 for _ in follower.stdout))
        drain.start()
        _wait(options["settle"])
        spent, begun = cpu_seconds(pid), time.monotonic()
        _wait(options["seconds"])
        percent = 100 * (cpu_seconds(pid) - spent) / (time.monotonic() - begun)
        figures = {"cpu_percent": percent, "rss_mib": rss_mib(pid)}
        follower.kill()
        drain.join()
        return figures


def _wait(seconds):
    threading.Event().wait(seconds)
