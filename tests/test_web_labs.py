"""Other labs on the page (`labs:`): what it shows of each, to whom, and what it leaves to them."""

import contextlib
import time

import pytest
from harness import NEVER, free_port, new_lab, wait_for, within
from harness.fake_lab import FakeLab, service
from harness.processes import stopped
from harness.relay import Relay
from harness.web import Page

OTHER = """\
nameservers: {local: {host: localhost, ns_port: $ns_port}}
daemons: {bench: {classname: LockableDaemon, nameservers: [local]}}
services:
  lab.meter:
    {native: simulated.multimeter, daemon: bench, nameservers: [local], tags: [room-2],
     members: {measure_voltage: {poll: 100ms, unit: V}}}
  lab.supply: {native: simulated.power_supply, daemon: bench, nameservers: [local]}
autolaunch: {nameservers: [local], daemons: [bench]}
"""
WEB = "web: {port: 0}\n"
# The lab `cold` lets others see one service.
ACCESS = """\
access:
  localhost: none
  grants: [{who: "*", what: [lab.meter, bench, local], role: view}]
"""
# Seconds within which a lab that hangs is shown as away.
AWAY = 2


class Labs:
    def __init__(self, here, optics, cold):
        self.here, self.optics, self.cold = here, optics, cold
        self.page = Page.of(here)

    def configure(self, more="", without=()):
        """The configuration of this lab, which shows the others but those."""
        ports = {"optics": self.optics.ns_port, "cold": self.cold.ns_port}
        rows = [f"{name}: {{host: localhost, port: {port}}}" for name, port in ports.items() if name not in without]
        text = "$own\nlabs: {$labs}\n$more"
        self.here.config(text, own=OTHER.replace("$ns_port", str(self.here.ns_port)) + WEB, labs=", ".join(rows), more=more)


@pytest.fixture(scope="module")
def labs():
    with contextlib.ExitStack() as stack:
        here, optics, cold = (stack.enter_context(new_lab()) for _ in range(3))
        for lab, more in ((here, WEB), (optics, WEB), (cold, ACCESS)):
            lab.ns_port = free_port()
            lab.config(OTHER + more, ns_port=lab.ns_port)
            lab.up()
        labs = Labs(here, optics, cold)
        labs.configure()
        here.run("reload")
        names = lambda: [row["name"] for row in labs.page.get("/api/lab")["labs"]]
        wait_for(lambda: names() == ["cold", "optics"], NEVER, "the other labs are known")
        yield labs


def asked(page, query="lab=*"):
    """Other labs, by their names, once all of them answer."""

    def whole():
        rows = page.get(f"/api/lab?{query}")["labs"]
        return rows if all(row["state"] == "answers" for row in rows) else None

    return {row["name"]: row for row in wait_for(whole, NEVER, "the other labs answer")}


def names(lab):
    return [row["name"] for row in lab["services"]]


def test_other_labs_are_shown_with_what_they_show(labs):
    others = asked(labs.page)
    assert names(others["optics"]) == ["optics/lab.meter", "optics/lab.supply"]
    assert names(others["cold"]) == ["cold/lab.meter"], "what that lab lets this one see"
    meter = others["optics"]["services"][0]
    assert (meter["lab"], meter["daemon"], meter["state"], meter["tags"]) == ("optics", "optics/bench", "running", ["room-2"])
    assert others["optics"]["port"] == labs.optics.ns_port and others["optics"]["error"] is None
    assert others["optics"]["page"] == labs.optics.entry("processes", "web")["uri"]
    assert others["cold"]["page"] is None, "it has none"
    assert set(asked(labs.page, "lab=cold")) == {"cold"}
    assert names(asked(labs.page, "lab=optics&tag=room-2")["optics"]) == ["optics/lab.meter"]
    own = labs.page.get("/api/lab")
    assert names(own) == ["lab.meter", "lab.supply"] and "lab" not in own["services"][0]
    with labs.optics.proxy("lab.supply") as supply:
        assert supply.lock("ada")
        owner = lambda: asked(labs.page)["optics"]["services"][1]["lock"]["owner"]
        assert wait_for(owner, NEVER, "the lock")["user"] == "ada"

    def values():
        rows = labs.page.get("/api/values?lab=*")["values"]
        good = {row["service"]: row for row in rows if row["quality"] == "good"}
        return good if set(good) == {"optics/lab.meter", "cold/lab.meter"} else None

    row = wait_for(values, NEVER, "their values")["optics/lab.meter"]
    assert (row["member"], row["unit"]) == ("measure_voltage", "V") and abs(time.time() - row["t"]) < NEVER
    for path in ("optics%2Flab.meter", "optics/lab.meter"):
        one = labs.page.get(f"/api/services/{path}")
        assert (one["name"], one["card"], one["page"]) == ("optics/lab.meter", None, others["optics"]["page"])
        assert [series["member"] for series in one["series"]] == ["measure_voltage"]


