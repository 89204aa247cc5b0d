"""Who is calling."""

from __future__ import annotations

import pytest

from smon_hub import auth
from smon_hub.auth import Keys, bearer, client_address, is_local, limit_key
from smon_hub.fleet import Server

UUID = "0123abcd-0123-4567-89ab-0123456789ab"
KEY = "smk_" + "0f" * 16
PROXY = "192.0.2.10"


def server(key=KEY, uuid=UUID):
    return Server({"uuid": uuid, "key_hash": auth.key_hash(key), "last_seen_at": 0})


# --- keys of agents ---------------------------------------------------------------------------------------------------

def test_a_new_key_is_long_random_and_its_own():
    keys = {auth.new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key.startswith("smk_") and len(key) >= 4 + 32 for key in keys)


def test_a_new_key_passes_as_a_bearer():
    key = auth.new_key()
    assert bearer("Bearer %s:%s" % (UUID, key)) == (UUID, key)


@pytest.mark.parametrize("header", [
    "", "Bearer", "Bearer ", KEY, "Bearer " + KEY, "Bearer %s:" % UUID, "Bearer :%s" % KEY, "Basic %s:%s" % (UUID, KEY),
    "Bearer %s:%s " % (UUID, KEY), "Bearer %s:%s\n" % (UUID, KEY), "Bearer %s:%s:x" % (UUID, KEY),
    "Bearer %s:smk_%s" % (UUID, "0f" * 15), "Bearer %s:smk_%s" % (UUID, "0f" * 65), "Bearer %s:%s" % (UUID[:-1], KEY),
    "Bearer %s:smk_%s" % (UUID, "\u00e9" * 32), "Bearer " + "a" * 8000])
def test_what_is_no_agents_credential_is_none(header):
    assert bearer(header) is None


def test_it_accepts_the_right_key_and_remembers_it():
    keys, mine = Keys(), server()
    assert not keys.remembers(mine, KEY)
    assert keys.verify(mine, KEY)
    assert keys.remembers(mine, KEY)


def test_it_refuses_a_wrong_key_and_does_not_remember_it():
    keys, mine, wrong = Keys(), server(), auth.new_key()
    assert keys.verify(mine, KEY)
    assert not keys.verify(mine, wrong)
    assert not keys.remembers(mine, wrong)
    assert keys.remembers(mine, KEY)


def test_a_remembered_key_ends_with_the_hash_it_was_verified_against():
    keys, mine = Keys(), server()
    keys.verify(mine, KEY)
    mine.put(row=dict(mine.row, key_hash=auth.key_hash(auth.new_key())))
    assert not keys.remembers(mine, KEY)
    assert not keys.verify(mine, KEY)


def test_a_key_of_one_server_is_none_of_another():
    keys, mine, other = Keys(), server(), server(auth.new_key(), UUID.replace("0", "9"))
    keys.verify(mine, KEY)
    assert not keys.remembers(other, KEY)
    assert not keys.verify(other, KEY)


def test_it_remembers_a_bounded_number_of_keys(monkeypatch):
    monkeypatch.setattr(auth, "CACHE_MAX", 2)
    keys = Keys()
    servers = [server(uuid=UUID[:-1] + digit) for digit in "123"]
    for each in servers:
        assert keys.verify(each, KEY)
    assert [keys.remembers(each, KEY) for each in servers] == [False, True, True]


def test_neither_key_nor_hash_is_in_what_is_remembered():
    keys, mine = Keys(), server()
    keys.verify(mine, KEY)
    assert KEY not in repr(vars(keys))


def test_what_signs_exports_tells_nothing_of_the_key_and_is_the_same_on_both_sides():
    signer = auth.export_key(KEY)
    assert signer == auth.export_key(KEY) != auth.export_key(auth.new_key())
    assert KEY not in signer and KEY[4:] not in signer and len(signer) == 64


