"""Fixtures for tests in a real browser: one Chromium a session, one context and page a test."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from tests.support import needs
from tests.support.browser import FLAGS

REPORT_CSP = """document.addEventListener('securitypolicyviolation',
    event => console.error('CSP ' + event.violatedDirective + ' refused ' + event.blockedURI));"""


@pytest.fixture(scope="session")
def browser():
    """Chromium of the system, driven by Playwright."""
    path = needs.program(*needs.CHROMIUM, why="the page is tested in a browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        needs.package("playwright is not installed: the page is tested through it.")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, chromium_sandbox=False, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def allowed_faults():
    """Patterns of faults that a test provokes on purpose: `allowed_faults.append("ERR_CONNECTION_REFUSED")`."""
    return []


@pytest.fixture
def context(browser, hub):
    """A browser without history, 1280 by 800, that knows the hub's address as its base."""
    opened = browser.new_context(base_url=hub.url, viewport={"width": 1280, "height": 800})
    opened.add_init_script(REPORT_CSP)
    yield opened
    opened.close()


@pytest.fixture
def page(context, allowed_faults):
    """A page that fails its test on an error in the console, an uncaught exception, a refusal by the content security
    policy, or a request to any origin but the one that the page came from."""
    faults = []
    opened = context.new_page()
    origins = set()

    def note_request(request):
        parts = urlsplit(request.url)
        if request.is_navigation_request() and request.frame == opened.main_frame:
            origins.add(parts.netloc)
        elif parts.scheme in ("http", "https", "ws", "wss") and parts.netloc not in origins:
            faults.append("request to %s" % request.url)

    opened.on("request", note_request)
    opened.on("console", lambda message: message.type == "error" and faults.append("console: %s" % message.text))
    opened.on("pageerror", lambda error: faults.append("exception: %s" % error))
    yield opened
    assert [fault for fault in faults if not any(re.search(known, fault) for known in allowed_faults)] == []
