"""Reads, sets, calls and locks through the web process, and Pyro5's gateway beside ours."""

import array
import ast
import contextlib
import http.client
import json
import os
import re
import socket
import struct
import subprocess
import threading
import zlib

import pytest
from harness import NEVER, free_port, new_lab, stock_nameserver, wait_for
from harness.lab import interpreter
from harness.processes import kill
from harness.web import Page

CONFIGURATION = """\
python: {executable: "$python", path: ["$drivers"]}
nameservers:
  local: {host: localhost, ns_port: $ns_port}
daemons:
  locks: {classname: LockableDaemon, nameservers: [local]}
  plain: {nameservers: [local]}
services:
  lab.typed: {module: typed, classname: Typed, daemon: locks, instancemode: single, $more}
  http.typed: {module: typed, classname: Typed, daemon: plain, instancemode: single, nameservers: [local]}
  lab.supply: {native: simulated.power_supply, daemon: locks}
autolaunch: {nameservers: [local], daemons: [locks, plain]}
web: {port: 0}
"""
MORE = "read_while_locked: [calls], members: {volts: {minimum: 0, maximum: 100, unit: V}}"


def set_up(lab):
    lab.ns_port = free_port()
    lab.config(CONFIGURATION, ns_port=lab.ns_port, more=MORE)
    lab.up()
    return page_of(lab)


def page_of(lab):
    page = Page.of(lab)
    running = lambda: all(row["state"] == "running" for row in page.get("/api/lab")["services"])
    wait_for(running, NEVER, "the page shows the services that run")
    return page


@pytest.fixture(scope="module")
def still():
    with new_lab() as lab:
        lab.page = set_up(lab)
        yield lab


@pytest.fixture
def page(still):
    page = Page.of(still)
    page.get("/api/lab")
    return page


def result(answer):
    assert answer.status == 200, answer
    return answer.json["result"]


def test_a_property_is_read_and_set(page):
    path = "/api/services/lab.typed/members/volts"
    assert page.change("PUT", path, {"value": 2.5}).status == 204
    assert page.get(path) == {"value": 2.5}
    assert page.change("PUT", path, {"value": 3}).status == 204
    assert page.request("GET", path).body == b'{"value":3.0}', "a float, as the card says"


def test_arguments_become_the_types_of_the_card(page):
    kwargs = {"pair": [1, 2], "names": ["x"], "table": {"5": 1}, "data": "AAE=", "rest": [1, 2.5]}
    shown = result(page.call("lab.typed", "typed", 1, 2.0, **kwargs))
    assert shown == repr((1.0, 2, (1, 2.0), {"x"}, {5: 1.0}, b"\0\1", [1.0, 2.5]))


VALUES = [
    "None",
    "True",
    "5",
    "-1.5",
    "2**80",
    "float('inf')",
    "1+2j",
    "'text \\u2713 <b>'",
    "b'\\x00\\xff'",
    "[1, [2.5, None]]",
    "(1, 'a')",
    "{1, 2}",
    "frozenset({1})",
    "{'a': 1}",
    "{1: 'a', (1, 2): 'b'}",
    "{'@type': 'int'}",
]


@pytest.mark.parametrize("text", VALUES)
def test_every_value_goes_through_and_back(page, text):
    given = result(page.call("lab.typed", "give", text))
    assert eval(result(page.call("lab.typed", "show", given)), {"inf": float("inf")}) == eval(text)


def test_a_large_array_is_a_file(page):
    given = result(page.call("lab.typed", "give", "[float(x) / 2 for x in range(1000)]"))
    assert (given["@type"], given["dtype"], given["shape"]) == ("array", "float64", [1000])
    file = page.request("GET", given["url"])
    assert file.headers["Content-Type"] == "application/octet-stream"
    length = struct.unpack("<H", file.body[8:10])[0]
    header = ast.literal_eval(file.body[10 : 10 + length].decode())
    assert header == {"descr": "<f8", "fortran_order": False, "shape": (1000,)}
    assert array.array("d", file.body[10 + length :]).tolist() == [x / 2 for x in range(1000)]
    assert "png" not in given
    assert page.request("GET", given["url"].replace(".npy", ".png")).status == 404
    assert page.request("GET", "/api/results/none.npy").status == 404


def test_numpy_reads_the_file(page, tmp_path):
    given = result(page.call("lab.typed", "give", "[[x * y for x in range(20)] for y in range(30)]"))
    (tmp_path / "a.npy").write_bytes(page.request("GET", given["url"]).body)
    script = "import numpy, sys; a = numpy.load(sys.argv[1]); print(a.dtype, a.shape, a[29, 19])"
    shown = subprocess.run([interpreter(), "-c", script, tmp_path / "a.npy"], capture_output=True, text=True, check=True)
    assert shown.stdout == "int64 (30, 20) 551\n"


