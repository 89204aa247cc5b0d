"""Mail over real SMTP: encrypted, authenticated, refused, hanging; and hubs that are killed while they deliver."""

from __future__ import annotations

import random
import sqlite3
import time

import pytest

from smon_hub import clock, notify, outbound
from smon_hub.store import channels, outbox
from tests.hub import inside
from tests.support.processes import HubProcess, free_port, until
from tests.support.receivers import Hanging, HttpReceiver, MailServer, make_certificate

TO = "ops@example.org"
HOSTILE = "web\r\nBcc: evil@example.org\r\n\r\n<script>alert(1)</script>"
KILLS = 12


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that delivers when the test says so and does not wait long."""
    monkeypatch.setattr(notify, "BEAT_SECONDS", 3_600)
    monkeypatch.setattr(outbound, "TIMEOUT_SECONDS", 5)
    with inside.running(tmp_path / "data", "--public-url", "https://smon.example") as running:
        yield running


def event(word="opened", alert_id=1, server="Web 1", **members):
    return dict({"event": word, "alert_id": alert_id, "rule": "cpu", "object": "", "severity": "critical", "server": {
        "id": 7, "uuid": "u-7", "hostname": "web-1", "display_name": server, "ip_address": "192.0.2.7",
        "group_name": "Shop"}, "message": "CPU usage at 95.0% (threshold: 90%)", "since_at": inside.START,
        "at": inside.START}, **members)


def use(hub, server, **settings):
    hub.change_settings(dict({"alert_email_enabled": True, "alert_email_to": TO, "alert_email_smtp_host": "127.0.0.1",
                              "alert_email_smtp_port": server.port, "alert_email_from": "smon@example.org"},
                             **settings))


def deliver(hub, *events, after=0):
    hub.engine.write(lambda db: outbox.add(db, events, hub.now()))
    hub.pass_time(after)
    hub.delivery.work_off()


def outcomes(hub):
    return [outcome for outcome, in hub.rows("SELECT outcome FROM outbox ORDER BY id")]


def error(hub):
    return channels.one(hub.engine.read(), channels.MAIL)["last_error"]


# --- what is in it ----------------------------------------------------------------------------------------------------

def test_a_mail_says_what_where_since_when_and_where_to_look(hub):
    with MailServer() as server:
        use(hub, server, alert_email_to="ops@example.org, boss@example.org")
        deliver(hub, event(processes=[{"name": "java", "cpu_percent": 88.0, "memory_percent": 12.0}]))
    mail, = server.mails
    assert mail.to == ["ops@example.org", "boss@example.org"]
    assert mail.content["Subject"] == "[smon] CRITICAL: Web 1: CPU usage at 95.0% (threshold: 90%)"
    for part in (mail.part("plain"), mail.part("html")):
        for word in ("CPU usage at 95.0%", "192.0.2.7", "Shop", "2026-11-22T10:00:00Z", "java",
                     "https://smon.example/servers/u-7"):
            assert word in part
    assert mail.content["Auto-Submitted"] == "auto-generated"


def test_the_mails_about_one_alert_are_one_thread(hub):
    with MailServer() as server:
        use(hub, server)
        deliver(hub, event(severity="warning"), event(alert_id=2))
        deliver(hub, event("severity", was_severity="warning"))
        deliver(hub, event("recovered"))
    first, other, second, last = [mail.content for mail in server.mails]
    assert first["References"] is other["References"] is None
    assert second["References"] == last["References"] == last["In-Reply-To"] == first["Message-ID"]
    assert len({mail.content["Message-ID"] for mail in server.mails}) == 4


def test_no_text_adds_a_header_a_recipient_or_markup(hub):
    with MailServer() as server:
        use(hub, server)
        deliver(hub, event(server=HOSTILE, object=HOSTILE, message=HOSTILE, children=[HOSTILE]))
    mail, = server.mails
    assert mail.to == [TO]
    assert "Bcc" not in mail.content and len(mail.content.get_all("Subject")) == 1
    assert "<script" not in mail.part("html") and "&lt;script" in mail.part("html")


# --- how it travels ---------------------------------------------------------------------------------------------------

def test_a_login_is_sent_after_starttls(hub, certificate):
    with MailServer("starttls", certificate, login=("smon", "hush")) as server:
        use(hub, server, alert_email_smtp_user="smon", alert_email_smtp_password="hush",
            delivery_ca_file=str(certificate / "cert.pem"))
        deliver(hub, event())
    mail, = server.mails
    assert (mail.user, mail.encrypted) == ("smon", True)


def test_tls_from_the_first_byte(hub, certificate):
    with MailServer("tls", certificate) as server:
        use(hub, server, alert_email_smtp_security="tls", delivery_ca_file=str(certificate / "cert.pem"))
        deliver(hub, event())
    assert [mail.encrypted for mail in server.mails] == [True]


@pytest.mark.parametrize("security", ["auto", "starttls", "tls"])
def test_a_password_is_not_sent_to_a_server_without_a_good_certificate(hub, certificate, security):
    with MailServer("tls" if security == "tls" else "starttls", certificate, login=("smon", "hush")) as server:
        use(hub, server, alert_email_smtp_user="smon", alert_email_smtp_password="hush",
            alert_email_smtp_security=security)
        deliver(hub, event())
    assert (server.mails, outcomes(hub)) == ([], [None])
    assert "certificate" in error(hub).lower()


def test_without_a_password_any_encryption_is_better_than_none(hub, certificate):
    with MailServer("starttls", certificate) as server:
        use(hub, server)
        deliver(hub, event())
    assert [mail.encrypted for mail in server.mails] == [True]


@pytest.mark.parametrize("settings, says", [
    ({"alert_email_smtp_user": "smon", "alert_email_smtp_password": "hush"}, "offers no STARTTLS, and a password"),
    ({"alert_email_smtp_security": "starttls"}, "offers no STARTTLS, and alert_email_smtp_security"),
    ({"alert_email_smtp_security": "none", "alert_email_smtp_password": "hush"}, "A password is only sent over TLS"),
    ({"alert_email_smtp_host": ""}, "alert_email_smtp_host is not set."),
    ({"alert_email_to": ""}, "alert_email_to names nobody."),
])
def test_what_can_not_be_sent_safely_waits_and_says_why(hub, settings, says):
    with MailServer() as server:
        use(hub, server, **settings)
        deliver(hub, event())
    assert (server.mails, outcomes(hub)) == ([], [None])
    assert says in error(hub)


def test_a_wrong_password_loses_nothing(hub, certificate):
    with MailServer("starttls", certificate, login=("smon", "hush")) as server:
        use(hub, server, alert_email_smtp_user="smon", alert_email_smtp_password="wrong",
            delivery_ca_file=str(certificate / "cert.pem"))
        deliver(hub, event())
        assert (outcomes(hub), "535" in error(hub)) == ([None], True)
        use(hub, server, alert_email_smtp_password="hush")
        hub.delivery.changed(channels.MAIL)
        hub.delivery.work_off()
        assert outcomes(hub) == ["sent"]


# --- servers that say no ----------------------------------------------------------------------------------------------

def test_a_password_that_can_not_be_sent_loses_nothing_and_is_not_shown(hub, certificate):
    with MailServer("starttls", certificate, login=("smon", "hush")) as server:
        use(hub, server, alert_email_smtp_user="smon", alert_email_smtp_password="p\u00e4ss",
            delivery_ca_file=str(certificate / "cert.pem"))
        deliver(hub, event())
    assert outcomes(hub) == [None]
    assert error(hub) == "alert_email_smtp_user and alert_email_smtp_password can only be ASCII."


def test_a_message_that_is_refused_with_550_is_given_up_and_the_next_goes_out(hub):
    with MailServer(data_replies=["550 not this one"]) as server:
        use(hub, server)
        deliver(hub, event(alert_id=1), event(alert_id=2))
    assert outcomes(hub) == ["given_up", "sent"]
    assert hub.rows("SELECT error FROM outbox WHERE id = 1") == [("The mail server said: 550 not this one.",)]


class Choosy(MailServer):
    """A mail server that takes mail from one sender only."""

    async def handle_MAIL(self, server, session, envelope, address, options):
        if address != "known@example.org":
            return "553 not yours"
        envelope.mail_from = address
        return "250 OK"


def test_a_refused_sender_concerns_the_settings_and_loses_nothing(hub):
    with Choosy() as server:
        use(hub, server)
        deliver(hub, event())
        assert (outcomes(hub), error(hub)) == ([None], "The mail server said: 553 not yours.")
        use(hub, server, alert_email_from="known@example.org")
        deliver(hub, after=clock.MINUTE)
    assert (len(server.mails), outcomes(hub)) == (1, ["sent"])


def test_greylisting_delays_and_does_not_lose(hub):
    with MailServer(refuses={TO: "450 try again later"}) as server:
        use(hub, server)
        deliver(hub, event())
        assert outcomes(hub) == [None]
        server.refuses.clear()
        deliver(hub, after=clock.MINUTE)
    assert (len(server.mails), outcomes(hub)) == (1, ["sent"])


def test_one_recipient_that_is_refused_for_good_does_not_keep_the_others_from_it(hub):
    with MailServer(refuses={"gone@example.org": "550 no such user"}) as server:
        use(hub, server, alert_email_to="gone@example.org, ops@example.org")
        deliver(hub, event())
        deliver(hub, after=clock.HOUR)
    assert [mail.to for mail in server.mails] == [["ops@example.org"]]
    assert outcomes(hub) == ["sent"]
    assert error(hub) == "gone@example.org was refused: 550 no such user."


def test_one_recipient_that_is_refused_for_now_gets_it_later_and_the_others_get_it_once(hub):
    with MailServer(refuses={"full@example.org": "452 mailbox full"}) as server:
        use(hub, server, alert_email_to="full@example.org, ops@example.org")
        deliver(hub, event())
        server.refuses.clear()
        for _ in range(3):
            deliver(hub, after=clock.HOUR)
    assert [mail.to for mail in server.mails] == [["ops@example.org"], ["full@example.org"]]
    assert outcomes(hub) == ["sent"]


@pytest.mark.parametrize("says", [b"", b"220-", b"554 no service\r\n"], ids=["nothing", "dribbles", "refuses"])
def test_a_server_that_hangs_or_refuses_loses_nothing(hub, says, monkeypatch):
    monkeypatch.setattr(notify, "ATTEMPT_SECONDS", 1)
    with Hanging(says) as server:
        use(hub, server)
        hub.engine.write(lambda db: outbox.add(db, [event()], hub.now()))
        hub.delivery.start()
        until(lambda: hub.delivery.wake() or error(hub), "The end of the attempt")
    assert outcomes(hub) == [None]


def test_eleven_alerts_at_once_are_one_mail(hub):
    with MailServer() as server:
        use(hub, server)
        deliver(hub, *(event(alert_id=number, server="Web %d" % number) for number in range(11)))
    mail, = server.mails
    assert mail.content["Subject"] == "[smon] 11 messages: 11 critical"
    assert all("Web %d:" % number in mail.part("plain") for number in range(11))


# --- kill -9 ----------------------------------------------------------------------------------------------------------

def prepared(path, port, count=1):
    """A data folder as a hub leaves it that died after it had decided and before it had told anybody."""
    with inside.running(path, at=int(time.time() * 1000)) as hub:
        use(hub, HubProcessMail(port))
        hub.engine.write(lambda db: outbox.add(db, [event(alert_id=number) for number in range(count)], hub.now()))
        return [name for name, in hub.rows("SELECT delivery_id FROM outbox ORDER BY id")]


class HubProcessMail:
    def __init__(self, port):
        self.port = port


def in_database(path, sql):
    database = sqlite3.connect("file:%s?mode=ro" % (path / "smon.db"), uri=True)
    try:
        return database.execute(sql).fetchall()
    finally:
        database.close()


def test_kill_9_between_decision_and_delivery_loses_no_mail(tmp_path, monkeypatch):
    monkeypatch.setattr(notify, "BEAT_SECONDS", 3_600)
    path = tmp_path / "data"
    with Hanging() as hanging:
        names = prepared(path, hanging.port)
        hub = HubProcess(path)
        assert hanging.connected.wait(20)
        hub.kill9()
    with MailServer(port=hanging.port) as server, HubProcess(path):
        until(lambda: server.mails, "The mail after the restart")
        until(lambda: in_database(path, "SELECT outcome FROM outbox") == [("sent",)], "That it is settled")
    assert [mail.content["Message-ID"] for mail in server.mails] == ["<%s@example.org>" % names[0]]


def test_kill_9_at_random_moments_loses_no_message_and_tells_nothing_that_was_not_decided(tmp_path, monkeypatch):
    monkeypatch.setattr(notify, "BEAT_SECONDS", 3_600)
    path = tmp_path / "data"
    with HttpReceiver() as receiver:
        with inside.running(path, at=int(time.time() * 1000)) as hub:
            hub.engine.write(lambda db: channels.add(db, {
                "kind": "pagerduty", "name": "p", "enabled": True, "severities": ["critical"], "group_names": [],
                "escalation": False, "config": {"url": receiver.url, "routing_key": "k"}}))
            hub.engine.write(lambda db: outbox.add(db, [event(alert_id=number) for number in range(400)], hub.now()))
            names = {"smon-" + name for name, in hub.rows("SELECT delivery_id FROM outbox")}
        for _ in range(KILLS):
            hub, before = HubProcess(path), len(receiver.posts)
            enough = before + random.randint(1, 25)
            until(lambda: len(receiver.posts) >= min(enough, 400), "Some deliveries")
            hub.kill9()
        with HubProcess(path):
            until(lambda: set(in_database(path, "SELECT outcome FROM outbox")) == {("sent",)}, "The rest")
    told = [post.json["dedup_key"] for post in receiver.posts]
    assert set(told) == names
    assert len(told) <= 400 + KILLS  # at most the one that was under way is told twice


def test_a_mail_server_that_is_down_delays_no_sample_and_no_stop(tmp_path):
    hub = HubProcess(tmp_path / "data")
    assert hub.patch("/api/dashboard/settings", {
        "alert_email_enabled": True, "alert_email_to": TO, "alert_email_smtp_host": "127.0.0.1",
        "alert_email_smtp_port": free_port()}).status == 200
    server = hub.register("down")
    assert [server.send({"cpu_percent": 99.0}).status for _ in range(5)] == [200] * 5
    assert hub.stop() == 0
