"""/api/session, /api/setup and their forms: how people get in, and out."""

from __future__ import annotations

import re
import threading
from urllib.parse import urlencode

import pytest

from smon_hub import accounts
from tests.hub import inside
from tests.hub.inside import HERE, PASSWORD, STRANGER

SESSION, SETUP = "/api/session", "/api/setup"
LOGIN = {"username": "anna", "password": PASSWORD}
LOCAL = {"address": HERE, "host": "localhost:3000"}
CODE = "K7QM-2XHD-9RWT"

pytestmark = pytest.mark.usefixtures("quick_passwords")


@pytest.fixture
def waiting_hub(hub_inside):
    """A hub that waits for its first account."""
    hub_inside.setup_code = CODE
    return hub_inside


def cookie(answer):
    """What a browser sends back after this answer."""
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def sees(hub, headers):
    return hub.ask("GET", "/api/dashboard", headers=headers).status == 200


def form(hub, path, headers=None, **fields):
    """What a browser without script sends."""
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return hub.ask("POST", path, urlencode(fields).encode(), headers=dict(kind, **(headers or {})))


# --- who --------------------------------------------------------------------------------------------------------------

def test_everybody_may_ask_who_they_are(hub_inside):
    def said(**more):
        return hub_inside.ask("GET", SESSION, **more).json
    assert said() == {"user": None, "setup": True, "local_trust": True}
    assert said(**LOCAL) == {"user": {"name": "this machine", "role": "admin", "via": "local"}, "setup": True,
                             "local_trust": True}
    anna = hub_inside.user()
    assert said(**LOCAL) == said() == {"user": None, "setup": False, "local_trust": False}
    assert said(headers=anna)["user"] == {"name": "anna", "role": "admin", "via": "session"}
    assert said(headers=hub_inside.token(name="graphs"))["user"] == {"name": "token graphs", "role": "viewer",
                                                                     "via": "token"}


def test_an_agents_key_is_nobodys(hub_inside):
    server = hub_inside.register()
    bearer = {"Authorization": "Bearer %(server_id)s:%(api_key)s" % server}
    assert hub_inside.ask("GET", SESSION, headers=bearer).json["user"] is None


# --- logging in and out -----------------------------------------------------------------------------------------------

def test_a_login_opens_the_dashboard_until_the_logout(hub_inside):
    hub_inside.user()
    answer = hub_inside.ask("POST", SESSION, LOGIN)
    assert answer.status == 200
    assert answer.json == {"status": "ok", "user": {"name": "anna", "role": "admin"},
                           "expires_at": "2026-11-29T10:00:00Z"}
    assert sees(hub_inside, cookie(answer))
    out = hub_inside.ask("DELETE", SESSION, headers=cookie(answer))
    assert (out.status, out.json) == (200, {"status": "ok"})
    assert out.headers["set-cookie"].startswith("smon_session=; Max-Age=0;")
    assert not sees(hub_inside, cookie(answer))


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(hub_inside):
    hub_inside.user()
    given = hub_inside.ask("POST", SESSION, LOGIN, headers={"Cookie": "smon_session=" + "a" * 64}).headers["set-cookie"]
    assert re.fullmatch("smon_session=(?!a{64})[0-9a-f]{64}; Max-Age=604800; Path=/; HttpOnly; SameSite=Strict", given)


def test_a_logout_of_nobody_is_none(hub_inside):
    assert hub_inside.ask("DELETE", SESSION).status == 200


@pytest.mark.parametrize("login", [{"username": "anna", "password": "wrong horse"},
                                   {"username": "nobody", "password": PASSWORD},
                                   {"username": "Anna", "password": PASSWORD}, {"username": "", "password": ""}],
                         ids=["password", "name", "case", "empty"])
def test_a_wrong_login_says_the_same_whatever_is_wrong(hub_inside, login):
    hub_inside.user()
    answer = hub_inside.ask("POST", SESSION, login)
    assert (answer.status, answer.json) == (401, {"error": "Name or password is wrong.", "code": "unauthorized"})
    assert "set-cookie" not in answer.headers