@pytest.mark.parametrize(
    "path, words",
    [
        ("/api/lab?lab=optic", "did you mean `optics`?"),
        ("/api/values?lab=optic", "did you mean `optics`?"),
        ("/api/services/optics/lab.metre", "did you mean `optics/lab.meter`?"),
        ("/api/services/optic/lab.meter", "there is no service 'optic/lab.meter'"),
    ],
)
def test_an_unknown_name_is_refused(labs, path, words):
    asked(labs.page)

    def refused():
        answer = labs.page.request("GET", path)
        assert answer.status >= 400, answer
        return answer.status == 404 and words in answer.json["detail"]

    if "?" in path:
        assert refused()
    else:
        # The answer about an instrument needs the other lab's.
        wait_for(refused, NEVER, words)


def test_an_instrument_of_another_lab_is_driven_from_its_own_page(labs):
    link = asked(labs.page)["optics"]["page"]
    at = "/api/services/optics%2Flab.supply"
    for method, path, content in (
        ("PUT", f"{at}/members/voltage", {"value": 1}),
        ("POST", f"{at}/call/on", {}),
        ("POST", f"{at}/lock", {}),
        ("POST", f"{at}/unlock", {}),
        ("POST", f"{at}/break", {"reason": "why not"}),
    ):
        refused = labs.page.change(method, path, content)
        assert (refused.status, refused.json["type"]) == (403, "urn:ferrolab:other-lab"), refused
        assert link in refused.json["detail"]
    assert labs.page.request("GET", f"{at}/members/voltage").status == 403, "a read asks a driver"
    with labs.optics.proxy("lab.supply") as supply:
        assert supply.voltage == 0 and not supply.islocked()


def told(name, state):
    """Whether an event says that a lab is in this state."""
    return lambda event: event.kind == "labs" and any(
        (row["name"], row["state"]) == (name, state) for row in event.data.get("labs", [])
    )


def is_sample_of(lab):
    return lambda event: event.kind == "labs" and any(
        row["service"] == f"{lab}/lab.meter" and row["quality"] == "good" for row in event.data.get("values", [])
    )


def test_a_lab_that_hangs_is_shown_as_away_and_costs_the_others_nothing(labs):
    pids = [labs.cold.supervisor(), labs.cold.entry("nameservers", "local")["pid"]]
    with labs.page.stream() as stream:
        asked(labs.page)
        stream.next(is_sample_of("optics"), "values of the one lab")
        with stopped(*pids):
            begun = time.monotonic()
            away = stream.next(told("cold", "away"), "the lab is away")
            took = time.monotonic() - begun
            assert took < within(AWAY), took
            # Its connection and the whole question have the same time: either may say so first.
            assert ["no answer within 1.5" in row["error"] for row in away.data["labs"]] == [True]
            [meter] = away.data["services"]
            assert (meter["name"], meter["state"], meter["lock"]) == ("cold/lab.meter", "away", None)
            assert [(row["value"], row["quality"]) for row in away.data["values"]] == [(None, "no data")]
            for _ in range(3):
                stream.next(is_sample_of("optics"), "values of the other lab")
            assert names(labs.page.get("/api/lab")) == ["lab.meter", "lab.supply"]

            def states():
                return {row["name"]: row["state"] for row in labs.page.get("/api/lab")["labs"]}

            # On a busy machine the other lab may be away for a moment, too.
            wait_for(lambda: states() == {"cold": "away", "optics": "answers"}, NEVER, "only one is away")
        stream.next(told("cold", "answers"), "the lab is back")
        stream.next(is_sample_of("cold"), "its values are back")
    assert asked(labs.page)["cold"]["services"][0]["state"] == "running"


