"""Roles of `access` on the page: what it shows to a browser, and acknowledgements of alarms."""

import json

import pytest
from harness import NEVER, free_port, wait_for
from harness.web import Page, user_token

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: localhost, ns_port: $ns_port}
daemons:
  bench: {classname: LockableDaemon, nameservers: [local], host: localhost}
services:
  lab.supply:
    {native: simulated.power_supply, daemon: bench, nameservers: [local], members: {voltage: {poll: 100ms, keep: 1h}}}
  lab.gauge:
    {module: gauge, classname: Gauge, daemon: bench, instancemode: single, arguments: ["$folder"],
     nameservers: [local],
     members: {value: {poll: 100ms, alarm: {above: 10}}, both: {poll: 100ms, alarm: {above: 100, part: y}}}}
autolaunch: {nameservers: [local], daemons: [bench]}
history: true
web: {host: public, port: 0}
access: $access
"""
PATHS = [
    "/api/lab", "/api/values", "/api/alarms", "/api/calls", "/api/calls/history", "/api/locks", "/api/history",
    "/api/logs?lines=5000", "/api/services/lab.nothing", "/metrics", "/openapi.json", "/pyro/",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "instrument"
    folder.mkdir()
    (folder / "value").write_text("11")
    return folder


def start(lab, folder, access):
    lab.ns_port, lab.instrument = free_port(), folder
    configure(lab, access)
    lab.up()
    lab.wait_for_status("services", "lab.gauge", "running")
    return lab.wait_for_status("processes", "web", "running")["uri"]


def configure(lab, access):
    lab.config(CONFIGURATION, ns_port=lab.ns_port, folder=lab.instrument, access=access)


def alarm(lab):
    rows = json.loads(lab.run("alarms", "--json").stdout)
    return {row["member"]: row["state"] for row in rows}


def shown(page, path):
    """The answer to a read, as text."""
    return page.request("GET", path).body.decode()


def services(event):
    """The services of the samples of an event."""
    return {row["service"] for row in event.data} if event.kind == "sample" else set()


def told(stream):
    """The services of the samples that a stream has had."""
    return set().union(*map(services, stream.so_far()))


@pytest.mark.parametrize(
    "access, seen",
    [
        ("{network: none}", set()),
        ("{network: none, grants: [{who: anonymous, what: lab.supply, role: view}]}", {"lab.supply"}),
        ("{network: none, grants: [{who: anonymous, what: lab.gauge, role: view, members: [both]}]}", {"lab.gauge"}),
        ("{network: view}", {"lab.supply", "lab.gauge"}),
    ],
    ids=["nothing", "one service", "one member", "all"],
)
def test_a_browser_elsewhere_sees_what_its_address_may(lab, folder, access, seen):
    uri = start(lab, folder, access)
    here, page = Page.of(lab), Page.from_elsewhere(uri)
    wait_for(lambda: len(here.get("/api/values")["values"]) >= 3 and alarm(lab).get("value"), NEVER, "values")
    wait_for(lambda: "lab.supply" in shown(here, "/api/history"), NEVER, "a history")
    for path in PATHS:
        text = shown(page, path)
        for service in {"lab.supply", "lab.gauge"} - seen:
            assert service not in text, path
        # The log has lines of every service, if not of its calls.
        if path in ("/api/lab", "/api/values", "/metrics", "/openapi.json", "/pyro/"):
            assert all(service in text for service in seen), path
    if "members" in access:
        assert {row["member"] for row in page.get("/api/values")["values"]} == {"both.x", "both.y"}
    for service in ("lab.supply", "lab.gauge"):
        expected = 200 if service in seen else 404
        assert page.request("GET", f"/api/services/{service}").status == expected
        assert page.request("GET", f"/pyro/{service}/$meta").status == (200 if service in seen else 500)
    history = page.request("GET", "/api/history?service=lab.supply&member=voltage").status
    assert history == (200 if "lab.supply" in seen else 404)
    looked = page.get("/api/lab")
    assert bool(looked.get("hidden")) == (not seen)
    is_all = "view}" == access[-5:] and "grants" not in access
    assert bool(looked["daemons"]) == is_all
    lines = page.get("/api/logs")["lines"]
    assert any("service" not in line for line in lines) == is_all
    with page.stream() as stream, here.stream() as everything:
        (folder / "value").write_text("12")
        everything.next(lambda event: "lab.gauge" in services(event), "a sample")
        came = told(stream)
    assert came <= seen and ("lab.gauge" in came) == ("lab.gauge" in seen)


def test_other_rules_count_in_open_tabs(lab, folder):
    uri = start(lab, folder, "{network: none}")
    here, page = Page.of(lab), Page.from_elsewhere(uri)
    wait_for(lambda: here.get("/api/values")["values"], NEVER, "values")
    pid = lab.entry("processes", "web")["pid"]
    with page.stream() as stream:
        stream.next(lambda event: event.kind == "reset", "a stream")
        configure(lab, "{network: view}")
        lab.run("reload")
        stream.next(lambda event: event.kind == "reset", "a new look at the lab")
        assert not set().union(*map(services, stream.seen))
        (folder / "value").write_text("12")
        stream.next(services, "samples")
    assert len(page.get("/api/lab")["services"]) == 2
    assert lab.entry("processes", "web")["pid"] == pid, "logins and locks of browsers stay"


def test_an_alarm_is_acknowledged_by_those_who_may_operate_its_service(lab, folder):
    grants = 'grants: [{who: ada, what: lab.gauge, role: operate}, {who: bob, what: lab.supply, role: operate}]'
    uri = start(lab, folder, f"{{localhost: view, users: [ada, bob], {grants}}}")
    page = Page(uri)
    page.host = "localhost"
    wait_for(lambda: alarm(lab).get("value") == "firing", NEVER, "the alarm")
    acknowledge = lambda: page.change("POST", "/api/alarms/ack", {"service": "lab.gauge"})
    assert acknowledge().json["type"] == "urn:ferrolab:read-only", "nobody has logged in"
    by_hand = lab.run("alarms", "ack", "lab.gauge", check=False)
    assert by_hand.returncode == 1 and "needs the role operate" in by_hand.stderr
    page.change("POST", "/api/login", {"token": user_token(lab, "bob")})
    refused = acknowledge()
    assert refused.status == 409 and "bob may not acknowledge the alarms of lab.gauge" in refused.json["detail"]
    assert alarm(lab)["value"] == "firing"
    page.change("POST", "/api/logout", {})
    page.change("POST", "/api/login", {"token": user_token(lab, "ada")})
    assert acknowledge().status == 200
    wait_for(lambda: alarm(lab)["value"] == "acknowledged", NEVER, "the acknowledgement")
    lines = lambda: json.loads(lab.run("audit", "--json").stdout)
    acts = lambda: [(line["who"], line["outcome"][:7]) for line in lines() if line["action"] == "acknowledge"]
    wait_for(lambda: acts()[1:] == [("bob", "refused"), ("ada", "done")], NEVER, "the lines of the audit log")
