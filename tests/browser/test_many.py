"""A large lab on the page: 200 services with five values each, read once a second.

Measured, and printed with `-s`, in the extended run only: nothing here is judged by speed, only
the memory of the web process.
"""

import contextlib
import json
import os
import time
from pathlib import Path

import pytest
from conftest import PICTURES
from harness import EXTENDED, NEVER, at_most, new_lab, wait_for

SERVICES = 200
SERIES = 5
# Seconds of a measurement.
MEASURED = 20
CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {host: localhost}
services:
$services
autolaunch: {daemons: [bench]}
web: {port: 0}
"""
SERVICE = "  lab.five{:03}: {{module: fivefold, classname: Fivefold, daemon: bench, instancemode: single, tags: [group-{}], members: {{read: {{poll: 1s}}}}}}"

# Milliseconds between frames, and of tasks of the main thread that took more than 50 ms.
FRAMES = """async seconds => {
  const long = [];
  const observer = new PerformanceObserver(list => list.getEntries().forEach(entry => long.push(entry.duration)));
  observer.observe({entryTypes: ["longtask"]});
  const frames = [];
  const end = performance.now() + seconds * 1000;
  let last = performance.now();
  while (last < end) {
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
  }
  observer.disconnect();
  return {frames, long};
}"""


def seconds_in(file):
    """The processor's time in a `stat` file of /proc."""
    fields = Path(file).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor_seconds(pid):
    return seconds_in(f"/proc/{pid}/stat")


def parents(pid):
    while pid > 1:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def main_threads():
    """The processor's time of the main thread of each renderer of this test's browser."""
    found = {}
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            is_renderer = folder.name.isdigit() and b"--type=renderer" in (folder / "cmdline").read_bytes()
            if is_renderer and os.getpid() in parents(int(folder.name)):
                found[folder.name] = seconds_in(folder / "task" / folder.name / "stat")
    return found


def memory(pid, what="VmRSS"):
    """Resident memory in MiB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def part(numbers, share):
    """The number below which this share of all numbers is."""
    return round(sorted(numbers)[int(share * (len(numbers) - 1))], 1) if numbers else 0


def measure(tab, pid):
    # The processor's time of the threads: other programs of the machine do not count.
    began, used, before = time.monotonic(), processor_seconds(pid), main_threads()
    found = tab.evaluate(FRAMES, MEASURED)
    passed, after = time.monotonic() - began, main_threads()
    frames = found["frames"]
    main = max((after[renderer] - before.get(renderer, 0) for renderer in after), default=0)
    return {
        "frames": len(frames),
        "milliseconds between frames": {"median": part(frames, 0.5), "95 %": part(frames, 0.95), "most": part(frames, 1)},
        "main thread, milliseconds of a processor a frame": round(1000 * main / len(frames), 2),
        "main thread, share of a core": round(main / passed, 3),
        "long tasks": {"count": len(found["long"]), "most, milliseconds": part(found["long"], 1)},
        "web process, share of a core": round((processor_seconds(pid) - used) / passed, 4),
        "web process, MiB": round(memory(pid), 1),
    }


@pytest.mark.skipif(not EXTENDED, reason="a measurement: FERROLAB_TEST_EXTENDED=1 runs it")
def test_two_hundred_services_with_five_values_each(tab):
    with new_lab() as lab:
        services = "\n".join(SERVICE.format(number, number % 8) for number in range(SERVICES))
        lab.config(CONFIGURATION, services=services)
        lab.up()
        row = lab.wait_for_status("processes", "web", "running")
        tab.goto(row["uri"])
        tab.wait_for_selector("article")
        count = "import('/page/live.js').then(({live}) => live.series.size)"
        wait_for(lambda: tab.evaluate(count) == SERVICES * SERIES, NEVER, "all series")
        fresh = "import('/page/live.js').then(({live}) => [...live.series.values()].filter(one => live.now() - one.t < 5).length)"
        wait_for(lambda: tab.evaluate(fresh) == SERVICES * SERIES, NEVER, "all series are live")
        figures = {"at the top": measure(tab, row["pid"])}
        tab.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
        figures["in the middle"] = measure(tab, row["pid"])
        tab.get_by_role("searchbox").fill("five00")
        figures["ten of them"] = measure(tab, row["pid"])
        tab.get_by_role("link", name="lab.five007", exact=True).click()
        tab.get_by_role("figure").locator("canvas").wait_for()
        figures["one instrument with its plot"] = measure(tab, row["pid"])
        # The events that are kept for tabs which come back are as many as they may be by now. The
        # program's own pages do not count: those of a debug build are 40 MiB.
        assert memory(row["pid"], "RssAnon") <= at_most(40), figures
        assert tab.evaluate(fresh) > 0.9 * SERVICES * SERIES, "the values go on"
        text = json.dumps(figures, indent=2)
        print(text)
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / "two_hundred_services.json").write_text(text)
