"""Users, sessions and tokens: what holds, for how long, and what is kept of them."""

from __future__ import annotations

import threading

import pytest

from smon_hub import accounts, attempts, auth, clock
from smon_hub.errors import HubError
from tests.hub import inside
from tests.hub.inside import HERE, PASSWORD, STRANGER

BY = auth.Caller("admin", HERE, None, "anna", "local")


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch):
    monkeypatch.setattr(auth, "PASSWORD_ROUNDS", 4)


def holds(hub, headers):
    return hub.ask("GET", "/api/dashboard", headers=headers).status == 200


def token_of(headers):
    return headers["Cookie"].partition("=")[2]


# --- passwords --------------------------------------------------------------------------------------------------------

def test_a_password_is_kept_as_a_slow_hash(monkeypatch):
    monkeypatch.undo()
    assert auth.password_hash(PASSWORD).startswith("$2b$12$")


@pytest.mark.parametrize("other", ["", PASSWORD[:-1], PASSWORD + "x", PASSWORD.upper()])
def test_another_password_is_not_it(other):
    stored = auth.password_hash(PASSWORD)
    assert auth.is_password(PASSWORD, stored)
    assert not auth.is_password(other, stored)


def test_every_character_of_a_long_password_counts():
    stored = auth.password_hash("a" * 1_000)
    assert auth.is_password("a" * 1_000, stored)
    assert not auth.is_password("a" * 999, stored)


def test_an_unknown_user_costs_the_same_hash(monkeypatch):
    hashes = []

    def checkpw(password, stored):
        hashes.append(stored)
        return True
    monkeypatch.setattr(auth.bcrypt, "checkpw", checkpw)
    assert not auth.is_password(PASSWORD, None)
    assert len(hashes) == 1 and hashes[0][:7] == b"$2b$04$" and len(hashes[0]) == 60


# --- sessions ---------------------------------------------------------------------------------------------------------

def test_a_session_ends_after_twelve_quiet_hours_and_lives_on_while_it_is_used(hub_inside):
    anna = hub_inside.user()
    for _ in range(3):
        hub_inside.pass_time(12 * clock.HOUR)
        assert holds(hub_inside, anna)
    hub_inside.pass_time(12 * clock.HOUR + 1)
    assert not holds(hub_inside, anna)


def test_a_session_ends_after_seven_days_however_much_it_is_used(hub_inside):
    anna = hub_inside.user()
    for _ in range(14):
        hub_inside.pass_time(12 * clock.HOUR)
        assert holds(hub_inside, anna)
    hub_inside.pass_time(1)
    assert not holds(hub_inside, anna)


def test_a_session_ends_after_twelve_quiet_hours_although_the_clock_was_set_back(hub_inside):
    anna = hub_inside.user()
    hub_inside.pass_time(-2 * clock.HOUR)
    assert holds(hub_inside, anna)  # and is used now, by the clock as it is
    hub_inside.pass_time(12 * clock.HOUR + 1)
    assert not holds(hub_inside, anna)


def test_a_session_of_a_time_ahead_ends_at_once_and_is_dropped(hub_inside):
    anna = hub_inside.user()
    hub_inside.pass_time(-12 * clock.HOUR - 1)
    assert not holds(hub_inside, anna)
    accounts.settle(hub_inside)
    assert hub_inside.rows("SELECT * FROM sessions") == [] and hub_inside.accounts.sessions == {}


def test_a_session_ends_seven_days_before_it_began_too(hub_inside):
    anna = hub_inside.user()
    for _ in range(14):
        hub_inside.pass_time(-12 * clock.HOUR)
        assert holds(hub_inside, anna)
    hub_inside.pass_time(-1)
    assert not holds(hub_inside, anna)


