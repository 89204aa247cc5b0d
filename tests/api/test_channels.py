"""/api/dashboard/channels: what may be configured, what is shown, and whether it works."""

from __future__ import annotations

import json

import pytest

from smon_hub import notify
from smon_hub.store import outbox
from tests.hub.inside import HERE, START
from tests.support.receivers import HttpReceiver, Reply

PATH = "/api/dashboard/channels"
HOOK = {"kind": "webhook", "name": "Hook", "config": {"url": "https://hook.example/in", "secret": "hush-hush"}}
EVENT = {"event": "opened", "alert_id": 1, "rule": "cpu", "object": "", "severity": "critical", "server": None,
         "message": "CPU usage at 95.0% (threshold: 90%)", "since_at": START, "at": START}


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    monkeypatch.setattr(notify, "BEAT_SECONDS", 3_600)


@pytest.fixture
def ask(hub_inside):
    def ask(method, path="", body=None):
        return hub_inside.ask(method, PATH + path, body, address=HERE, host="localhost")
    return ask


def shown(ask, number):
    return next(row for row in ask("GET").json["channels"] if row["id"] == number)


def test_the_mail_of_the_settings_is_always_there(ask):
    mail = ask("GET").json["channels"][0]
    assert (mail["id"], mail["kind"], mail["enabled"], mail["severities"]) == (0, "email", False,
                                                                               ["warning", "critical"])
    assert mail["config"]["alert_email_smtp_password"] == "not set"


def test_every_kind_is_told_with_its_fields(ask):
    kinds = ask("GET").json["kinds"]
    assert set(kinds) == {"email", "webhook", "slack", "teams", "ntfy", "gotify", "pagerduty", "alertmanager", "syslog"}
    assert [(row["key"], row["required"], row["secret"]) for row in kinds["webhook"]["fields"]] == [
        ("url", True, True), ("secret", False, True), ("token", False, True)]


def test_a_channel_is_added_shown_without_its_secrets_and_removed(ask):
    added = ask("POST", body=dict(HOOK, severities=["critical"], groups=["Shop"], escalation=True))
    assert added.status == 201
    number = added.json["id"]
    assert shown(ask, number) == {
        "id": number, "kind": "webhook", "name": "Hook", "enabled": True, "severities": ["critical"],
        "groups": ["Shop"], "escalation": True, "config": {"url": "set", "secret": "set", "token": "not set"},
        "target": "https://hook.example", "last_delivery_at": None, "last_error": None, "last_error_at": None,
        "waiting": 0, "given_up": 0}
    assert ask("DELETE", "/%d" % number).status == 200
    assert [row["id"] for row in ask("GET").json["channels"]] == [0]


def test_a_change_touches_what_was_sent_and_leaves_the_secrets(hub_inside, ask):
    number = ask("POST", body=HOOK).json["id"]
    assert ask("PATCH", "/%d" % number, {"name": "New", "enabled": False, "config": {"token": "tkn"}}).status == 200
    assert hub_inside.rows("SELECT name, enabled, config FROM channels WHERE id = ?", number) == [
        ("New", 0, json.dumps({"url": "https://hook.example/in", "secret": "hush-hush", "token": "tkn"}))]
    assert ask("PATCH", "/%d" % number, {"config": {"secret": ""}}).status == 200
    assert shown(ask, number)["config"] == {"url": "set", "secret": "not set", "token": "set"}


