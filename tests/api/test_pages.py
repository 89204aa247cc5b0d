"""The page's shell and its files."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.hub.inside import STRANGER
from tests.support import ROOT

CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
       "form-action 'self'; base-uri 'none'; frame-ancestors 'none'")


def static_urls(hub):
    """Every address of a file that the shell names."""
    return re.findall(r'(?:href|src)="?(/static/[^">\s]+)', hub.get("/").text)


@pytest.mark.parametrize("path", ["/", "/servers/some-id", "/servers/some-id/performance", "/?group=a",
                                  "/compare?ids=a,b&m=cpu", "/alerts", "/alerts/maintenance", "/add", "/settings",
                                  "/settings/users"])
def test_every_page_is_the_same_shell(hub, path):
    answer = hub.get(path)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.body == hub.get("/").body
    assert answer.headers["cache-control"] == "no-store"


def test_the_shell_holds_no_data_and_no_inline_script(hub):
    hub.register("secret-name")
    shell = hub.get("/").text
    assert "secret-name" not in shell
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>|\son\w+=|\sstyle=|<style", shell)
    assert not re.search(r"https?://(?!www\.w3\.org/)", shell)


def test_a_stranger_gets_the_shell_too(hub_inside):
    assert hub_inside.ask("GET", "/", address=STRANGER).status == 200


def test_every_file_that_the_shell_names_is_there_for_ever(hub):
    urls = static_urls(hub)
    assert any(url.endswith(".css") for url in urls) and any(url.endswith(".js") for url in urls)
    for url in urls:
        answer = hub.get(url)
        assert answer.status == 200, url
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-security-policy"] == CSP


def test_a_file_comes_packed_and_plain_with_the_same_content(hub):
    url = next(url for url in static_urls(hub) if url.endswith(".css"))
    packed, plain = hub.get(url, {"Accept-Encoding": "gzip"}), hub.get(url)
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert packed.body == plain.body
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", [
    "/static/{version}/nothing.js", "/static/000000000000/app.js", "/static/{version}/../../smon_server.py",
    "/static/{version}/%2e%2e/%2e%2e/setup.cfg", "/static/{version}//etc/passwd", "/static/{version}/css/tokens.css",
    "/static/{version}/..%5c..%5csetup.cfg", "/static/{version}/app.js%00", "/static/{version}/APP.JS",
    "/static/{version}/", "/static/"])
def test_no_path_leads_anywhere_else(hub, path):
    version = static_urls(hub)[0].split("/")[2]
    answer = hub.get(path.replace("{version}", version))
    assert (answer.status, answer.json["code"]) == (404, "not_found")


def test_the_agent_is_served_as_it_is_with_its_sum(hub):
    agent = (ROOT / "smon_agent.py").read_bytes()
    assert hub.get("/agent/smon_agent.py").body == agent
    assert hub.get("/agent/smon_agent.py.sha256").text == "%s  smon_agent.py\n" % hashlib.sha256(agent).hexdigest()


def test_the_icon_is_where_browsers_look_for_it(hub):
    answer = hub.get("/favicon.ico")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")
