"""Logins of browsers with users' tokens, and the roles that they have then."""

import contextlib
import json

import pytest
from harness import NEVER, free_port, wait_for
from harness.web import LAB_WITH_USERS, Page, user_token

VOLTAGE = "/api/services/lab.supply/members/voltage"


@pytest.fixture
def lab_with_users(lab):
    lab.ns_port = free_port()
    lab.config(LAB_WITH_USERS, ns_port=lab.ns_port)
    lab.up()
    return lab


def set_voltage(page, volts):
    return page.change("PUT", VOLTAGE, {"value": volts})


def log_in(page, token):
    return page.change("POST", "/api/login", {"token": token})


def test_a_browser_has_the_role_of_its_user_until_that_is_removed(lab_with_users):
    lab = lab_with_users
    page, other = Page.of(lab), Page.of(lab)
    refused = wait_for(lambda: set_voltage(page, 1), NEVER, "an answer")
    assert (refused.status, refused.json["type"]) == (403, "urn:ferrolab:forbidden")
    assert log_in(page, "swordfish").status == 404, "a lab without users"
    token = user_token(lab, "ada")
    assert log_in(page, "swordfish").status == 401
    before = page.cookie
    assert log_in(page, token).json == {"user": "ada"}
    assert page.cookie != before, "the cookie before the login is worth nothing"
    assert page.get("/api/session")["user"] == "ada"
    assert set_voltage(page, 2).status == 204
    assert set_voltage(other, 3).status == 403
    assert page.change("POST", "/api/services/lab.supply/lock", {}).json["user"] == "ada"
    locked = lambda: page.service("lab.supply")["lock"]["owner"]
    assert wait_for(locked, NEVER, "the lock")["user"] == "ada"
    lab.run("user", "remove", "ada")
    wait_for(lambda: page.get("/api/session")["user"] != "ada", NEVER, "the end of the session")
    assert set_voltage(page, 4).status == 403
    assert page.get(VOLTAGE) == {"value": 2.0}


def test_a_logout_gives_the_locks_back(lab_with_users):
    page = Page.of(lab_with_users)
    token = user_token(lab_with_users, "ada")
    log_in(page, token)
    assert page.change("POST", "/api/services/lab.supply/lock", {}).status == 200
    assert page.change("POST", "/api/logout", {}).status == 204
    wait_for(lambda: page.service("lab.supply")["lock"]["owner"] is None, NEVER, "the lock is free")
    assert set_voltage(page, 1).status == 403


def link_code(lab, *words):
    """The code of a new link for ada, and the link."""
    link = json.loads(lab.run("user", *(words or ("add", "ada")), "--link", "--json").stdout)["link"]
    return link.rpartition("#/login/")[2], link


def content(path):
    """The bytes of a file; none where it is something else, or has just been replaced."""
    with contextlib.suppress(OSError):
        return path.read_bytes() if path.is_file() else b""
    return b""


def by_link(page, code):
    return page.change("POST", "/api/login", {"code": code})


def test_a_link_logs_one_browser_in_and_is_in_no_log(lab_with_users):
    lab = lab_with_users
    page, thief = Page.of(lab), Page.of(lab)
    code, link = link_code(lab)
    assert link == f"http://localhost:{page.port}/#/login/{code}"
    before = page.cookie
    assert by_link(thief, code[::-1]).status == 401
    assert by_link(page, code).json == {"user": "ada"}
    assert page.cookie not in (None, before)
    again = by_link(thief, code)
    assert (again.status, again.json["type"]) == (401, "urn:ferrolab:not-logged-in")
    assert "used already" in again.json["detail"] and "--link" in again.json["detail"]
    assert set_voltage(page, 2).status == 204 and set_voltage(thief, 3).status == 403
    assert "no-referrer" == page.request("GET", "/").headers["Referrer-Policy"]
    assert not [file for file in lab.home.rglob("*") if code.encode() in content(file)]
    rows = json.loads(lab.run("user", "list", "--json").stdout)
    assert [login["browser"] for login in rows[0]["logins"]] == [True]
    assert page.change("POST", "/api/logout", {}).status == 204
    assert json.loads(lab.run("user", "list", "--json").stdout)[0]["logins"] == []
    assert set_voltage(page, 4).status == 403


def test_a_login_by_a_link_ends_with_the_user_and_with_the_page(lab_with_users):
    lab = lab_with_users
    page = Page.of(lab)
    assert by_link(page, link_code(lab)[0]).status == 200
    code, _ = link_code(lab, "rotate", "ada")
    wait_for(lambda: page.get("/api/session")["user"] != "ada", NEVER, "the end of the session")
    assert by_link(page, code).status == 200 and set_voltage(page, 1).status == 204
    lab.run("restart", "process", "web")
    Page.of(lab)
    assert json.loads(lab.run("user", "list", "--json").stdout)[0]["logins"] == []
    lab.run("stop", "process", "web")
    refused = lab.run("user", "add", "grace", "--link", check=False)
    assert refused.returncode == 1 and "no page runs" in refused.text
    assert [row["name"] for row in json.loads(lab.run("user", "list", "--json").stdout)] == ["ada"]
    lab.run("start", "process", "web")
    page = Page.of(lab)
    for wrong in ({}, {"code": 5}, {"code": "a", "token": "b"}):
        assert page.change("POST", "/api/login", wrong).status == 400