@pytest.mark.parametrize("body, sentence", [
    ({"kind": "carrier-pigeon", "name": "x"}, "kind must be one of: email, webhook,"),
    ({"kind": ["webhook"], "name": "x"}, "kind must be one of"),
    ({"kind": "webhook", "config": {"url": "http://h/"}}, "name is missing."),
    ({"kind": "webhook", "name": ""}, "name must be a text of 1 to 100"),
    ({"kind": "webhook", "name": "x"}, "config.url is missing."),
    ({"kind": "webhook", "name": "x", "config": []}, "config must be a JSON object."),
    ({"kind": "webhook", "name": "x", "config": {"url": 5}}, "config.url must be a text"),
    ({"kind": "webhook", "name": "x", "config": {"url": "http://h/", "urll": "x"}}, "config.urll is not known"),
    (dict(HOOK, severities=["fatal"]), "severities[0] must be one of: critical, warning, info."),
    (dict(HOOK, severities=[]), "severities must name at least one of"),
    (dict(HOOK, groups="Shop"), "groups must be a list"),
    (dict(HOOK, enabled="yes"), "enabled must be true or false."),
    ({"kind": "email", "name": "x", "config": {"to": "a@b, nobody"}}, "config.to must be mail addresses"),
    ({"kind": "email", "name": "x", "config": {"to": "a@b\r\nBcc: c@d"}}, "config.to must be"),
    ({"kind": "ntfy", "name": "x", "config": {"url": "http://h/", "topic": "a/b"}}, "config.topic must be of A-Z"),
    ({"kind": "gotify", "name": "x", "config": {"url": "http://h/"}}, "config.token is missing."),
    ({"kind": "syslog", "name": "x", "config": {"host": "h", "port": 0}}, "config.port must be a whole number from 1"),
    ({"kind": "syslog", "name": "x", "config": {"host": "h", "protocol": "smoke"}}, "config.protocol must be one of"),
    ([], "The body must be a JSON object."),
])
def test_what_can_not_work_is_refused_in_words(ask, body, sentence):
    answer = ask("POST", body=body)
    assert answer.status == 400 and answer.json["error"].startswith(sentence), answer
    assert [row["id"] for row in ask("GET").json["channels"]] == [0]


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "gopher://h/", "ftp://h/", "javascript:alert(1)", "//h/path", "h/path", "http://",
    "http://h:0/", "http://h:99999/", "http://h h/", "http://h/a b", "http://h/#x", "http://h\\@evil/",
    "http://user:secret@h/", "http://169.254.169.254/latest", "http://[::ffff:169.254.169.254]/",
    "http://[fe80::1]/", "http://[fd00:ec2::254]/", "http://0xa9fea9fe/", "http://2852039166/", "http://0.0.0.0/",
    "http://[::]/", "http://224.0.0.1/", "http://127.0.0.1:3000/", "http://localhost:3000/", "http://[::1]:3000/",
    "http://127.1:3000/", "http://h/\u00e4",
])
@pytest.mark.parametrize("kind", ["webhook", "slack", "alertmanager"])
def test_an_address_that_no_message_may_go_to_is_refused(ask, kind, url):
    answer = ask("POST", body={"kind": kind, "name": "x", "config": {"url": url}})
    assert (answer.status, answer.json["field"]) == (400, "config.url")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "http://10.1.2.3/", "https://[fd00::5]:9/x?y=1",
                                 "https://hook.example/"])
def test_addresses_of_closed_networks_are_accepted(ask, url):
    assert ask("POST", body={"kind": "slack", "name": "x", "config": {"url": url}}).status == 201


def test_an_address_that_the_settings_allow_is_accepted(hub_inside, ask):
    hub_inside.change_settings({"delivery_allowed_addresses": "169.254.7.0/24"})
    assert ask("POST", body={"kind": "slack", "name": "x", "config": {"url": "http://169.254.7.1/"}}).status == 201


def test_the_mail_of_the_settings_is_changed_by_the_settings(ask):
    assert ask("PATCH", "/0", {"severities": ["critical"], "groups": ["Shop"]}).status == 200
    assert shown(ask, 0)["severities"] == ["critical"]
    assert ask("PATCH", "/0", {"enabled": True}).status == 400
    assert ask("PATCH", "/0", {"config": {"to": "a@b"}}).status == 400
    assert ask("DELETE", "/0").status == 409


@pytest.mark.parametrize("method, path", [("PATCH", "/99"), ("DELETE", "/99"), ("POST", "/99/test"),
                                          ("GET", "/99/deliveries"), ("PATCH", "/x"), ("DELETE", "/-1"),
                                          ("DELETE", "/" + "9" * 30)])
