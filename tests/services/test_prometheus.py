"""A real Prometheus scrapes `/metrics`, and answers a query."""

import subprocess

import pytest
from databases import Prometheus
from harness import NEVER, free_port, wait_for
from harness.web import Page
from test_guide import run_page

CONFIGURATION = """\
daemons: {bench: {}}
services:
  lab.supply:
    native: simulated.power_supply
    daemon: bench
    members:
      voltage: {unit: V, poll: 200ms, alarm: {above: 5}}
      output: {poll: 200ms}
autolaunch: {daemons: [bench]}
web: {port: 0}
"""
SCRAPE = """\
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: ferrolab
    static_configs:
      - targets: ["localhost:{port}"]
"""


@pytest.fixture
def prometheus(lab, tmp_path):
    lab.config(CONFIGURATION)
    lab.up()
    prometheus = Prometheus(tmp_path / "prometheus", SCRAPE.format(port=Page.of(lab).port))
    yield prometheus.start()
    prometheus.stop()


def test_values_and_alarms_arrive_in_prometheus(lab, prometheus):
    with lab.proxy("lab.supply") as supply:
        supply.voltage = 7.5
        supply.output = True

    def value(expression):
        rows = prometheus.query(expression)
        return rows[0][1] if rows else None

    wait_for(lambda: value('ferrolab_value{service="lab.supply",member="voltage",unit="V"}') == 7.5, NEVER, "the voltage")
    wait_for(lambda: value('ferrolab_value{member="output"}') == 1, NEVER, "a boolean")
    wait_for(lambda: value("ferrolab_alarms_firing") == 1, NEVER, "the alarm")
    assert value('up{job="ferrolab"}') == 1
    assert value('ferrolab_process_up{kind="daemon",name="bench"}') == 1
    assert value('ferrolab_calls_total{service="lab.supply"}') >= 2
    lab.run("stop", "daemon", "bench")
    # A value that nobody reads is a gap, not the last one again.
    wait_for(lambda: value('ferrolab_value{member="voltage"}') is None, NEVER, "the gap")


def test_the_guides_configuration_is_one_of_prometheus(lab):
    run_page(lab, "metrics.md", free_port(), WEB_PORT=str(free_port()))
    checked = subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"], cwd=lab.files, capture_output=True, text=True, timeout=NEVER
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