def test_blanks_at_the_ends_of_a_password_belong_to_it(hub_inside):
    hub_inside.user(password=" correct horse ")
    cookies = [hub_inside.ask("POST", SESSION, dict(LOGIN, password=word)).status
               for word in (" correct horse ", "correct horse", " correct horse")]
    assert cookies == [200, 401, 401]
    assert form(hub_inside, "/login", username="anna", password=" correct horse ").status == 303
    wanted = {"old_password": " correct horse ", "new_password": "ends in a blank "}
    assert hub_inside.ask("PATCH", SESSION, wanted, headers=hub_inside.log_in(password=" correct horse ")).status == 200
    assert hub_inside.ask("POST", SESSION, dict(LOGIN, password="ends in a blank ")).status == 200


def test_guessing_is_answered_with_when_to_come_back(hub_inside):
    hub_inside.user()
    answers = [hub_inside.ask("POST", SESSION, {"username": "anna", "password": "wrong"}) for _ in range(6)]
    assert [answer.status for answer in answers] == [401] * 5 + [429]
    assert answers[-1].headers["retry-after"] == "30"
    assert hub_inside.ask("POST", SESSION, LOGIN, address="198.51.100.7").status == 200


@pytest.mark.parametrize("login", [LOGIN, dict(LOGIN, password="wrong")], ids=["right", "wrong"])
def test_an_answer_is_held_back_while_many_guess_at_the_name(hub_inside, monkeypatch, login):
    monkeypatch.setattr(accounts, "CROWD", 0)
    monkeypatch.setattr(accounts, "CROWD_SECONDS", 0.01)
    hub_inside.user()
    held, timer = [], threading.Timer
    monkeypatch.setattr(threading, "Timer", lambda seconds, *rest: held.append(seconds) or timer(seconds, *rest))
    answer = hub_inside.ask("POST", SESSION, login)
    assert (answer.status, held) == (200 if login is LOGIN else 401, [0.01])
    assert ("set-cookie" in answer.headers) == (login is LOGIN)


@pytest.mark.parametrize("value", ["", "x", "0" * 63, "0" * 64, "0" * 65, "%00", '"' + "0" * 64 + '"'])
def test_a_made_up_cookie_opens_nothing(hub_inside, value):
    hub_inside.user()
    assert hub_inside.ask("GET", "/api/dashboard", headers={"Cookie": "smon_session=" + value}).status == 401


def test_other_cookies_beside_it_do_no_harm(hub_inside):
    anna = hub_inside.user()["Cookie"]
    assert sees(hub_inside, {"Cookie": "a=b; %s; c=d" % anna})
    assert not sees(hub_inside, {"Cookie": "x" + anna})


# --- one's own password -----------------------------------------------------------------------------------------------

def test_a_new_password_ends_all_sessions_but_this_one(hub_inside):
    here, there = hub_inside.user(), hub_inside.log_in()
    change = {"old_password": PASSWORD, "new_password": "another horse"}
    assert hub_inside.ask("PATCH", SESSION, change, headers=here).status == 200
    assert sees(hub_inside, here) and not sees(hub_inside, there)
    assert hub_inside.ask("POST", SESSION, LOGIN).status == 401
    assert hub_inside.ask("POST", SESSION, dict(LOGIN, password="another horse")).status == 200


def test_a_viewer_may_change_his_own(hub_inside):
    hub_inside.user()
    change = {"old_password": PASSWORD, "new_password": "another horse"}
    assert hub_inside.ask("PATCH", SESSION, change, headers=hub_inside.user("ben", "viewer")).status == 200


@pytest.mark.parametrize("change, status", [
    ({"old_password": "wrong horse", "new_password": "another horse"}, 403),
    ({"old_password": PASSWORD, "new_password": "too short"}, 400), ({"old_password": PASSWORD}, 400),
    ({"new_password": "another horse"}, 400)])