def test_an_unknown_channel_is_404(ask, method, path):
    body = {"name": "x"} if method == "PATCH" else None
    assert ask(method, path, body).status == 404


def test_an_empty_change_is_refused(ask):
    number = ask("POST", body=HOOK).json["id"]
    assert ask("PATCH", "/%d" % number, {"colour": "red"}).status == 400


def test_a_test_message_arrives_and_says_so(ask):
    with HttpReceiver() as receiver:
        number = ask("POST", body={"kind": "slack", "name": "x", "config": {"url": receiver.url}}).json["id"]
        answer = ask("POST", "/%d/test" % number)
    assert (answer.status, answer.json["status"]) == (200, "ok")
    assert receiver.posts[0].json["text"] == "TEST: This channel works."
    assert shown(ask, number)["last_delivery_at"] == "2026-11-22T10:00:00Z"


def test_a_test_that_fails_says_what_the_receiver_said(ask):
    with HttpReceiver(Reply(403, {}, b"no such\r\n hook")) as receiver:
        number = ask("POST", body={"kind": "slack", "name": "x", "config": {"url": receiver.url}}).json["id"]
        answer = ask("POST", "/%d/test" % number)
    assert (answer.status, answer.json["error"]) == (409, "The receiver answered 403: no such hook.")


@pytest.mark.parametrize("kind, config, action", [
    ("pagerduty", {"routing_key": "k"}, lambda post: post.json["event_action"] == "resolve"),
    ("alertmanager", {}, lambda post: post.json[0]["endsAt"] == "2026-11-22T10:00:00.000Z")])
def test_a_test_opens_nothing_where_somebody_would_have_to_close_it(ask, kind, config, action):
    with HttpReceiver() as receiver:
        number = ask("POST", body={"kind": kind, "name": "x", "config": dict(config, url=receiver.url)}).json["id"]
        assert ask("POST", "/%d/test" % number).status == 200
    assert action(receiver.posts[0])


def test_the_log_says_what_became_of_each_message(hub_inside, ask):
    with HttpReceiver(500) as receiver:
        number = ask("POST", body={"kind": "webhook", "name": "x", "config": {"url": receiver.url}}).json["id"]
        hub_inside.engine.write(lambda db: outbox.add(db, [EVENT], hub_inside.now()))
        hub_inside.delivery.work_off()
        waiting, = ask("GET", "/%d/deliveries" % number).json["deliveries"]
        assert (waiting["state"], waiting["attempts"], waiting["error"]) == (
            "waiting", 1, "The receiver answered 500: taken.")
        assert waiting["next_at"] > "2026-11-22T10:00:10"
        assert shown(ask, number)["waiting"] == 1
        hub_inside.pass_time(60_000)
        hub_inside.delivery.work_off()
    sent, = ask("GET", "/%d/deliveries?limit=1" % number).json["deliveries"]
    assert (sent["state"], sent["attempts"], sent["settled_at"]) == ("sent", 2, "2026-11-22T10:01:00Z")
    assert sent["message"] == EVENT["message"] and sent["delivery_id"] == waiting["delivery_id"]


def test_no_secret_is_in_any_answer_the_audit_log_or_the_log(ask, hub_inside, caplog):
    secrets = ["s3cret-path", "s3cret-key", "s3cret-token", "s3cret-password"]
    config = {"url": "http://127.0.0.1:9/" + secrets[0], "secret": secrets[1], "token": secrets[2]}
    number = ask("POST", body=dict(HOOK, config=config)).json["id"]
    ask("PATCH", "/%d" % number, {"config": config})
    hub_inside.ask("PATCH", "/api/dashboard/settings", {"alert_email_smtp_password": secrets[3]}, address=HERE,
                   host="localhost")
    ask("POST", "/%d/test" % number)
    texts = [ask("GET").text, ask("POST", "/%d/test" % number).text, str(hub_inside.rows("SELECT * FROM audit")),
             hub_inside.ask("GET", "/api/dashboard/settings", address=HERE, host="localhost").text, caplog.text]
    assert [secret for secret in secrets if any(secret in text for text in texts)] == []
    assert "channel.change" in texts[2]
