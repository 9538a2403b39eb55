"""The page with HTTPS: certificates, cookies, and what HTTP on its port is told."""

import contextlib
import json
import ssl
import subprocess

import pytest
from harness import NEVER, free_port, wait_for
from harness.netns import network
from harness.web import LAB_WITH_USERS, Page, user_token

VOLTAGE = "/api/services/lab.supply/members/voltage"


def set_up(lab, keys="ssl: true"):
    lab.ns_port = free_port()
    lab.config(LAB_WITH_USERS.replace("web: {port: 0}", f"web: {{port: 0, {keys}}}"), ns_port=lab.ns_port)
    lab.up()
    uri = lab.wait_for_status("processes", "web", "running")["uri"]
    authority = json.loads(lab.run("cert", "show", "--json").stdout)["authority"]["file"]
    return uri, authority


def test_a_browser_talks_to_the_page_with_the_certificate_of_the_lab(lab):
    uri, authority = set_up(lab)
    assert uri.startswith("https://localhost:")
    page = Page(uri, authority)
    assert wait_for(lambda: page.get("/api/lab")["services"][0]["state"] == "running", NEVER, "the lab")
    cookie = page.request("GET", "/api/session", headers={"Cookie": "a=b"}).headers["Set-Cookie"]
    assert cookie.startswith(f"__Host-ferrolab-{page.port}=") and cookie.endswith("; Secure")
    with page.stream() as stream:
        stream.wait_for_tick()
    stranger = Page(uri)
    stranger.tls = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.request("GET", "/")
    code = json.loads(lab.run("user", "add", "ada", "--link", "--json").stdout)["link"]
    assert code.startswith(uri)
    assert page.change("POST", "/api/login", {"code": code.rpartition("/")[2]}).status == 200
    assert page.change("PUT", VOLTAGE, {"value": 2}).status == 204
    assert page.change("POST", "/api/services/lab.supply/lock", {}).status == 200
    wait_for(lambda: page.service("lab.supply")["lock"]["owner"]["user"] == "ada", NEVER, "the lock", TypeError)


def test_http_on_the_port_of_https_is_told_in_words(lab):
    uri, _ = set_up(lab)
    plain = Page(uri)
    there = plain.request("GET", "/")
    assert (there.status, there.headers["Location"]) == (308, uri)
    api = plain.request("GET", "/api/lab")
    assert (api.status, api.json["type"]) == (400, "urn:ferrolab:https-only") and uri in api.json["detail"]
    assert "Set-Cookie" not in api.headers
    foreign = plain.request("GET", "/", headers={"Host": "evil.example"})
    assert foreign.status == 400 and "Location" not in foreign.headers


def test_both_on_one_port(lab):
    uri, authority = set_up(lab, "ssl: offered")
    plain, page = Page(uri), Page(uri, authority)
    assert plain.get("/api/session")["user"] == page.get("/api/session")["user"] == "page"
    assert "Secure" not in plain.request("GET", "/api/session", headers={"Cookie": "a=b"}).headers["Set-Cookie"]
    assert plain.cookie.split("=")[0] != page.cookie.split("=")[0]


def test_browsers_that_must_show_a_certificate(lab):
    uri, authority = set_up(lab, "ssl: true, ssl_requireclientcert: true")
    page = Page(uri, authority)
    refused = page.request("GET", "/api/lab")
    assert (refused.status, refused.json["type"]) == (403, "urn:ferrolab:no-certificate")
    assert "ferrolab cert client" in refused.json["detail"]
    folder = lab.folder / "ada"
    lab.run("cert", "client", "ada", "--out", folder)
    page.tls.load_cert_chain(folder / "ada.pem", folder / "ada.key")
    assert page.get("/api/lab")["supervisor"]["up"]


@pytest.mark.parametrize(
    ("keys", "status", "words"),
    [
        ("ssl: true, ssl_servercert: none.pem", 0, ["web.ssl_servercert", "none.pem", "no such file"]),
        ("ssl_servercert: none.pem", 1, ["web.ssl_servercert", "does nothing without `ssl`"]),
        ("ssl: offered, ssl_requireclientcert: true", 1, ["web.ssl_requireclientcert", "lets them in"]),
        ("https: true", 1, ["https", "ssl"]),
    ],
)
def test_the_keys_are_checked_as_those_of_daemons(lab, keys, status, words):
    text = LAB_WITH_USERS.replace("web: {port: 0}", f"web: {{port: 0, {keys}}}")
    said = lab.config(text, ns_port=free_port(), check=False)
    assert said.returncode == status and all(word in said.text for word in words), said.text


