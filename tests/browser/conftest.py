"""Fixtures of the browser tests: the system's chromium, driven by playwright.

`cargo xtask test --browser` names the interpreter of the environment that has playwright in
FERROLAB_TEST_BROWSER; its packages come last on the path, so that all others are the tests' own.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS)]
DRIVER = os.environ.get("FERROLAB_TEST_BROWSER")
if DRIVER:
    sys.path += map(str, Path(DRIVER).parent.parent.glob("lib/python*/site-packages"))

# Of the browser alone: it talks to nobody but the page.
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
PICTURES = TESTS.parent / "target" / "pictures"


def serious_findings(page):
    """The serious findings of axe-core in a view: rules, with some elements each."""
    from axe_playwright_python.sync_playwright import Axe

    found = [one for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    return [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found]


@pytest.fixture(scope="session")
def chromium():
    if not DRIVER:
        pytest.skip("FERROLAB_TEST_BROWSER is not set: run `cargo xtask test --browser`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium, request):
    """A tab of a new browser profile. Script errors and requests to other hosts fail the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(0)
    tab = context.new_page()
    tab.errors, tab.hosts = [], set()
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.on("dialog", lambda dialog: (tab.errors.append(f"dialog {dialog.message}"), dialog.dismiss()))
    tab.on("request", lambda sent: tab.hosts.add(sent.url.split("/")[2] if "//" in sent.url else ""))
    yield tab
    PICTURES.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=str(PICTURES / f"{request.node.name}.png"), timeout=60_000)
    context.close()
    assert tab.errors == []
    assert len(tab.hosts - {""}) <= 1, tab.hosts
