"""What the page says in words: times as viewers read them, the worst first, and what is wrong with what was typed."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

from tests.e2e.test_page import open_server
from tests.e2e.test_page_manage import PASSWORD, accounts, field  # noqa: F401

CARDS = "/api/dashboard?view=cards"
SAID = "No sign of life since 2026-01-02T03:04:05Z"
TROUBLE = {"version": "1", "errors": {"services": "No service manager that the agent knows runs here."}}


def test_moments_in_the_hubs_words_are_in_the_viewers_zone(browser, hub):
    hub.register("elsewhere").send({"cpu_percent": 99.0})
    context = browser.new_context(base_url=hub.url, timezone_id="America/New_York")
    page = context.new_page()

    def silent(route):
        answer = route.fetch()
        if answer.status == 304:
            return route.fulfill(response=answer)
        own = {"server_id": None, "severity": "warning", "message": SAID, "timestamp": "2026-01-02T03:04:05Z"}
        return route.fulfill(response=answer, json=dict(answer.json(), alerts=[own]))

    page.route("**" + CARDS, silent)
    page.goto("/")
    words = page.locator(".trouble-words").first
    words.filter(has_text="No sign of life since 1 Jan 22:04").wait_for()
    assert words.get_attribute("title") == SAID
    page.keyboard.press("u")
    words.filter(has_text="No sign of life since 2 Jan 03:04").wait_for()
    context.close()


@pytest.mark.parametrize("name", ["db-%d", "database-primary-%d", "warehouse-database-replica-%d.north.example.com"])
def test_what_is_wrong_is_told_in_whole_sentences(page, hub, name):
    busy = [hub.register(name % number) for number in (1, 2, 3)]
    for server in busy:
        server.send({"cpu_percent": 99.0, "memory_percent": 99.0})

    answer = hub.get(CARDS).json
    answer["alerts"].append({"server_id": None, "severity": "warning", "timestamp": "2026-01-02T03:04:05Z",
                             "message": "The disk of the hub is nearly full: 2.1 GiB are free, and it needs 3 GiB."})
    page.route("**" + CARDS, lambda route: route.fulfill(json=answer))
    page.goto("/")
    sentences = page.locator(".trouble-words")
    sentences.nth(3).wait_for()
    assert sentences.last.inner_text().endswith("(threshold: 90%), and 1 more alert")
    for width in (1400, 1280, 1000, 768, 620, 360):
        page.set_viewport_size({"width": width, "height": 800})
        cut = "(all) => all.filter((each) => each.scrollHeight > each.clientHeight).map((each) => each.textContent)"
        assert (width, sentences.evaluate_all(cut)) == (width, [])
    for server in busy:
        assert hub.delete("/api/dashboard/server/" + server.id).status == 200


def test_what_happened_to_an_alert_is_told_in_the_viewers_zone(browser, hub):
    hub.register("eventful").send({"cpu_percent": 99.0})
    context = browser.new_context(base_url=hub.url, timezone_id="America/New_York")
    page = context.new_page()

    def eventful(route):
        answer = route.fetch()
        event = {"at": "2026-01-02T03:04:05Z", "event": "opened", "severity": "warning", "message": SAID, "who": None}
        route.fulfill(response=answer, json={"alert": dict(answer.json()["alert"], events=[event] * 2)})

    page.route("**/api/dashboard/alerts/*", eventful)
    page.goto("/alerts?q=eventful")
    page.get_by_text("Why", exact=True).click()
    told = page.locator(".why li").first
    told.filter(has_text="opened (warning) – No sign of life since 1 Jan 22:04").wait_for()
    assert told.locator("span").get_attribute("title") == SAID
    context.close()


def test_a_name_keeps_the_joiners_that_its_script_or_emoji_needs(page, hub):
    name = "dev \U0001f469\u200d\U0001f4bb"
    page.goto("/servers/" + hub.register("joined", display_name=name).id)
    page.get_by_role("heading", level=1, name=name).wait_for()


def test_a_server_tells_its_worst_alert_first(page, hub):
    server = hub.register("sick")
    server.send({"cpu_percent": 99.5, "memory_percent": 91.0})
    open_server(page, server)
    lines = page.get_by_role("list", name="Open alerts").locator("li")
    assert [line.get_attribute("data-kind") for line in lines.all()] == ["critical", "warning"]


def test_an_agents_trouble_is_told_once(page, hub):
    server = hub.register("troubled")
    server.send({"memory_percent": 91.0}, agent=TROUBLE)
    open_server(page, server)
    page.get_by_text("services: No service manager").wait_for()
    lines = page.get_by_role("list", name="Open alerts").locator("li")
    assert [line.locator(".alert-message").inner_text().split(" at ")[0] for line in lines.all()] == ["Memory usage"]
    page.goto("/servers/%s/alerts" % server.id)
    page.get_by_text("Agent: services: No service manager").wait_for()
    server.send({"memory_percent": 91.0}, agent=dict(TROUBLE, errors={}))
    open_server(page, server)  # the agent says no more, the alert waits for a second good sample
    lines.filter(has_text="Agent: services: No service manager").wait_for()
    assert page.get_by_text("The agent reports:").count() == 0


def test_what_informs_is_no_warning(page, hub):
    server = hub.register("told")
    server.send({"cpu_percent": 91.0})

    def informing(route):
        answer = route.fetch()
        body = answer.json()
        body["alerts"][0]["severity"] = "info"
        route.fulfill(response=answer, json=body)

    page.route("**/api/dashboard/server/%s?*" % server.id, informing)
    open_server(page, server)
    line = page.get_by_role("list", name="Open alerts").locator("li")
    assert (line.locator(".badge").inner_text(), line.get_attribute("data-kind")) == ("Info", "online")


@pytest.mark.parametrize("place, panels", [
    ("", ["processes", "disks", "services"]), ("/processes", ["processes"]), ("/services", ["services"])])
def test_what_a_silent_server_said_last_is_dimmed_and_says_of_when_it_is(page, hub, place, panels):
    server = hub.register("hushed", hostname="hushed")
    server.send(processes=[{"pid": 7, "name": "job", "cpu_percent": 5.0, "memory_percent": 1.0}],
                services=[{"service_name": "ssh", "display_name": "ssh", "status": "running"}])
    page.goto("/servers/" + server.id + place)
    page.locator("time[data-age]:visible").first.wait_for()
    assert page.locator(".as-of:visible").count() == 0

    def silent(route):
        answer = route.fetch(headers={name: value for name, value in route.request.headers.items()
                                      if name != "if-none-match"})
        body = answer.json()
        body["server"]["status"] = "offline"
        body["metrics"]["timestamp"] = "2026-01-02T03:04:05Z"
        route.fulfill(response=answer, json=body)

    page.route("**/api/dashboard/server/%s?*" % server.id, silent)
    page.get_by_role("button", name="Refresh now").click()
    for name in panels:
        panel = page.locator(".panel-" + name)
        said = panel.locator(".as-of")
        said.filter(has_text=re.compile(r"^As of 2 Jan \d\d:\d\d, the server's last sample$")).wait_for()
        assert said.locator("time").get_attribute("datetime") == "2026-01-02T03:04:05Z"
        assert panel.locator(".as-of ~ :is(.scroller, .disks)").evaluate(
            "(el) => getComputedStyle(el).filter") == "saturate(0.3)"


PROXY_PAGE = {"status": 502, "content_type": "text/html", "body": "<h1>Bad Gateway</h1>"}
DISK_FULL = {"status": 503, "json": {"error": "The hub's disk is full.", "code": "unavailable"}}
NO_JSON = {"status": 200, "content_type": "text/html", "body": "<h1>Welcome</h1>"}
INTERNAL = {"status": 500, "json": {"error": "Internal error.", "code": "internal"}}
TOO_MANY = {"status": 429, "json": {"error": "More than 120 requests in a minute.", "code": "rate_limited"}}


@pytest.mark.parametrize("answer, title, reason", [
    (PROXY_PAGE, "Hub unreachable", "The hub answered 502."),
    (DISK_FULL, "The hub has a problem", "The hub's disk is full."),
    (NO_JSON, "The hub has a problem", "The hub's answer was cut short or is not JSON."),
    (INTERNAL, "The hub has a problem", "Internal error."),
    (TOO_MANY, "The hub asks to wait", "More than 120 requests in a minute.")])
def test_a_hub_that_answers_is_not_called_unreachable(page, hub, allowed_faults, answer, title, reason):
    allowed_faults.append("Failed to load resource")
    page.goto("/")
    page.wait_for_function("() => document.getElementById('age').textContent.startsWith('Updated')")
    page.route("**/api/**", lambda route: route.fulfill(**answer))
    page.get_by_role("button", name="Refresh now").click()
    banner = page.locator("#banner-words")
    banner.filter(has_text=title).wait_for()
    assert re.match(r"%s since \d\d:\d\d \(%s\) – showing data from " % (title, re.escape(reason)),
                    banner.inner_text())
    assert page.locator("#age").inner_text() == title
    assert re.match(r"retrying in \d+ s", page.locator("#banner-retry").inner_text())


def test_a_help_text_names_a_setting_by_its_label(page, hub):
    page.goto("/settings")
    box = field(page, "rollup_retention_days")
    box.get_by_text("never fewer than “Data retention days”.").wait_for()
    assert field(page, "data_retention_days").locator("label").inner_text() == "Data retention days"
    texts = page.locator(".field-help").all_inner_texts()
    assert len(texts) > 20 and [text for text in texts if re.search("[a-z]_[a-z]", text)] == []


def test_figures_that_are_old_are_said_to_be_although_the_server_reports(page, hub):
    taken = datetime.now(timezone.utc) - timedelta(hours=3)
    server = hub.register("behind")
    server.send(collected_at=taken.strftime("%Y-%m-%dT%H:%M:%SZ"))
    open_server(page, server)
    page.get_by_text("its newest sample was taken 3 h ago").wait_for()
    server.send()
    page.get_by_role("button", name="Refresh now").click()
    page.get_by_text("its newest sample was taken").wait_for(state="hidden")


def test_a_refusal_names_the_field_by_its_label(page, hub, allowed_faults):
    allowed_faults.append("400")
    page.goto("/servers/%s/settings" % hub.register("labelled").id)
    box = field(page, "alert_cpu_threshold")
    box.locator("input").fill("many")
    page.get_by_role("button", name="Save").first.click()
    problem = box.locator(".problem")
    problem.filter(has_text="must be").wait_for()
    assert problem.inner_text().startswith(box.locator("label").inner_text() + " must be")


def test_after_a_wrong_password_the_password_is_typed_next(page, accounts, allowed_faults):  # noqa: F811
    allowed_faults.append("401")
    page.context.clear_cookies()
    page.goto(accounts.url + "/login")
    page.wait_for_function("() => document.activeElement.name === 'username'")
    page.keyboard.type("ada")
    page.get_by_label("Password").fill("not " + PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").filter(has_text="password").wait_for()
    assert page.get_by_label("Name").input_value() == "ada"
    assert page.evaluate("() => document.activeElement.name") == "password"
