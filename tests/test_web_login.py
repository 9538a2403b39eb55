"""Logins of browsers with users' tokens, and the roles that they have then."""

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
