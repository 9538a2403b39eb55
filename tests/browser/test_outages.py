"""Outages between a browser and the lab: they are said, and no recorded sample is missing after."""

import contextlib
import itertools
import os
import re
import signal
import time

import pytest
from conftest import serious_findings
from harness import NEVER, new_lab, wait_for, within
from harness.lab import DRIVERS
from harness.processes import kill
from harness.relay import Relay

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
daemons:
  bench: {host: localhost}
services:
  lab.typed: {module: typed, classname: Typed, daemon: bench, instancemode: single, members: {reads: {poll: 0.5, keep: 1h}}}
autolaunch: {daemons: [bench]}
web: {port: 0, supervision: {hang_timeout: 0}}
history: true
"""
# Seconds within which an outage is said.
SAID = 2
KEEP_PLOTS = """() => {
  window.mark = "not loaded anew";
  window.plots = [];
  window.uPlot = new Proxy(uPlot, {construct(target, given) {
    const plot = new target(...given);
    window.plots.push(plot);
    return plot;
  }});
}"""
# All states that the instrument's view has shown.
KEEP_STATES = """() => {
  const look = () => window.states.add(document.querySelector("h1 .chip").textContent);
  window.states = new Set();
  look();
  new MutationObserver(look).observe(document.querySelector("main"), {subtree: true, childList: true, characterData: true});
}"""
# The columns of the last plot: times and values, with null for a gap.
PLOTTED = "() => { const data = window.plots.at(-1)?.data ?? [[], []]; return [[...data[0]], [...data[1]]]; }"
# All that came by the stream, since the page was opened.
RECENT = "import('/page/live.js').then(({live}) => live.series.get('lab.typed\\nreads')?.recent ?? [])"


@pytest.fixture
def typed_lab():
    with new_lab() as lab:
        lab.config(CONFIGURATION, drivers=str(DRIVERS))
        lab.up()
        lab.link = lab.wait_for_status("processes", "web", "running")["uri"]
        yield lab


def opened(tab, link):
    """The view of the instrument, with its plot."""
    tab.goto(link)
    tab.wait_for_selector(".connection.good")
    tab.evaluate(KEEP_PLOTS)
    tab.get_by_role("link", name="lab.typed", exact=True).click()
    wait_for(lambda: len(plotted(tab)) > 2, NEVER, "values in the plot")
    return tab


def plotted(page):
    """The values of the plot, by their times in microseconds."""
    return {round(t * 1e6): value for t, value in zip(*page.evaluate(PLOTTED), strict=True)}


def recorded(page):
    """The values of the history, by their times in microseconds."""
    query = "service=lab.typed&member=reads&points=1000&start=0"
    rows = page.evaluate(f"fetch('/api/history?{query}').then(answer => answer.json())")
    return {round(t * 1e6): value for t, value in zip(rows["t"], rows["last"], strict=True)}


def misses_nothing(page):
    """Waits until the plot has all that the history has, and more than before."""
    before = max(plotted(page))

    def whole():
        stored, shown = recorded(page), plotted(page)
        known = {t: value for t, value in stored.items() if value is not None}
        return max(shown) > before and known and all(shown.get(t) == value for t, value in known.items())

    wait_for(whole, NEVER, "the plot has all that the history has", (KeyError, TypeError))


@contextlib.contextmanager
def said_in_time():
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert took < within(SAID), took


def stop_supervisor(page, lab, relay):
    """It hangs, so that no connection ends."""
    pid = lab.supervisor()
    with said_in_time():
        os.kill(pid, signal.SIGSTOP)
        page.get_by_text("The lab's supervisor does not answer").wait_for()
    os.kill(pid, signal.SIGCONT)


def kill_web(page, lab, relay):
    pid = lab.entry("processes", "web")["pid"]
    with said_in_time():
        # It would be back before the page has said anything.
        os.kill(pid, signal.SIGSTOP)
        page.get_by_text("The lab's web process cannot be reached").wait_for()
    assert page.get_attribute("html", "data-connection") == "lost", "old values are grey"
    assert serious_findings(page) == []
    kill(pid)


def kill_supervisor(page, lab, relay):
    with said_in_time():
        kill(lab.supervisor())
        page.get_by_text(re.compile("cannot be reached|supervisor does not answer")).wait_for()
    lab.up()


def kill_daemon(page, lab, relay):
    page.evaluate(KEEP_STATES)
    pid = lab.entry("daemons", "bench")["pid"]
    with said_in_time():
        kill(pid)
        # It may be back soon.
        wait_for(lambda: page.evaluate("window.states.size") > 1, NEVER, "another state")
    lab.run("stop", "daemon", "bench", "--force")
    page.locator("h1 .chip:not(.good)").wait_for()
    page.locator(".quality", has_text="no data").first.wait_for()
    lab.run("start", "daemon", "bench")


def cut_network(page, lab, relay):
    """For longer than some samples take."""
    before = max(recorded(page).values())
    with relay.away():
        with said_in_time():
            page.get_by_text("The lab's web process cannot be reached").wait_for()
        # The value counts how often it was read.
        read = lambda: int(lab.run("values", "lab.typed.reads", "--json").stdout.partition('"value":')[2].split(",")[0].strip(" }]\n"))
        wait_for(lambda: read() > before + 4, NEVER, "samples are made meanwhile", ValueError)


@pytest.mark.parametrize("outage", [kill_web, kill_supervisor, stop_supervisor, kill_daemon, cut_network], ids=lambda one: one.__name__)
def test_a_plot_misses_no_sample_that_the_history_has(tab, typed_lab, outage):
    with Relay(typed_lab.link.replace("http://", "page@").strip("/")) as relay:
        page = opened(tab, relay.uri.replace("page@", "http://") + "/")
        outage(page, typed_lab, relay)
        page.wait_for_selector(".connection.good")
        page.wait_for_selector(".banner.bad", state="detached")
        page.locator("h1 .chip.good", has_text="running").wait_for()
        misses_nothing(page)
        if outage in (kill_supervisor, kill_daemon):
            # The driver counts from one again, and before it there is a gap.
            values = [value for _, value in sorted(plotted(page).items())]
            falls = [(one, other) for one, other in itertools.pairwise(values) if None not in (one, other) and other < one]
            assert falls == [] and None in values, values
        assert page.evaluate("window.mark") == "not loaded anew"


def test_a_proxy_that_cuts_idle_streams_costs_no_sample(tab, typed_lab):
    """It cuts between any two samples, so that samples come while no stream is open."""
    with Relay(typed_lab.link.replace("http://", "page@").strip("/"), idle=0.3) as proxy:
        page = opened(tab, proxy.uri.replace("page@", "http://") + "/")
        # A page that is silent for longer than two seconds says so; it need not, within less.
        first = len(proxy.answers)
        wait_for(lambda: len(proxy.answers) > first + 5, NEVER, "streams are cut")
        wait_for(lambda: len(page.evaluate(RECENT)) > 8, NEVER, "samples come all the same")
        # A sample without a value says that a busy machine has missed a reading's time.
        counts = [sample["value"] for sample in page.evaluate(RECENT) if sample["value"] is not None]
        assert counts == list(range(counts[0], counts[0] + len(counts))), "each reading of the driver, once"
        misses_nothing(page)
        assert page.evaluate("window.mark") == "not loaded anew"