def test_labs_come_and_go_with_a_reload(labs):
    pid = labs.here.entry("processes", "web")["pid"]
    with labs.page.stream() as stream:
        asked(labs.page)
        stream.next(is_sample_of("optics"), "values of the lab")
        labs.configure(without=["optics"])
        labs.here.run("reload")
        gone = stream.next(lambda event: event.kind == "labs" and "labs" in event.data.get("removed", {}), "it is gone")
        assert gone.data["removed"] == {"labs": ["optics"], "services": ["optics/lab.meter", "optics/lab.supply"]}
        assert labs.page.request("GET", "/api/services/optics/lab.meter").status == 404
        labs.configure()
        labs.here.run("reload")
        stream.next(told("optics", "answers"), "it is back")
    assert labs.here.entry("processes", "web")["pid"] == pid, "logins and locks of browsers stay"


def test_a_browser_that_may_not_see_this_lab_sees_no_other(lab):
    """No grant is for a service of another lab, so the lab itself decides."""
    with FakeLab([service("lab.laser")]) as other:
        lab.ns_port = free_port()
        access = 'access: {network: none, grants: [{who: anonymous, what: "lab.*", role: view}]}\n'
        labs = "labs: {optics: {host: localhost, port: $other}}\nweb: {host: public, port: 0}\n"
        lab.config(OTHER + labs + access, ns_port=lab.ns_port, other=other.port)
        lab.up()
        uri = lab.wait_for_status("processes", "web", "running")["uri"]
        here, page = Page.of(lab), Page.from_elsewhere(uri)
        with page.stream() as stream, here.stream() as everything:
            assert names(asked(here)["optics"]) == ["optics/lab.laser"]
            seen = page.get("/api/lab")
            assert names(seen) == ["lab.meter", "lab.supply"] and seen["labs"] == []
            assert page.get("/api/lab?lab=*")["labs"] == page.get("/api/values?lab=*")["values"] == []
            for path in ("/api/lab?lab=optics", "/api/services/optics/lab.laser", "/api/services/optics%2Flab.laser"):
                assert page.request("GET", path).status == 404, path
            other.rows.append(service("lab.shutter"))
            is_new = lambda event: "shutter" in str(event.data)
            everything.next(is_new, "a change there")
            assert not [event for event in stream.so_far() if event.kind == "labs"]


def test_labs_that_nobody_looks_at_are_not_asked(lab):
    sample = {"service": "lab.laser", "member": "power", "value": 3.0}
    with FakeLab([service("lab.laser")], series=[sample]) as other, Relay(f"it@localhost:{other.port}") as relay:
        port = relay.uri.rpartition(":")[2]
        lab.ns_port = free_port()
        lab.config(OTHER + WEB + "labs: {optics: {host: localhost, port: $other}}\n", ns_port=lab.ns_port, other=port)
        lab.up()
        page = Page.of(lab)
        assert [row["state"] for row in page.get("/api/lab")["labs"]] == ["asking"]

        def seq():
            rows = page.get("/api/values")["values"]
            return rows[0]["seq"] if rows else None

        fresh = wait_for(seq, NEVER, "this lab has values")
        wait_for(lambda: (seq() or 0) > fresh + 10, NEVER, "time passes")
        assert relay.answers == [], "nobody has looked"
        asked(page)
        assert relay.answers
        forgotten = lambda: page.get("/api/lab")["labs"][0]["state"] == "asking"
        wait_for(forgotten, NEVER, "an old answer is not shown as it is")


def test_the_values_of_a_lab_whose_clock_is_wrong_have_their_age(lab):
    sample = {"service": "lab.laser", "member": "power", "value": 3.0, "unit": "W"}
    with FakeLab([service("lab.laser")], series=[sample], ahead=-7200) as other:
        lab.ns_port = free_port()
        lab.config(OTHER + WEB + "labs: {optics: {host: localhost, port: $other}}\n", ns_port=lab.ns_port, other=other.port)
        lab.up()
        page = Page.of(lab)
        asked(page)
        [row] = page.get("/api/values?lab=optics")["values"]
        assert 0 < page.get("/api/lab")["now"] - row["t"] < 3600, "it was read five seconds before"
