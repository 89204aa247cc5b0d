"""The alert rules of groups on the page, what would have fired, and an acknowledgement for a while."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.e2e.test_page import iso
from tests.e2e.test_page_manage import accounts, field, log_in  # noqa: F401

RULES = "/api/dashboard/rules"


@pytest.fixture
def shop(fresh_hub):
    """A server of a group with half an hour at 70 percent CPU, and one of another group that is calm."""
    server, other = fresh_hub.register("till", group_name="Shop"), fresh_hub.register("desk", group_name="Office")
    now = datetime.now(timezone.utc)
    for ago in (30, 20, 10):
        server.send({"cpu_percent": 70.0}, collected_at=iso(now - timedelta(minutes=ago)))
    server.send()
    other.send()
    return fresh_hub


def own(hub):
    return hub.get(RULES).json["rules"]


def fill(page, key: str, value: str) -> None:
    field(page, key).locator("input").fill(value)


def test_a_group_gets_rules_of_its_own_that_are_changed_and_removed(page, shop):
    page.goto(shop.url + "/settings/rules")
    page.get_by_text("No group has rules of its own.").wait_for()
    page.get_by_label("Group", exact=True).select_option("Shop")
    fill(page, "alert_cpu_threshold", "60")
    fill(page, "alert_for_minutes", "10")
    page.get_by_role("button", name="Save the group's rules").click()
    row = page.get_by_role("row", name="Shop")
    row.wait_for()
    assert own(shop) == {"Shop": {"alert_cpu_threshold": 60.0, "alert_for_minutes": 10}}
    assert "CPU threshold 60" in row.inner_text() and "For minutes 10" in row.inner_text()

    page.get_by_label("Group", exact=True).select_option("Office")
    row.get_by_role("button", name="Change").click()
    assert field(page, "alert_cpu_threshold").locator("input").input_value() == "60"
    fill(page, "alert_for_minutes", "")
    page.get_by_role("button", name="Save the group's rules").click()
    page.wait_for_function("() => !document.querySelector('.listing tbody').textContent.includes('minutes')")
    assert own(shop) == {"Shop": {"alert_cpu_threshold": 60.0}}

    row.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("No group has rules of its own.").wait_for()
    assert own(shop) == {}


def test_an_empty_field_says_what_it_follows(page, shop):
    page.goto(shop.url + "/settings/rules")
    page.wait_for_selector("[data-field=alert_critical_percent]")
    assert field(page, "alert_critical_percent").locator("input").get_attribute("placeholder") == "95"


def test_a_wrong_rule_is_said_at_its_field_and_not_saved(page, shop, allowed_faults):
    allowed_faults.append("400")
    page.goto(shop.url + "/settings/rules")
    page.wait_for_selector("[data-field=alert_cpu_threshold]")
    fill(page, "alert_cpu_threshold", "101")
    page.get_by_role("button", name="Save the group's rules").click()
    page.wait_for_selector("[data-field=alert_cpu_threshold] [aria-invalid=true]")
    assert "100" in field(page, "alert_cpu_threshold").locator(".problem").inner_text() and own(shop) == {}


def test_a_viewer_may_look_back_but_not_change(page, accounts, allowed_faults):  # noqa: F811
    allowed_faults.append("401")
    page.goto(accounts.url + "/login?next=/settings/rules")
    log_in(page, "eve")
    page.get_by_role("button", name="Look back").click()
    page.get_by_text("1 alert on 1 server").wait_for()
    assert page.get_by_role("button", name="Save the group's rules").count() == 0


def test_looking_back_tells_what_another_threshold_would_have_told(page, shop):
    page.goto(shop.url + "/settings/rules")
    page.get_by_role("button", name="Look back").click()
    page.get_by_text("No alert since").wait_for()
    fill(page, "threshold", "65")
    page.get_by_role("button", name="Look back").click()
    page.get_by_text("1 alert on 1 server since").wait_for()
    assert "of 2 servers" in page.get_by_text("1 alert on 1 server").inner_text()
    page.get_by_role("link", name="till").wait_for()
    page.locator("[data-field=group] select").select_option("Office")
    page.get_by_role("button", name="Look back").click()
    page.get_by_text("of 1 server.").wait_for()
    assert page.get_by_role("link", name="till").count() == 0
    assert own(shop) == {}


def test_an_alert_is_acknowledged_for_a_while(page, fresh_hub):
    fresh_hub.register("web-1").send({"cpu_percent": 92.0})
    page.goto(fresh_hub.url + "/alerts")
    page.get_by_role("button", name="Acknowledge: CPU usage").click()
    page.get_by_role("dialog").get_by_label("Quiet").select_option("8")
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").click()
    page.get_by_text("Nothing is wrong that nobody has seen.").wait_for()
    [alert] = fresh_hub.get("/api/dashboard/alerts?state=open").json["alerts"]
    until = datetime.strptime(alert["acknowledged_until"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    assert abs(until - datetime.now(timezone.utc) - timedelta(hours=8)) < timedelta(minutes=2)
    page.goto(fresh_hub.url + "/alerts?state=open")
    page.get_by_text(", until ").wait_for()
