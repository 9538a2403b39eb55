"""`/metrics`: what a scrape of the page's process shows."""

import pytest
from harness import NEVER, wait_for
from harness.web import Page

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
daemons: {bench: {classname: LockableDaemon}}
services:
  lab.counter: {module: counter, classname: Counter, daemon: bench, instancemode: single}
  lab.supply: {native: simulated.power_supply, daemon: bench}
autolaunch: {daemons: [bench]}
web: {port: 0}
"""


@pytest.fixture
def page(lab):
    lab.config(CONFIGURATION)
    lab.up()
    return Page.of(lab)


def scrape(page):
    """The rows of a scrape, by their names and labels."""
    answer = page.request("GET", "/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_a_scrape_shows_processes_services_calls_and_locks(lab, page):
    def up():
        return scrape(page).get('ferrolab_service_up{service="lab.counter",daemon="bench"}') == 1

    wait_for(up, NEVER, "the service is up")
    with lab.proxy("lab.counter") as counter, lab.proxy("lab.supply") as supply:
        before = scrape(page)
        for _ in range(3):
            counter.bump()
        with pytest.raises(ValueError):
            supply.voltage = -1
        assert supply.lock("ada")
        wait_for(lambda: scrape(page)['ferrolab_service_locked{service="lab.supply"}'] == 1, NEVER, "the lock")
        rows = scrape(page)
        supply.unlock()
    calls = 'ferrolab_calls_total{service="lab.counter"}'
    assert rows[calls] - before.get(calls, 0) == 3, rows
    assert rows['ferrolab_call_errors_total{service="lab.supply"}'] == 1
    assert rows['ferrolab_call_errors_total{service="lab.counter"}'] == 0
    assert rows['ferrolab_process_up{kind="daemon",name="bench"}'] == 1
    assert rows['ferrolab_workers{daemon="bench"}'] == 1
    assert rows["ferrolab_alarms_firing"] == 0
    lab.run("stop", "daemon", "bench", "--force")
    wait_for(lambda: scrape(page)['ferrolab_process_up{kind="daemon",name="bench"}'] == 0, NEVER, "it has stopped")
    assert calls not in scrape(page)