# --- this machine -----------------------------------------------------------------------------------------------------

def asked(address="127.0.0.1", host="localhost:3000", **more):
    return dict({"REMOTE_ADDR": address, "HTTP_HOST": host}, **more)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:3000", "LOCALHOST", "127.0.0.1:80", "[::1]", "[::1]:3000"])
def test_a_program_on_this_machine_is_trusted(address, host):
    assert is_local(asked(address, host))


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "::2", "2001:db8::1", "0.0.0.0", "", "128.127.0.1"])
def test_a_caller_from_elsewhere_is_not(address):
    assert not is_local(asked(address))


@pytest.mark.parametrize("host", ["", "hub.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.2",
                                  "localhost:3000:1", "localhost:", "evil@localhost", "localhost\n", "[::1", "::1",
                                  "0.0.0.0", "2130706433"])
def test_a_name_that_is_not_this_machines_is_not_trusted(host):
    assert not is_local(asked(host=host))


def test_a_request_without_a_host_is_not_trusted():
    assert not is_local({"REMOTE_ADDR": "127.0.0.1"})


@pytest.mark.parametrize("header", ["FORWARDED", "VIA", "X_REAL_IP", "X_FORWARDED_FOR", "X_FORWARDED_HOST",
                                    "X_FORWARDED_PROTO", "X_FORWARDED_PORT", "X_FORWARDED_SERVER", "X_FORWARDED_PREFIX",
                                    "X_FORWARDED_SSL"])
@pytest.mark.parametrize("value", ["", "127.0.0.1"])
def test_any_sign_of_a_proxy_ends_local_trust(header, value):
    assert not is_local(asked(**{"HTTP_" + header: value}))


def test_the_command_lines_token_is_taken_whole_or_not_at_all():
    token = auth.new_local_token()
    assert auth.shows_local_token("Bearer " + token, token)
    for header in ("", token, "Bearer " + token[:-1], "Bearer %s " % token, "Bearer " + auth.new_local_token()):
        assert not auth.shows_local_token(header, token)


# --- addresses --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("peer, forwarded, address", [
    ("192.0.2.1", None, "192.0.2.1"),
    ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
    (PROXY, None, PROXY),
    (PROXY, "", PROXY),
    (PROXY, "198.51.100.1", "198.51.100.1"),
    (PROXY, "203.0.113.9, 198.51.100.1", "198.51.100.1"),
    (PROXY, "203.0.113.9, 198.51.100.1, 127.0.0.5", "198.51.100.1"),
    (PROXY, "203.0.113.9,%s" % PROXY, "203.0.113.9"),
    (PROXY, "198.51.100.1, ", PROXY),
    (PROXY, "198.51.100.1, unknown, 127.0.0.5", "127.0.0.5"),
    (PROXY, "198.51.100.1, 203.0.113.9:4711", PROXY),
    (PROXY, "198.51.100.1, <script>", PROXY),
    (PROXY, "unknown, 198.51.100.1", "198.51.100.1"),
    (PROXY, "2001:DB8:0::1", "2001:db8::1"),
    (PROXY, "::ffff:198.51.100.1", "198.51.100.1"),
    (PROXY, "198.51.100.1, ::ffff:127.0.0.5", "198.51.100.1"),
])
def test_the_client_is_the_last_address_that_is_no_proxy_of_ours(peer, forwarded, address):
    environ = {"REMOTE_ADDR": peer}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    assert client_address(environ, (PROXY, "127.0.0.5")) == address


@pytest.mark.parametrize("address, key", [
    ("192.0.2.1", "192.0.2.1"),
    ("2001:db8:1:2::3", "2001:db8:1:2::/64"),
    ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
    ("fe80::1%eth0", "fe80::/64"),
    ("not:an:address", "not:an:address"),
])
def test_a_party_is_an_ipv4_address_or_a_network_of_ipv6(address, key):
    assert limit_key(address) == key
