"""What the page says in words: times as viewers read them, the worst first, and what is wrong with what was typed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from tests.e2e.test_page import open_server
from tests.e2e.test_page_manage import PASSWORD, accounts, field  # noqa: F401

CARDS = "/api/dashboard?view=cards"
SAID = "No sign of life since 2026-01-02T03:04:05Z"


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
