"""Other labs on the page in a real browser: shown, said to be away, and left to their own pages."""

import re

import pytest
from conftest import serious_findings
from harness import NEVER, free_port, new_lab, wait_for
from harness.fake_lab import FakeLab, process, service
from harness.processes import stopped
from hostile import ATTACKS

OTHER = """\
nameservers: {local: {host: localhost, ns_port: $ns_port}}
daemons: {bench: {classname: LockableDaemon, nameservers: [local]}}
services:
  lab.meter:
    {native: simulated.multimeter, daemon: bench, tags: [room-2], members: {measure_voltage: {poll: 100ms, unit: V}}}
  lab.supply: {native: simulated.power_supply, description: Supply of $name, daemon: bench}
autolaunch: {nameservers: [local], daemons: [bench]}
web: {port: 0}
"""


def started(lab, name, more=""):
    lab.ns_port = free_port()
    lab.config(OTHER.replace("$name", name) + more, ns_port=lab.ns_port)
    lab.up()
    return lab


@pytest.fixture(scope="module")
def optics():
    with new_lab() as lab:
        yield started(lab, "optics")


@pytest.fixture(scope="module")
def here(optics):
    with new_lab() as lab:
        yield started(lab, "here", f"labs: {{optics: {{host: localhost, port: {optics.ns_port}}}}}\n")


@pytest.fixture
def page(tab, here):
    tab.goto(here.wait_for_status("processes", "web", "running")["uri"])
    tab.wait_for_selector(".connection.good")
    tab.get_by_role("link", name="optics/lab.meter", exact=True).wait_for()
    return tab


def shows(page, *names):
    shown = lambda: sorted(page.locator("article h3 a").all_inner_texts()) == sorted(names)
    wait_for(shown, NEVER, f"the page shows {names}")


def test_other_labs_are_searched_filtered_and_grouped(page):
    everything = ["lab.meter", "lab.supply", "optics/lab.meter", "optics/lab.supply"]
    shows(page, *everything)
    page.get_by_role("searchbox").fill("optics/")
    shows(page, *everything[2:])
    page.get_by_role("searchbox").fill("")
    page.get_by_role("combobox", name="Lab").select_option("this lab")
    shows(page, *everything[:2])
    page.get_by_role("combobox", name="Lab").select_option("optics")
    shows(page, *everything[2:])
    page.get_by_role("combobox", name="Lab").select_option("")
    page.get_by_label("Group").select_option("lab")
    page.locator("section[aria-label='this lab']").wait_for()
    assert page.locator("section[aria-label='optics'] h3 a").all_inner_texts() == everything[2:]
    card = page.locator("article", has_text="optics/lab.supply")
    card.locator(".chip", has_text="running").wait_for()
    assert "Supply of optics" in card.inner_text()


def test_an_instrument_of_another_lab_is_shown_and_driven_from_its_own_page(page, optics):
    card = page.locator("article", has_text="optics/lab.meter").locator(".values > div", has_text="measure_voltage")
    card.locator(".unit", has_text="V").wait_for()
    card.locator(".age", has_text=re.compile(r"^(now|\d+ s ago)$")).wait_for()
    page.get_by_role("link", name="optics/lab.meter", exact=True).click()
    page.locator("h1", has_text="optics/lab.meter").wait_for()
    page.get_by_role("figure").locator("canvas").wait_for()
    note = page.get_by_role("note", name=None).filter(has_text="driven from the page of its own lab")
    link = note.get_by_role("link").get_attribute("href")
    assert link == optics.entry("processes", "web")["uri"] + "#/service/lab.meter"
    assert page.locator("form.member, .member button").count() == 0, "nothing to drive it with"
    assert serious_findings(page) == []
    with optics.proxy("lab.meter") as meter:
        assert meter.lock("ada")
        page.locator(".lock", has_text="by ada").wait_for()
        page.get_by_role("link", name="Locks", exact=True).click()
        page.get_by_role("link", name="optics/lab.meter", exact=True).wait_for()
    assert page.get_by_role("button", name="Break the lock …").count() == 0
    page.get_by_role("link", name="Log", exact=True).click()
    options = lambda: page.get_by_label("Service").locator("option").all_inner_texts()
    wait_for(lambda: options() == ["all", "lab.meter", "lab.supply"], NEVER, "the services whose logs are here")


def test_a_lab_that_is_away_is_said_and_heals_without_a_reload(page, optics):
    page.evaluate("window.mark = 'not loaded anew'")
    pids = [optics.supervisor(), optics.entry("nameservers", "local")["pid"]]
    card = page.locator("article", has_text="optics/lab.meter")
    with stopped(*pids):
        page.get_by_text("The lab optics (localhost) is away: no answer within 1.5s").first.wait_for()
        card.locator(".chip", has_text="away").wait_for()
        card.locator(".quality", has_text="no data").wait_for()
        assert serious_findings(page) == []
        own = page.locator("article", has=page.get_by_role("link", name="lab.meter", exact=True))
        assert own.locator(".chip").inner_text() == "running"
    card.locator(".chip", has_text="running").wait_for()
    card.locator(".number", has_text=re.compile(r"\d")).wait_for()
    page.get_by_text("is away:").wait_for(state="detached")
    assert page.evaluate("window.mark") == "not loaded anew"


def test_hostile_texts_of_another_lab_are_texts(tab):
    names = [f"lab.{number} {attack}" for number, attack in enumerate(ATTACKS)]
    rows = [
        service(name, daemon=attack, description=attack, tags=[attack], error=attack, status=attack)
        for name, attack in zip(names, ATTACKS, strict=True)
    ]
    series = [
        {"service": name, "member": attack, "value": attack, "unit": attack, "error": attack}
        for name, attack in zip(names, ATTACKS, strict=True)
    ]
    web = process("web", uri="javascript://opticspc/%0awindow.attacked=1")
    with FakeLab(rows, processes=[web], series=series) as other, new_lab() as lab:
        started(lab, "here", f"labs: {{evil: {{host: localhost, port: {other.port}}}}}\n")
        tab.goto(lab.wait_for_status("processes", "web", "running")["uri"])
        tab.locator("article", has_text="evil/lab.0").wait_for()
        for group in ("tag", "lab", "daemon"):
            tab.get_by_label("Group").select_option(group)
            tab.wait_for_selector("article")
        for number in range(0, len(ATTACKS), 10):
            tab.locator("article h3 a", has_text=f"evil/lab.{number} ").click()
            tab.locator("h1", has_text=f"evil/lab.{number} ").wait_for()
            assert tab.get_by_role("note").filter(has_text="not reachable from other hosts").is_visible()
            tab.go_back()
            tab.wait_for_selector("article")
        assert tab.evaluate("window.attacked") is None
        assert tab.locator("main img, main iframe, main script, main a[href^=javascript]").count() == 0
