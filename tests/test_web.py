"""The web process: the lab as JSON, its stream of events, and what it refuses."""

import json
import os
import signal
import socket
import time

import pytest
from harness import NEVER, free_port, new_lab, wait_for, within
from harness.processes import kill, stopped
from harness.web import Page

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: localhost, ns_port: $ns_port}
daemons:
  bench: {host: localhost, classname: LockableDaemon, nameservers: [local]}
  other: {host: localhost}
services:
  lab.supply:
    native: simulated.power_supply
    description: Bench supply
    tags: [optics, room-2]
    daemon: bench
    nameservers: [local]
  lab.meter: {native: simulated.multimeter, daemon: other}
autolaunch: {nameservers: [local], daemons: [bench, other]}
web: {port: 0}
"""


def set_up(lab):
    lab.config(CONFIGURATION, ns_port=free_port())
    lab.up()
    return lab


@pytest.fixture(scope="module")
def still():
    """A lab for tests that only look."""
    with new_lab() as lab:
        yield set_up(lab)


@pytest.fixture(scope="module")
def page(still):
    page = Page.of(still)
    # Its copy of the lab may be a moment old.
    running = lambda: all(row["state"] == "running" for row in page.get("/api/lab")["services"])
    wait_for(running, NEVER, "the page shows the services that run")
    return page


@pytest.fixture
def moving(lab):
    """A lab for tests that kill."""
    return set_up(lab)


def test_up_waits_for_the_page_and_prints_its_link(lab):
    lab.config(CONFIGURATION, ns_port=free_port())
    said = lab.up().stdout
    row = lab.entry("processes", "web")
    assert row["status"] == "running" and row["autolaunch"] and row["wanted"]
    assert f"The page: {row['uri']}" in said
    assert "PROCESS" in lab.run("ps").stdout
    assert "web" in json.loads(lab.run("restart", "process", "web", "--json").stdout)["processes"][0]["name"]
    again = lab.wait_for_status("processes", "web", "running")
    assert again["uri"] == row["uri"] and again["pid"] != row["pid"]
    assert lab.run("stop", "process", "web").stdout.strip() == "process web has stopped."
    refused = lab.run("stop", "process", "wbe", check=False)
    assert refused.returncode == 1 and "did you mean `web`?" in refused.text


def test_the_page_comes_and_goes_with_a_reload(lab):
    ns_port = free_port()
    lab.config(CONFIGURATION.replace("web: {port: 0}", ""), ns_port=ns_port)
    lab.up()
    assert "processes" not in lab.ps()
    pids = {row["pid"] for row in lab.ps()["daemons"]}
    lab.config(CONFIGURATION, ns_port=ns_port)
    assert "process web" in lab.run("reload").text
    Page.of(lab).get("/api/lab")
    assert {row["pid"] for row in lab.ps()["daemons"]} == pids


def test_the_lab_as_json(page):
    lab = page.get("/api/lab")
    assert lab["supervisor"] == {"up": True, "error": None}
    assert (lab["readonly"], lab["problems"], lab["calls"]) == (False, [], [])
    assert [row["name"] for row in lab["daemons"]] == ["bench", "other"]
    assert [row["name"] for row in lab["processes"]] == ["web"]
    supply, meter = page.service("lab.supply"), page.service("lab.meter")
    assert (supply["state"], supply["daemon"], supply["description"]) == ("running", "bench", "Bench supply")
    assert (supply["tags"], meter["tags"]) == (["optics", "room-2"], [])
    for query, names in (("tag=optics", ["lab.supply"]), ("tag=optics&tag=room-2", ["lab.supply"]), ("tag=optics&tag=x", [])):
        assert [row["name"] for row in page.get(f"/api/lab?{query}")["services"]] == names
    assert supply["lock"]["state"] == "free" and meter["lock"] is None
    assert abs(lab["now"] - supply_since(lab)) < within(3600)


def supply_since(lab):
    return next(row["since"] for row in lab["daemons"] if row["name"] == "bench")


def test_a_service_with_its_card(page, still):
    service = page.get("/api/services/lab.supply")
    described = json.loads(still.run("describe", "lab.supply", "--json").stdout)
    assert service["card"]["members"] == described["members"]
    answer = page.request("GET", "/api/services/lab.suply")
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    assert problem["type"] == "urn:ferrolab:unknown-service" and "did you mean `lab.supply`?" in problem["detail"]


def test_the_files_of_the_page(page):
    index = page.request("GET", "/", headers={"Accept-Encoding": "gzip"})
    assert index.status == 200 and index.headers["Content-Type"] == "text/html; charset=utf-8"
    assert index.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert index.headers["X-Content-Type-Options"] == "nosniff"
    again = page.request("GET", "/", headers={"If-None-Match": index.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
    assert page.request("HEAD", "/").body == b""
    for path in ("/page/none.js", "/page/../mod.rs", "/page/%2e%2e/mod.rs", "/page//etc/passwd", "/nothing"):
        assert page.request("GET", path).status == 404, path
    assert page.request("DELETE", "/api/lab", headers={"X-Ferrolab": "1"}).status == 405


REFUSED = {
    "no page under a foreign name": ("GET", {"Host": "evil.example"}, 421, "unknown-host"),
    "nor under one that begins like ours": ("GET", {"Host": "localhost.evil.example:80"}, 421, "unknown-host"),
    "nor under another address": ("GET", {"Host": "10.0.0.1"}, 421, "unknown-host"),
    "no change without the header": ("POST", {}, 403, "no-header"),
    "nor for a page of another site": ("POST", {"X-Ferrolab": "1", "Origin": "http://evil.example"}, 403, "foreign-origin"),
    "nor of a file": ("POST", {"X-Ferrolab": "1", "Origin": "null"}, 403, "foreign-origin"),
}


def test_reads_are_not_for_pages_of_other_sites(page):
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        path = "/api/services/lab.supply/members/voltage"
        assert page.request("GET", path, headers={"Sec-Fetch-Site": site}).status == status
        assert page.request("GET", "/", headers={"Sec-Fetch-Site": site}).status == 200


@pytest.mark.parametrize("case", REFUSED)
def test_refused(page, case):
    method, headers, status, code = REFUSED[case]
    answer = page.request(method, "/api/lab", headers=headers)
    assert (answer.status, answer.json["type"]) == (status, f"urn:ferrolab:{code}")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_killed_daemon_is_seen_in_the_stream_and_so_is_its_return(moving):
    page = Page.of(moving)
    with page.stream() as stream:
        stream.next(lambda event: event.kind == "reset", "the request to load the lab")
        assert stream.retry == 500
        kill(moving.entry("daemons", "other")["pid"])
        began = time.monotonic()

        def returned(event):
            rows = event.data.get("daemons", []) if event.kind == "lab" else []
            return any((row["name"], row["state"], row["restarts"]) == ("other", "running", 1) for row in rows)

        is_of_daemons = lambda event: event.kind == "lab" and "daemons" in event.data
        # Its death and its return may be one event.
        event = stream.next(is_of_daemons, "the daemon's death")
        assert time.monotonic() - began <= within(2)
        if not returned(event):
            stream.next(returned, "the daemon's return")
        stream.wait_for_tick()


def test_a_stopped_supervisor_is_seen_and_so_is_its_return(moving):
    page = Page.of(moving)
    supervisor = moving.supervisor()

    def supervisor_is(up):
        return lambda event: event.kind == "lab" and event.data.get("supervisor", {}).get("up") == up

    with page.stream() as stream:
        began = time.monotonic()
        with stopped(supervisor):
            stream.next(supervisor_is(False), "the supervisor's silence")
            assert time.monotonic() - began <= within(3)
            assert "it is stopped" in page.get("/api/lab")["supervisor"]["error"]
        stream.next(supervisor_is(True), "its return")


def test_a_killed_page_is_back_under_its_address_and_says_that_it_is_new(moving):
    page = Page.of(moving)
    with page.stream() as stream:
        last = stream.next(lambda event: event.kind == "reset", "an event").id
        kill(moving.entry("processes", "web")["pid"])
        stream.wait_until_ended()
    wait_for(lambda: page.request("GET", "/api/lab").status == 200, 10, "the page is back", OSError)
    with page.stream(**{"Last-Event-ID": last}) as stream:
        assert stream.next(lambda event: True, "an event").kind == "reset"


@pytest.mark.parametrize("process", ["web", "history"])
def test_a_process_that_hangs_is_noticed_and_restarted(lab, process):
    lab.config(CONFIGURATION + "history: true\n", ns_port=free_port())
    lab.up()
    before = lab.wait_for_status("processes", process, "running")
    began = time.monotonic()
    os.kill(before["pid"], signal.SIGSTOP)

    def again():
        now = lab.entry("processes", process)
        return now["pid"] not in (None, before["pid"]) and now["status"] == "running"

    wait_for(again, NEVER, f"{process} runs again")
    assert time.monotonic() - began <= within(12)
    after = lab.entry("processes", process)
    assert after["uri"] == before["uri"] and after["restarts"] >= 1
    log = (lab.home / "logs/ferrolab.log").read_text()
    assert "it hangs: no answer to a call on its own socket within 5 s" in log
    if process == "web":
        assert Page.of(lab).get("/api/lab")["supervisor"]["up"]


def test_the_page_ends_with_the_supervisor(moving):
    page = Page.of(moving)
    with page.stream() as stream:
        kill(moving.supervisor())
        began = time.monotonic()
        stream.wait_until_ended()
        assert time.monotonic() - began <= within(2)
    moving.assert_nothing_left(timeout=3)


def test_down_does_not_wait_for_open_streams(lab):
    set_up(lab)
    with Page.of(lab).stream() as stream:
        stream.wait_for_tick()
        lab.down()
        stream.wait_until_ended()


def test_a_stream_that_comes_back_goes_on_where_it_was(moving):
    page = Page.of(moving)
    with page.stream() as stream:
        last = stream.next(lambda event: event.kind == "reset", "an event").id
    moving.run("restart", "daemon", "other")
    with page.stream(**{"Last-Event-ID": last}) as stream:
        event = stream.next(lambda event: True, "what was missed")
        assert event.kind == "lab" and event.data["daemons"]
    after = page.get("/api/lab")["event"]
    moving.run("stop", "daemon", "other")
    with page.stream(f"/api/stream?after={after}") as stream:
        assert stream.next(lambda event: True, "what came after").kind == "lab"


def test_logs_calls_and_locks(page, still):
    lines = page.get("/api/logs?lines=3")["lines"]
    assert len(lines) == 3 and all(line["t"] > 0 for line in lines)
    assert all(line["entry"] == "daemon bench" for line in page.get("/api/logs?entry=bench")["lines"])
    assert page.request("GET", "/api/logs?level=loud").status == 400
    assert page.request("GET", "/api/logs?since=never").status == 400
    assert page.get("/api/calls") == {"calls": []}
    with still.proxy("lab.supply") as supply:
        supply.lock("ada")
        locked = lambda: page.get("/api/locks")["locks"]["lab.supply"]["owner"]
        assert wait_for(locked, NEVER, "the lock")["user"] == "ada"
        lines = lambda: [(line["event"], line["user"]) for line in page.get("/api/locks?service=lab.supply")["lines"]]
        wait_for(lambda: lines()[-1:] == [("granted", "ada")], NEVER, "the line of the lock")


def test_half_a_request_is_not_waited_for(page):
    with socket.create_connection((page.host, page.port)) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        slow.settimeout(NEVER)
        assert slow.recv(1000)[:12] in (b"", b"HTTP/1.1 408")


GARBAGE = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00",
    "a head without an end": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000,
    "too many headers": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
    "an announced body that never comes": b"GET /api/lab HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n",
    "two lengths": b"POST /api/lab HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "bytes in a path": b"GET /api/services/%ff%fe%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_is_refused_and_others_are_served(page, case):
    with socket.create_connection((page.host, page.port)) as client:
        client.settimeout(NEVER)
        client.sendall(GARBAGE[case])
        with socket.create_connection((page.host, page.port)):
            assert page.get("/api/lab")["services"]
        try:
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(65536)
        except OSError:
            answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")


def test_openapi_has_the_members_of_the_cards(page):
    document = page.get("/openapi.json")
    assert document["openapi"] == "3.1.0"
    voltage = document["paths"]["/api/services/lab.supply/members/voltage"]
    value = voltage["put"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["value"]
    assert value == {"type": "number"}
    assert "/api/services/lab.supply/call/on" in document["paths"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["responses"], path


def test_metrics_for_prometheus(page):
    answer = page.request("GET", "/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain;")
    assert b'ferrolab_process_up{kind="daemon",name="bench"} 1' in answer.body


def test_there_is_no_history_and_no_alarm(page):
    answer = page.request("GET", "/api/history?service=lab.supply&member=voltage")
    assert (answer.status, answer.json["type"]) == (404, "urn:ferrolab:no-history")
    assert page.get("/api/alarms") == {"alarms": []} and page.get("/api/values") == {"values": []}
    refused = page.change("POST", "/api/alarms/ack", {"service": "lab.supply"})
    assert (refused.status, refused.json["type"]) == (409, "urn:ferrolab:not-acknowledged")


def test_new_lines_of_the_log_are_in_the_stream(page, still):
    with page.stream() as stream:
        stream.wait_for_tick()
        still.run("restart", "daemon", "other")
        has_it = lambda event: event.kind == "log" and any(l["entry"] == "daemon other" for l in event.data)
        stream.next(has_it, "a line of the daemon")
    wait_for(lambda: page.service("lab.meter")["state"] == "running", NEVER, "the daemon runs again")


def test_calls_that_end_are_in_the_stream(page, still):
    with page.stream() as stream, still.proxy("lab.supply") as supply:
        stream.wait_for_tick()
        with pytest.raises(ValueError):
            supply.voltage = 500
        ended = stream.next(lambda event: event.kind == "calls" and "ended" in event.data, "the call")
    [call] = ended.data["ended"]
    assert (call["service"], call["member"], call["action"]) == ("lab.supply", "voltage", "set")
    assert "0 to 30" in call["error"]