@contextlib.contextmanager
def in_a_namespace(_):
    """Another host: how a program runs there, the address of the lab's host, and its own."""
    with network() as net:
        yield net.prefix, net.here, net.there


@contextlib.contextmanager
def at_another_address(uri):
    """This host, under an address that is not the one it asks."""
    public = uri().partition("//")[2].rpartition(":")[0]
    yield [], "127.0.0.1", public


class Elsewhere:
    """A program on another host that speaks HTTP; it keeps cookies."""

    def __init__(self, lab, place, authority):
        self.prefix, self.host, self.address = place
        self.jar = str(lab.folder / "jar")
        self.options = ["--cacert", authority, "-b", self.jar, "-c", self.jar, "-H", "X-Ferrolab: 1"]
        if not self.prefix:
            self.options += ["--interface", self.address]
        self.port = lab.wait_for_status("processes", "web", "running")["uri"].rpartition(":")[2].strip("/")

    def ask(self, method, path, content=None, scheme="https"):
        """The status and the JSON of an answer."""
        body = [] if content is None else ["-d", json.dumps(content)]
        url = f"{scheme}://{self.host}:{self.port}{path}"
        words = [*self.prefix, "curl", "-sS", "-w", "\n%{http_code}", "-X", method, *self.options, *body, url]
        done = subprocess.run(words, capture_output=True, encoding="utf-8", timeout=NEVER)
        assert done.returncode == 0, done.stderr
        answer, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(answer or "null")


@pytest.mark.parametrize("place", [in_a_namespace, at_another_address], ids=lambda place: place.__name__)
def test_a_user_of_another_host_logs_in_over_tls_and_has_no_right_of_this_one(lab, place):
    text = LAB_WITH_USERS.replace("localhost: view", "localhost: operate\n  network: none")
    text = text.replace("users: [ada]", "users: [ada, grace]").replace("grants: [", "grants: [{who: grace, what: lab.supply, role: view}, ")
    text = text.replace("web: {port: 0}", "web: {host: public, port: 0, ssl: offered}")
    lab.ns_port = free_port()
    uri = lambda: lab.wait_for_status("processes", "web", "running")["uri"]
    with contextlib.ExitStack() as stack:
        # The certificate is for the addresses that the host has when the page starts.
        where = stack.enter_context(place(uri)) if place is in_a_namespace else None
        lab.config(text, ns_port=lab.ns_port)
        lab.up()
        where = where or stack.enter_context(place(uri))
        authority = json.loads(lab.run("cert", "show", "--json").stdout)["authority"]["file"]
        there = Elsewhere(lab, where, authority)
        status, seen = there.ask("GET", "/api/lab")
        assert status == 200 and seen["services"] == [] and seen["hidden"], "without a login"
        assert there.ask("PUT", VOLTAGE, {"value": 1})[0] == 403
        tokens = {user: user_token(lab, user) for user in ("ada", "grace")}
        status, refused = there.ask("POST", "/api/login", {"token": tokens["ada"]}, scheme="http")
        assert (status, refused["type"]) == (403, "urn:ferrolab:plain-connection")
        assert there.ask("POST", "/api/login", {"token": "a guess"})[0] == 401
        assert there.ask("POST", "/api/login", {"token": tokens["grace"]}) == (200, {"user": "grace"})
        assert [row["name"] for row in there.ask("GET", "/api/lab")[1]["services"]] == ["lab.supply"]
        status, refused = there.ask("PUT", VOLTAGE, {"value": 1})
        assert status == 403 and "grace" in refused["detail"], "localhost may, but she is not there"
        code = json.loads(lab.run("user", "rotate", "ada", "--link", "--json").stdout)["link"].rpartition("/")[2]
        assert there.ask("POST", "/api/login", {"code": code}) == (200, {"user": "ada"})
        assert there.ask("PUT", VOLTAGE, {"value": 2}) == (204, None)
        with open(there.jar) as jar:
            assert f"__Host-ferrolab-{there.port}" in jar.read()
        lines = lambda: json.loads(lab.run("audit", "--json").stdout)
        logins = lambda: {line["who"] for line in lines() if line["action"] == "login" and there.address in line["from"]}
        wait_for(lambda: {"ada", "grace", f"anonymous@{there.address}"} <= logins(), NEVER, "the logins in the audit log")
        lab.run("user", "remove", "ada")
        out = lambda: there.ask("PUT", VOLTAGE, {"value": 3})[0] == 403
        wait_for(out, NEVER, "a removed user is out")