def test_a_picture_is_a_png(page):
    given = result(page.call("lab.typed", "give", "[[x for x in range(20)] for y in range(30)]"))
    picture = page.request("GET", given["png"])
    assert picture.headers["Content-Type"] == "image/png"
    assert struct.unpack(">II", picture.body[16:24]) == (20, 30)
    start = picture.body.index(b"IDAT")
    data = picture.body[start + 4 : start + 4 + struct.unpack(">I", picture.body[start - 4 : start])[0]]
    row = zlib.decompress(data)[:21]
    assert (row[0], row[1], row[20]) == (0, 0, 255)


def test_items_of_a_stream_are_a_list(page):
    answer = page.call("lab.typed", "items", 3)
    assert answer.json == {"result": [0, 1, 2], "stream": True, "complete": True}
    answer = page.call("lab.typed", "items", 5000)
    assert len(answer.json["result"]) == 1000 and not answer.json["complete"]


def test_an_exception_has_the_drivers_class_text_and_traceback(page):
    answer = page.call("lab.typed", "fail", "<script>too hot</script>")
    problem = answer.json
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status, problem["type"], problem["detail"]) == (500, "urn:ferrolab:raised", "<script>too hot</script>")
    assert problem["python"]["class"] == "builtins.ValueError"
    assert "typed.py" in problem["python"]["traceback"]
    assert not re.search(r"Exception \{|Some\(|Err\(", answer.body.decode())


