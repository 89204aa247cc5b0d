"""The table of settings, and what it lets through."""

from __future__ import annotations

import pytest

from smon_hub import settings
from smon_hub.errors import HubError
from smon_hub.settings import BY_KEY, DEFAULTS, SETTINGS

GOOD = [
    ("stale_threshold_minutes", 1, 1),
    ("stale_threshold_minutes", "1440", 1440),
    ("stale_threshold_minutes", " 20 ", 20),
    ("registration_mode", "closed", "closed"),
    ("alert_email_enabled", True, True),
    ("alert_email_enabled", "true", True),
    ("alert_email_enabled", "1", True),
    ("alert_email_enabled", "False", False),
    ("alert_email_to", "", ""),
    ("alert_email_to", "a@example.org", "a@example.org"),
    ("alert_email_to", " a@example.org ,b@example.org", "a@example.org ,b@example.org"),
    ("alert_email_smtp_host", "mail.example.org", "mail.example.org"),
    ("alert_email_smtp_host", "2001:db8::1", "2001:db8::1"),
]

BAD = [
    ("stale_threshold_minutes", 0, "stale_threshold_minutes must be a whole number from 1 to 1440."),
    ("stale_threshold_minutes", 1441, "stale_threshold_minutes must be a whole number from 1 to 1440."),
    ("stale_threshold_minutes", "", "stale_threshold_minutes must be a whole number from 1 to 1440."),
    ("stale_threshold_minutes", "1e2", "stale_threshold_minutes must be a whole number from 1 to 1440."),
    ("stale_threshold_minutes", 5.5, "stale_threshold_minutes must be a whole number from 1 to 1440."),
    ("stale_threshold_minutes", True, "stale_threshold_minutes must be a whole number from 1 to 1440."),
    ("stale_threshold_minutes", None, "stale_threshold_minutes must be a whole number from 1 to 1440."),
    ("stale_threshold_minutes", "9" * 5000, "stale_threshold_minutes must be a whole number from 1 to 1440."),
    ("stale_threshold_minutes", "\u0661\u0660", "stale_threshold_minutes must be a whole number from 1 to 1440."),
    ("registration_mode", "anyone", "registration_mode must be one of: "),
    ("alert_email_enabled", 1, "alert_email_enabled must be true or false."),
    ("alert_email_enabled", "maybe", "alert_email_enabled must be true or false."),
    ("alert_email_to", "a@b\r\nBcc: c@d", "alert_email_to must be a text"),
    ("alert_email_to", "nobody", "alert_email_to must be mail addresses separated by commas."),
    ("alert_email_to", "a@b, Name <c@d>", "alert_email_to must be mail addresses separated by commas."),
    ("alert_email_smtp_host", "mail example", "alert_email_smtp_host must be a host name or an address."),
    ("alert_email_smtp_host", ["mail"], "alert_email_smtp_host must be a text"),
    ("alert_email_smtp_port", 65536, "alert_email_smtp_port must be a whole number from 1 to 65535."),
]


@pytest.mark.parametrize("key, given, clean", GOOD)
def test_native_values_and_the_seeds_texts_are_taken(key, given, clean):
    assert settings.clean({key: given}) == {key: clean}


@pytest.mark.parametrize("key, given, sentence", BAD)
def test_a_wrong_value_is_refused_with_its_key_and_bounds(key, given, sentence):
    with pytest.raises(HubError) as refusal:
        settings.clean({key: given})
    assert refusal.value.sentence.startswith(sentence)
    assert (refusal.value.code, refusal.value.detail) == ("bad_request", {"field": key})


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.key)
def test_every_default_passes_its_own_check_natively_and_as_text(row):
    assert settings.check(row, row.default) == row.default
    assert settings.check(row, str(row.default)) == row.default


@pytest.mark.parametrize("row", [row for row in SETTINGS if row.kind is int], ids=lambda row: row.key)
def test_both_ends_of_a_range_are_in_it_and_their_neighbours_are_not(row):
    assert [settings.check(row, value) for value in (row.min, row.max)] == [row.min, row.max]
    for value in (row.min - 1, row.max + 1):
        with pytest.raises(HubError, match="%s must be a whole number from %d to %d" % (row.key, row.min, row.max)):
            settings.check(row, value)


def test_one_wrong_value_refuses_all():
    with pytest.raises(HubError, match="data_retention_days"):
        settings.clean({"stale_threshold_minutes": 20, "data_retention_days": 0})


def test_unknown_keys_are_ignored_beside_a_known_one():
    assert settings.clean({"theme": "dark", "stale_threshold_minutes": 20}) == {"stale_threshold_minutes": 20}


@pytest.mark.parametrize("body", [{}, {"theme": "dark"}, [], None, "text"])
def test_a_body_without_a_known_key_is_refused(body):
    with pytest.raises(HubError) as refusal:
        settings.clean(body)
    assert refusal.value.code == "bad_request"


def test_the_seeds_settings_are_there():
    assert {"alert_email_enabled", "alert_email_to", "alert_email_smtp_host", "alert_email_smtp_port",
            "stale_threshold_minutes", "data_retention_days", "dashboard_refresh_seconds"} <= set(BY_KEY)


def test_a_secret_is_answered_as_set_or_not_set(monkeypatch):
    row = BY_KEY["alert_email_smtp_host"]._replace(secret=True)
    monkeypatch.setitem(BY_KEY, row.key, row)
    assert settings.answer(dict(DEFAULTS, alert_email_smtp_host="hush"))[row.key] == "set"
    assert settings.answer(DEFAULTS)[row.key] == "not set"


def test_the_schema_tells_every_setting_with_its_type_bounds_and_sentence():
    rows = {row["key"]: row for row in settings.schema()}
    assert set(rows) == set(BY_KEY)
    assert rows["data_retention_days"] == {
        "key": "data_retention_days", "type": "int", "default": 30, "text": "Days to keep samples.",
        "group": "Retention", "min": 1, "max": 3650, "choices": [], "secret": False}


def test_a_password_is_taken_as_it_was_typed_and_other_texts_without_the_blanks_around_them():
    typed = settings.clean({"alert_email_smtp_password": " hush ", "alert_email_smtp_host": " mail.example ",
                            "dead_man_url": " https://watch.example/x "})
    assert typed == {"alert_email_smtp_password": " hush ", "alert_email_smtp_host": "mail.example",
                     "dead_man_url": "https://watch.example/x"}
