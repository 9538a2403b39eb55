"""Logins in a real browser: what a visitor may, and what a user may."""

import re

import pytest
from conftest import serious_findings
from harness import free_port, new_lab
from harness.web import LAB_WITH_USERS, user_token


def test_a_visitor_logs_in_with_a_token(tab):
    with new_lab() as lab:
        lab.ns_port = free_port()
        lab.config(LAB_WITH_USERS, ns_port=lab.ns_port)
        lab.up()
        token = user_token(lab, "ada")
        tab.goto(lab.wait_for_status("processes", "web", "running")["uri"])
        tab.get_by_role("link", name="lab.supply", exact=True).click()
        line = tab.locator(".member", has=tab.locator(".title code", has_text=re.compile("^voltage$")))

        def set_to(volts):
            line.get_by_label("New value of voltage").fill(volts)
            line.get_by_role("button", name="Set").click()

        set_to("2")
        line.locator("[role=alert]", has_text="operate").wait_for()
        tab.get_by_role("button", name="Log in").click()
        dialog = tab.get_by_role("dialog")
        for entered in ("a guess", token):
            dialog.get_by_label("Token").fill(entered)
            dialog.get_by_role("button", name="Log in").click()
            if entered != token:
                dialog.locator("[role=alert]").wait_for()
        tab.locator(".user", has_text="ada").wait_for()
        set_to("2")
        line.get_by_text("set", exact=True).wait_for()
        tab.get_by_role("button", name="Log out").click()
        tab.get_by_role("button", name="Log in").wait_for()
        set_to("3")
        line.locator("[role=alert]", has_text="operate").wait_for()


def test_a_link_logs_a_browser_in_once(tab):
    with new_lab() as lab:
        lab.ns_port = free_port()
        lab.config(LAB_WITH_USERS, ns_port=lab.ns_port)
        lab.up()
        lab.wait_for_status("processes", "web", "running")
        link = lab.run("user", "add", "ada", "--link").stdout.strip()
        code = link.rpartition("/")[2]
        seen = []
        tab.on("request", lambda sent: seen.append(sent.url + str(sent.headers)))
        tab.goto(link)
        tab.locator(".user", has_text="ada").wait_for()
        assert code not in tab.url
        assert not [request for request in seen if code in request]
        tab.get_by_role("button", name="Log out").click()
        tab.get_by_role("button", name="Log in").wait_for()
        tab.goto("about:blank")
        tab.goto(link)
        tab.locator(".banner[role=alert]", has_text="used already").wait_for()
        tab.get_by_role("button", name="Close").click()
        tab.get_by_role("link", name="lab.supply", exact=True).wait_for()
        tab.evaluate("link => { location.hash = link.split('#')[1] }", lab.run("user", "add", "ada", "--link").stdout.strip())
        tab.locator(".user", has_text="ada").wait_for()


def test_a_page_with_https(chromium):
    with new_lab() as lab:
        lab.ns_port = free_port()
        lab.config(LAB_WITH_USERS.replace("web: {port: 0}", "web: {port: 0, ssl: true}"), ns_port=lab.ns_port)
        lab.up()
        uri = lab.wait_for_status("processes", "web", "running")["uri"]
        stranger = chromium.new_page()
        with pytest.raises(Exception, match="ERR_CERT_AUTHORITY_INVALID"):
            stranger.goto(uri, timeout=0)
        stranger.close()
        context = chromium.new_context(ignore_https_errors=True)
        context.set_default_timeout(0)
        tab = context.new_page()
        tab.goto(uri.replace("https", "http"))
        assert tab.url.startswith(uri), "HTTP is sent on"
        tab.goto("about:blank")
        tab.goto(lab.run("user", "add", "ada", "--link").stdout.strip())
        tab.locator(".user", has_text="ada").wait_for()
        tab.wait_for_selector(".connection.good")
        cookies = context.cookies()
        assert cookies and all(cookie["secure"] and cookie["httpOnly"] for cookie in cookies)
        context.close()


def test_a_page_that_other_hosts_reach_only_shows_and_says_so(tab):
    with new_lab() as lab:
        lab.ns_port = free_port()
        public = LAB_WITH_USERS.split("access:")[0] + "web: {host: public, port: 0}\n"
        lab.config(public, ns_port=lab.ns_port)
        lab.up()
        tab.goto(lab.wait_for_status("processes", "web", "running")["uri"])
        tab.locator(".banner", has_text="only shows until a user has logged in").wait_for()
        tab.get_by_role("link", name="lab.supply", exact=True).click()
        tab.wait_for_selector(".member")
        for button in ("Set", "Call", "Take the lock"):
            assert tab.get_by_role("button", name=button, exact=True).first.is_disabled(), button
        assert serious_findings(tab) == []