def test_sessions_and_tokens_survive_the_end_of_the_hub(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        anna, script, gone = hub.user(), hub.token(), hub.log_in()
        accounts.log_out(hub, auth.Caller("admin", HERE, None, "anna", "session", auth.digest(token_of(gone))),
                         hub.now())
    with inside.running(tmp_path / "data") as again:
        assert holds(again, anna) and holds(again, script)
        assert not holds(again, gone)


@pytest.fixture
def full_disk(hub_inside, monkeypatch):
    """Nothing can be stored from when this is called."""
    def refuse(*work):
        raise HubError("unavailable", "The hub's disk is full; nothing can be stored until there is space.")
    return lambda: monkeypatch.setattr(hub_inside.engine, "write", refuse)


def test_who_has_to_see_why_nothing_can_be_stored_gets_in_and_out(hub_inside, full_disk):
    hub_inside.user()
    full_disk()
    anna = hub_inside.log_in()
    assert holds(hub_inside, anna)
    with pytest.raises(HubError):
        hub_inside.log_in(password="another password")
    assert hub_inside.ask("DELETE", "/api/session", headers=anna).status == 503
    assert not holds(hub_inside, anna)


def test_a_session_that_can_not_be_stored_is_none_with_an_old_password(hub_inside, full_disk, monkeypatch):
    hub_inside.user()
    known = auth.is_password

    def overtaken(*given):
        answer = known(*given)
        accounts.change_user(hub_inside, BY, "anna", {"password": "a new password"}, hub_inside.now())
        full_disk()
        return answer
    monkeypatch.setattr(auth, "is_password", overtaken)
    with pytest.raises(HubError) as refused:
        hub_inside.log_in()
    assert refused.value.code == "unauthorized" and hub_inside.accounts.sessions == {}


def test_what_was_used_is_written_back_and_what_expired_is_dropped(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        anna, script, quiet = hub.user(), hub.token(), hub.log_in()
        hub.pass_time(11 * clock.HOUR)
        assert holds(hub, anna) and holds(hub, script)
        hub.pass_time(2 * clock.HOUR)
        accounts.settle(hub)
        assert len(hub.rows("SELECT * FROM sessions")) == len(hub.accounts.sessions) == 1
        now = hub.now()
    with inside.running(tmp_path / "data", at=now) as again:
        assert holds(again, anna) and not holds(again, quiet)
        assert again.rows("SELECT last_used_at FROM api_tokens") == [(now - 2 * clock.HOUR,)]


def test_a_use_within_a_minute_writes_nothing(hub_inside):
    anna = hub_inside.user()
    assert holds(hub_inside, anna)
    assert hub_inside.accounts.take_used() == ([], [])


def test_a_user_has_a_bounded_number_of_sessions_and_the_longest_unused_goes(hub_inside):
    first = hub_inside.user()
    for _ in range(accounts.SESSIONS_MAX):
        hub_inside.pass_time(clock.MINUTE)
        last = hub_inside.log_in()
    assert not holds(hub_inside, first) and holds(hub_inside, last)
    assert hub_inside.rows("SELECT COUNT(*) FROM sessions") == [(accounts.SESSIONS_MAX,)]


def test_a_login_that_a_new_password_overtakes_begins_no_session(hub_inside, monkeypatch):
    hub_inside.user()
    checked = auth.is_password

    def overtaken(password, stored):
        monkeypatch.setattr(auth, "is_password", checked)
        accounts.change_user(hub_inside, BY, "anna", {"password": "another horse"}, hub_inside.now())
        return checked(password, stored)
    monkeypatch.setattr(auth, "is_password", overtaken)
    with pytest.raises(HubError) as refusal:
        hub_inside.log_in()
    assert refusal.value.code == "unauthorized"
    assert hub_inside.accounts.sessions == {}


def test_nothing_that_opens_anything_is_in_the_database(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        secrets = [token_of(hub.user()), hub.token()["Authorization"].split()[1], PASSWORD]
        body = {"name": "rack", "group_name": None, "expires_days": None, "uses": None}
        secrets.append(accounts.add_registration(hub, BY, body, hub.now())[0])
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
    assert [secret for secret in secrets if secret.encode() in kept] == []


# --- people -----------------------------------------------------------------------------------------------------------

def test_the_first_account_is_an_admins(hub_inside):
    with pytest.raises(HubError) as refusal:
        hub_inside.user("anna", "viewer")
    assert (refusal.value.code, hub_inside.accounts.users) == ("conflict", {})
    hub_inside.user("anna", "admin")
    hub_inside.user("ben", "viewer")


def test_of_two_admins_that_go_at_the_same_time_one_stays(hub_inside):
    hub_inside.user("anna")
    hub_inside.user("ben")
    outcomes = []

    def remove(name):
        try:
            outcomes.append(accounts.remove_user(hub_inside, BY, name, hub_inside.now()))
        except HubError as error:
            outcomes.append(error.code)
    threads = [threading.Thread(target=remove, args=(name,), name="remove-" + name) for name in ("anna", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [None, "conflict"]
    assert len(hub_inside.accounts.users) == 1


def test_a_hub_keeps_a_bounded_number_of_users_and_tokens(hub_inside, monkeypatch):
    monkeypatch.setattr(accounts, "PEOPLE_MAX", 1)
    monkeypatch.setattr(accounts, "TOKENS_MAX", 1)
    hub_inside.user()
    hub_inside.token()
    body = {"name": "rack", "group_name": None, "expires_days": None, "uses": None}
    accounts.add_registration(hub_inside, BY, body, hub_inside.now())
    for more in (lambda: hub_inside.user("ben"), hub_inside.token,
                 lambda: accounts.add_registration(hub_inside, BY, body, hub_inside.now())):
        with pytest.raises(HubError) as refusal:
            more()
        assert refusal.value.code == "conflict"


def test_a_token_ends_when_it_says(hub_inside):
    hub_inside.user()
    script = hub_inside.token(expires_days=2)
    hub_inside.pass_time(2 * clock.DAY - 1)
    assert holds(hub_inside, script)
    hub_inside.pass_time(1)
    assert not holds(hub_inside, script)


# --- guessing ---------------------------------------------------------------------------------------------------------

def guess(hub, name="anna", address=STRANGER, password="wrong"):
    try:
        accounts.log_in(hub, name, password, address, hub.now())
    except HubError as error:
        return error.code
    return "in"


def test_guesses_at_a_name_from_one_address_soon_wait_and_do_not_lock_it_out_elsewhere(hub_inside):
    hub_inside.user()
    assert [guess(hub_inside) for _ in range(7)] == ["unauthorized"] * 5 + ["rate_limited"] * 2
    assert guess(hub_inside, password=PASSWORD) == "rate_limited"
    assert guess(hub_inside, password=PASSWORD, address="198.51.100.7") == "in"


def test_guesses_at_many_names_from_one_address_wait_too(hub_inside):
    codes = [guess(hub_inside, "name-%d" % number) for number in range(25)]
    assert codes == ["unauthorized"] * accounts.ADDRESS_TRIES + ["rate_limited"] * 5


def test_a_flood_of_names_from_one_address_does_not_make_the_hub_forget(hub_inside, monkeypatch):
    monkeypatch.setattr(attempts, "MOST_KEYS", 40)
    hub_inside.user()
    for _ in range(5):
        guess(hub_inside)
    for number in range(100):
        accounts.crowded(hub_inside, "flood-%d" % number)
        guess(hub_inside, "flood-%d" % number, address="203.0.113.9")
    assert guess(hub_inside, password=PASSWORD) == "rate_limited"


def test_who_waits_for_one_name_uses_up_nothing_of_the_address(hub_inside):
    hub_inside.user("ben")
    for _ in range(40):
        guess(hub_inside)
    assert guess(hub_inside, "ben", password=PASSWORD) == "in"


def test_guesses_from_one_network_of_ipv6_are_one_partys(hub_inside):
    codes = [guess(hub_inside, address="2001:db8::%d" % number) for number in range(1, 8)]
    assert codes == ["unauthorized"] * 5 + ["rate_limited"] * 2


def test_who_gets_in_never_waits(hub_inside):
    hub_inside.user()
    assert [guess(hub_inside, password=PASSWORD) for _ in range(30)] == ["in"] * 30


def test_many_guesses_at_one_name_make_its_answers_slow(hub_inside):
    assert [accounts.crowded(hub_inside, "anna") for _ in range(22)] == [0.0] * 20 + [accounts.CROWD_SECONDS] * 2
    assert accounts.crowded(hub_inside, "ben") == 0.0
