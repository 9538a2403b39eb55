"""The page with HTTPS: certificates, cookies, and what HTTP on its port is told."""

import json
import ssl

import pytest
from harness import NEVER, free_port, wait_for
from harness.web import LAB_WITH_USERS, Page

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