REFUSED = {
    "a value beyond a limit": ("PUT", "members/volts", {"value": 500}, 422, "0 to 100"),
    "a value that the driver refuses": ("PUT", "members/volts", {"value": 50}, 500, "more than the supply has"),
    "an unknown member": ("POST", "call/shwo", {}, 404, "did you mean `show`?"),
    "a private member": ("POST", "call/_calls", {}, 404, "no member"),
    "a set without a value": ("PUT", "members/volts", {}, 400, '{"value": …}'),
    "arguments that are no list": ("POST", "call/show", {"args": 5}, 400, '"args"'),
    "a list as the body": ("POST", "call/show", [1], 400, "not a list"),
    "an unknown tag": ("POST", "call/show", {"args": [{"@type": "pickle"}]}, 400, "`pickle`"),
    "too few arguments": ("POST", "call/show", {}, 422, "missing 1 required"),
    "a property that cannot be called": ("POST", "call/volts", {}, 404, "volts"),
    "a method that cannot be read": ("GET", "members/show", None, 404, "show"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(page, case):
    method, path, content, status, words = REFUSED[case]
    answer = page.change(method, f"/api/services/lab.typed/{path}", content)
    assert answer.status == status and words in answer.json["detail"], answer


def test_bodies_are_bounded(page):
    path = "/api/services/lab.typed/call/show"
    headers = {"X-Ferrolab": "1"}
    assert page.request("POST", path, b"{", headers).status == 400
    with socket.create_connection((page.host, page.port)) as large:
        large.settimeout(NEVER)
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Ferrolab: 1\r\nContent-Length: {5 << 20}\r\n\r\n"
        large.sendall(head.encode())
        assert large.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert page.request("POST", path, b"[" * 100_000, headers).status == 400
    with contextlib.closing(http.client.HTTPConnection(page.host, page.port, timeout=NEVER)) as connection:
        chunks = (b"x" * 65536 for _ in range(100))
        with contextlib.suppress(OSError):
            connection.request("POST", path, chunks, {"Transfer-Encoding": "chunked", **headers}, encode_chunked=True)
            assert connection.getresponse().status == 413


def test_a_change_is_refused_without_the_header(page):
    answer = page.request("POST", "/api/services/lab.typed/call/show", b'{"args": [1]}')
    assert (answer.status, answer.json["type"]) == (403, "urn:ferrolab:no-header")


def lock(page, service="lab.typed", **more):
    return page.change("POST", f"/api/services/{service}/lock", more)


def unlock(page, service="lab.typed"):
    return page.change("POST", f"/api/services/{service}/unlock", {})


def owner(page, service="lab.typed"):
    return page.service(service)["lock"]["owner"]


def test_a_lock_belongs_to_the_browser(still, page):
    other = Page.of(still)
    granted = lock(page, user="ada")
    assert granted.status == 200 and granted.json["user"] == "ada"
    shown = wait_for(lambda: owner(page), NEVER, "the lock is shown")
    assert (shown["user"], shown["epoch"]) == ("ada", granted.json["epoch"])
    assert page.get("/api/lab")["locks"] == {"lab.typed": granted.json["epoch"]}
    assert other.get("/api/lab")["locks"] == {}
    assert result(page.call("lab.typed", "show", 1)) == "1"
    refused = other.call("lab.typed", "show", 1)
    assert (refused.status, refused.json["type"]) == (423, "urn:ferrolab:locked")
    assert "ada" in refused.json["detail"]
    assert isinstance(result(other.call("lab.typed", "calls")), int), "everybody's while it is locked"
    assert lock(other).status == 423
    assert unlock(other).json == {"unlocked": False}
    assert unlock(page).json == {"unlocked": True}
    assert result(other.call("lab.typed", "show", 1)) == "1"
    wait_for(lambda: owner(page) is None, NEVER, "the lock is free")


def test_a_call_has_the_lock_meanwhile(still, page, tmp_path):
    gate = tmp_path / "gate"
    call = threading.Thread(target=lambda: page.call("lab.typed", "wait", str(gate)))
    call.start()
    try:
        wait_for(lambda: owner(page), NEVER, "the call has the lock")
        refused = Page.of(still).call("lab.typed", "show", 1)
        assert refused.status == 423 and "page" in refused.json["detail"]
        [shown] = wait_for(lambda: page.get("/api/calls")["calls"], NEVER, "the call is shown")
        assert (shown["member"], shown["user"]) == ("wait", "page")
    finally:
        gate.touch()
        call.join(NEVER)
    wait_for(lambda: owner(page) is None, NEVER, "the lock is free")


def test_a_client_that_goes_ends_its_call_and_its_lock(page, tmp_path):
    connection = http.client.HTTPConnection(page.host, page.port, timeout=NEVER)
    body = json.dumps({"args": [str(tmp_path / "gate")]})
    connection.request("POST", "/api/services/lab.typed/call/wait", body, {"X-Ferrolab": "1"})
    wait_for(lambda: owner(page), NEVER, "the call has the lock")
    connection.close()
    (tmp_path / "gate").touch()
    wait_for(lambda: owner(page) is None, NEVER, "the lock is free")


def test_a_lock_is_waited_for(still, page):
    other = Page.of(still)
    lock(page)
    waiting = threading.Thread(target=lambda: setattr(other, "granted", lock(other, user="bob", wait=200)))
    waiting.start()
    wait_for(lambda: page.service("lab.typed")["lock"]["waiting"], NEVER, "one who waits")
    unlock(page)
    waiting.join(NEVER)
    assert other.granted.json["user"] == "bob"
    unlock(other)
    assert lock(page, wait=1e9).status == 400


def test_a_lock_is_broken_with_a_reason(still, page):
    other = Page.of(still)
    lock(page, user="ada")
    path = "/api/services/lab.typed/break"
    assert other.change("POST", path, {}).status == 400
    assert other.change("POST", path, {"reason": "x\ny"}).status == 400
    broken = other.change("POST", path, {"reason": "ada has gone home", "user": "bob"})
    assert broken.json == {"broken": True, "by": "bob", "reason": "ada has gone home"}
    lost = page.call("lab.typed", "show", 1)
    assert lost.status == 423 and "ada has gone home" in lost.json["detail"]
    assert page.get("/api/session")["locks"] == {}
    assert result(page.call("lab.typed", "show", 1)) == "1"
    assert other.change("POST", path, {"reason": "again"}).status == 404
    lines = lambda: [line for line in other.get("/api/locks?service=lab.typed")["lines"] if line["event"] == "broken"]
    [line] = wait_for(lines, NEVER, "the line of the lock")
    assert line["by"].startswith("bob at ") and line["reason"] == "ada has gone home"


def test_a_service_without_a_lock_says_so(page):
    refused = lock(page, "http.typed")
    assert refused.status == 404 and "LockableDaemon" in refused.json["detail"]


def test_a_lock_outlives_the_web_process(lab):
    page = set_up(lab)
    with page.stream() as stream:
        assert lock(page, user="ada").status == 200
        kill(lab.entry("processes", "web")["pid"])
        stream.wait_until_ended()
    wait_for(lambda: page.get("/api/lab")["locks"], NEVER, "the lock is taken up", (OSError, AssertionError))
    assert owner(page)["user"] == "ada"
    assert result(page.call("lab.typed", "show", 1)) == "1"
    assert unlock(page).json == {"unlocked": True}


def test_tabs_cost_the_daemons_nothing(still, page):
    page.call("lab.typed", "show", 0)
    before = result(page.call("lab.typed", "calls"))
    with contextlib.ExitStack() as tabs:
        streams = [tabs.enter_context(Page.of(still).stream()) for _ in range(50)]
        for stream in streams:
            stream.wait_for_tick()
        held = sockets_of_daemons(still)
    assert result(page.call("lab.typed", "calls")) == before
    assert held <= 20, "no tab has a connection to a daemon"


def sockets_of_daemons(lab):
    """The connections of the web process to daemons."""
    pid = lab.entry("processes", "web")["pid"]
    ports = {int(row["uri"].rpartition(":")[2]) for row in lab.ps()["daemons"]}
    with open(f"/proc/{pid}/net/tcp") as table:
        rows = [line.split() for line in table.read().splitlines()[1:]]
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    own = [row for row in rows if f"socket:[{row[9]}]" in inodes]
    return sum(int(row[2].rpartition(":")[2], 16) in ports for row in own)


@contextlib.contextmanager
def stock_gateway(ns_port):
    """Pyro5's own gateway."""
    port = free_port()
    environment = os.environ | {"PYRO_NS_HOST": "localhost", "PYRO_NS_PORT": str(ns_port)}
    command = [interpreter(), "-m", "Pyro5.utils.httpgateway", "-p", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            gateway = Page(f"http://localhost:{port}/")
            wait_for(lambda: gateway.request("GET", "/pyro/").status == 200, NEVER, "the gateway", OSError)
            yield gateway
        finally:
            process.kill()


GATEWAY = [
    "http.typed/volts",
    "http.typed/volts?x=5",
    "http.typed/show?value=5",
    "http.typed/show?value=a&value=b",
    "http.typed/show?value=%E2%9C%93+%3Cb%3E",
    "http.typed/give?text=(1,%7B%22a%22:2%7D)",
    "http.typed/give?text=None",
    "http.typed/give?text=float('nan')",
    "http.typed/fail?text=hot",
    "http.typed/show",
    "http.typed/nosuch",
    "http.nosuch/x",
    "http.typed/$meta",
    "http.typed",
]


def test_the_urls_of_pyro5s_gateway_answer_as_there(still, page):
    wait_for(lambda: "http.typed" in still.run("nslist").stdout, NEVER, "the name")
    with stock_gateway(still.ns_port) as stock:
        for path in GATEWAY:
            theirs, ours = (gateway.request("GET", f"/pyro/{path}") for gateway in (stock, page))
            assert ours.status == theirs.status, (path, ours, theirs)
            if theirs.headers["Content-Type"].startswith("application/json"):
                assert ours.headers["Content-Type"] == theirs.headers["Content-Type"]
                assert comparable(ours) == comparable(theirs), path
        theirs, ours = (g.request("GET", "/pyro/http.typed/show?value=1", headers={"X-Pyro-Options": "oneway"}) for g in (stock, page))
        assert (ours.status, ours.body) == (theirs.status, theirs.body) == (200, b"")


def comparable(answer):
    """The answer without tracebacks, addresses and the order of sets."""
    value = answer.json
    if isinstance(value, dict) and "methods" in value:
        return {key: sorted(names) for key, names in value.items()}
    if isinstance(value, dict) and value.get("__exception__"):
        args = [re.sub(r"PYRO:\S+@", "PYRO:x@", str(arg)) for arg in value["args"]]
        return value["__class__"], [re.sub(r"localhost:\d+", "localhost", arg) for arg in args]
    return repr(value)


def test_the_gateway_gives_the_types_of_the_card(page):
    shown = page.request("GET", "/pyro/http.typed/typed?number=5&count=2").json
    assert shown.startswith("(5.0, 2, ")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Referer": "http://evil.example/"},
        {"Sec-Fetch-Site": "cross-site"},
        {"User-Agent": "Mozilla/5.0"},
    ],
)
def test_no_other_site_calls_through_the_gateway(page, headers):
    for method in ("GET", "POST"):
        answer = page.request(method, "/pyro/http.typed/show?value=1", headers=headers)
        assert (answer.status, answer.json["type"]) == (403, "urn:ferrolab:foreign-origin")


def test_the_gateways_page_lists_the_services(page):
    index = page.request("GET", "/pyro/")
    assert b"/pyro/http.typed/$meta" in index.body and index.headers["Content-Type"].startswith("text/html")


def test_a_public_page_only_shows(lab):
    lab.config(CONFIGURATION.replace("web: {port: 0}", "web: {host: public, port: 0}"), ns_port=free_port(), more=MORE)
    lab.up()
    row = lab.wait_for_status("processes", "web", "running")
    page = Page(re.sub(r"//[^:/]+:", "//localhost:", row["uri"]))
    wait_for(lambda: page.get("/api/lab")["services"], NEVER, "the lab")
    seen = page.get("/api/lab")
    assert seen["readonly"] and "only shows" in seen["readonly_reason"]
    refused = page.call("lab.supply", "on")
    assert (refused.status, refused.json["type"]) == (403, "urn:ferrolab:read-only")
    assert page.request("GET", "/pyro/lab.supply/on").json["type"] == "urn:ferrolab:read-only"