def test_a_password_changes_only_with_the_old_one_and_to_a_long_one(hub_inside, change, status):
    here = hub_inside.user()
    assert hub_inside.ask("PATCH", SESSION, change, headers=here).status == status
    assert hub_inside.ask("POST", SESSION, LOGIN).status == 200


def test_guessing_the_old_password_waits_as_a_login_does(hub_inside):
    here, change = hub_inside.user(), {"old_password": "wrong", "new_password": "another horse"}
    statuses = [hub_inside.ask("PATCH", SESSION, change, headers=here).status for _ in range(6)]
    assert statuses == [403] * 5 + [429]


def test_a_script_has_no_password_to_change(hub_inside):
    hub_inside.user()
    change = {"old_password": PASSWORD, "new_password": "another horse"}
    assert hub_inside.ask("PATCH", SESSION, change, headers=hub_inside.token("admin")).status == 403


# --- the first account ------------------------------------------------------------------------------------------------

def test_the_code_makes_one_admin_and_no_second(waiting_hub):
    body = dict(LOGIN, code=CODE)
    answer = waiting_hub.ask("POST", SETUP, body)
    assert (answer.status, answer.json["user"]) == (201, {"name": "anna", "role": "admin"})
    assert sees(waiting_hub, cookie(answer))
    again = waiting_hub.ask("POST", SETUP, dict(body, username="eve"))
    assert (again.status, again.json["code"]) == (403, "forbidden")
    assert [user["name"] for user in waiting_hub.accounts.users.values()] == ["anna"]


@pytest.mark.parametrize("typed", [CODE.lower(), CODE.replace("-", ""), " %s " % CODE.replace("-", " ")])
def test_the_code_may_be_typed_as_people_do(waiting_hub, typed):
    assert waiting_hub.ask("POST", SETUP, dict(LOGIN, code=typed)).status == 201


@pytest.mark.parametrize("code", ["", CODE[:-1], CODE + "A", CODE[:-1] + "Z", "\u212a7QM-2XHD-9RWT"])
def test_a_wrong_code_makes_nothing(waiting_hub, code):
    answer = waiting_hub.ask("POST", SETUP, dict(LOGIN, code=code))
    assert (answer.status, waiting_hub.accounts.users) == (401, {})


def test_without_a_code_none_is_right(hub_inside):
    assert hub_inside.setup_code == ""
    assert hub_inside.ask("POST", SETUP, dict(LOGIN, code="")).status == 401


def test_guessing_the_code_soon_waits(waiting_hub):
    statuses = [waiting_hub.ask("POST", SETUP, dict(LOGIN, code="AAAA")).status for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    assert waiting_hub.ask("POST", SETUP, dict(LOGIN, code=CODE)).status == 429


@pytest.mark.parametrize("wrong, field", [({"username": "an na"}, "name"), ({"username": ""}, "username"),
                                          ({"password": "123456789"}, "password"), ({"username": "a/b"}, "name")])
def test_what_can_not_be_an_account_is_named(waiting_hub, wrong, field):
    answer = waiting_hub.ask("POST", SETUP, dict(LOGIN, code=CODE, **wrong))
    assert (answer.status, answer.json["field"]) == (400, field)
    assert waiting_hub.ask("POST", SETUP, dict(LOGIN, code=CODE)).status == 201


def test_of_two_at_the_same_time_one_wins(waiting_hub, monkeypatch):
    both, hashed = threading.Barrier(2), accounts.auth.password_hash

    def together(password):
        both.wait(10)
        return hashed(password)
    monkeypatch.setattr(accounts.auth, "password_hash", together)
    statuses = []
    threads = [threading.Thread(name=name, target=lambda name=name: statuses.append(
        waiting_hub.ask("POST", SETUP, dict(LOGIN, code=CODE, username=name)).status)) for name in ("anna", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 409]
    assert len(waiting_hub.accounts.users) == 1


def test_the_code_is_in_log_and_folder_until_it_is_used(fresh_hub):
    file = fresh_hub.data_dir / "setup-code"
    code = file.read_text().strip()
    assert re.fullmatch("[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", code) and code in fresh_hub.log
    assert file.stat().st_mode & 0o777 == 0o600
    assert fresh_hub.post(SETUP, dict(LOGIN, code=code)).status == 201
    assert not file.exists()
    assert fresh_hub.get("/api/dashboard").status == 401


# --- without script ---------------------------------------------------------------------------------------------------

def test_a_form_logs_in_and_leads_on(hub_inside):
    hub_inside.user()
    answer = form(hub_inside, "/login", next="/servers/a?tab=b", **LOGIN)
    assert (answer.status, answer.headers["location"]) == (303, "/servers/a?tab=b")
    assert sees(hub_inside, cookie(answer))


@pytest.mark.parametrize("onward", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "\\/evil",
                                    "/\t/evil", " //evil", "javascript:alert(1)"])
def test_it_never_leads_elsewhere(hub_inside, onward):
    hub_inside.user()
    location = form(hub_inside, "/login", next=onward, **LOGIN).headers["location"]
    assert location == "/" or re.match("/%", location)


def test_a_line_break_in_it_is_no_header(hub_inside):
    hub_inside.user()
    answer = form(hub_inside, "/login", next="/a\r\nSet-Cookie: x=y", **LOGIN)
    assert answer.headers["location"] == "/a%0D%0ASet-Cookie:%20x=y"


def test_a_wrong_form_shows_the_page_again(hub_inside):
    hub_inside.user()
    answer = form(hub_inside, "/login", next="/servers/a", username='anna">$static', password="wrong horse")
    assert (answer.status, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert "Name or password is wrong." in answer.text and 'value="/servers/a"' in answer.text
    assert 'value="anna&quot;&gt;&#36;static"' in answer.text and "wrong horse" not in answer.text
    assert "set-cookie" not in answer.headers


def test_a_form_of_another_origin_is_refused(hub_inside):
    hub_inside.user()
    assert form(hub_inside, "/login", {"Origin": "http://evil.example"}, **LOGIN).status == 403
    assert form(hub_inside, "/login", {"Origin": "http://192.0.2.1:3000"}, **LOGIN).status == 303


def test_the_page_asks_for_the_code_until_there_is_an_account(waiting_hub):
    assert 'action="/setup"' in waiting_hub.ask("GET", "/login").text
    wrong = form(waiting_hub, "/setup", code="AAAA", **LOGIN)
    assert wrong.status == 401 and "set-up code is wrong" in wrong.text and 'action="/setup"' in wrong.text
    answer = form(waiting_hub, "/setup", code=CODE, **LOGIN)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert sees(waiting_hub, cookie(answer))
    page = waiting_hub.ask("GET", "/login?next=/servers/x%3Fa=%22%3E%3Cscript%3E$static").text
    assert 'action="/login"' in page
    assert 'value="/servers/x?a=%22%3E%3Cscript%3E%24static"' in page


def test_a_form_is_bounded_and_must_be_one(hub_inside):
    hub_inside.user()
    assert form(hub_inside, "/login", **{"f%d" % number: "" for number in range(21)}).status == 400
    assert hub_inside.ask("POST", "/login", LOGIN).status == 415


# --- where the cookie goes --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("proto, secure", [("https", True), ("http", False), ("HTTPS", True), ("http, https", True)])
def test_behind_a_trusted_proxy_that_speaks_tls_the_cookie_is_secure(tmp_path, proto, secure):
    with inside.running(tmp_path / "data", "--trusted-proxies", STRANGER) as hub:
        hub.user()
        forwarded = {"X-Forwarded-Proto": proto, "X-Forwarded-For": "198.51.100.1"}
        answer = hub.ask("POST", SESSION, LOGIN, headers=forwarded)
        assert ("; Secure" in answer.headers["set-cookie"]) == secure


def test_what_a_stranger_forwards_makes_no_cookie_secure(hub_inside):
    hub_inside.user()
    answer = hub_inside.ask("POST", SESSION, LOGIN, headers={"X-Forwarded-Proto": "https"})
    assert "; Secure" not in answer.headers["set-cookie"]
