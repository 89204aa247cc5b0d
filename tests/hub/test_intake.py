"""Spool exports taken in by a hub inside the test's process: what is stored, and what is refused as a whole."""

from __future__ import annotations

import tracemalloc

import pytest

from smon_hub import auth, clock, intake
from smon_hub.bodies import BATCH_MAX
from smon_hub.errors import HubError
from smon_hub.intake import LINE_BYTES
from tests.hub.inside import HERE, START, STRANGER
from tests.support.exports import export, line, pack

AGO = START - clock.HOUR
PASSWD = b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"


def lines(*moments, **members):
    return [line(clock.iso_ms(at), **members) for at in moments]


def written(server, packed, /, **head):
    """What the server's own agent would write."""
    return export(server.row["uuid"], server.row["export_key"], packed, **head)


def taken(hub, server, *moments, **members):
    return intake.take(hub, written(server, pack(lines(*moments, **members))), hub.now())


def counts(report):
    return report["payloads"], report["stored"], report["known"]


def times(hub, server):
    return [at for at, in hub.rows("SELECT at FROM samples WHERE server = ? ORDER BY at", server.row["id"])]


# --- what is stored -------------------------------------------------------------------------------------------------

def test_samples_are_stored_with_their_own_times_and_reported(hub_inside):
    server = hub_inside.server(hostname="island")
    report = taken(hub_inside, server, AGO, AGO + 1, AGO + 2)
    assert report == {"server_id": server.row["uuid"], "hostname": "island", "payloads": 3, "stored": 3, "known": 0,
                      "too_old": 0, "refused": 0, "reasons": []}
    assert times(hub_inside, server) == [AGO, AGO + 1, AGO + 2]


def test_taking_a_file_in_twice_stores_nothing_twice(hub_inside):
    server = hub_inside.server()
    content = written(server, pack(lines(AGO, AGO + 1)))
    reports = [intake.take(hub_inside, content, hub_inside.now()) for _ in range(2)]
    assert [counts(report) for report in reports] == [(2, 2, 0), (2, 0, 2)]
    assert times(hub_inside, server) == [AGO, AGO + 1]


def test_what_came_over_the_network_before_is_known(hub_inside):
    server = hub_inside.server()
    hub_inside.send(server, collected_at=AGO)
    assert counts(taken(hub_inside, server, AGO, AGO + 1)) == (2, 1, 1)


@pytest.mark.parametrize("many", [BATCH_MAX - 1, BATCH_MAX, 2 * BATCH_MAX + 1])
def test_an_export_of_any_length_is_stored_to_its_end(hub_inside, many):
    server = hub_inside.server()
    assert counts(taken(hub_inside, server, *range(AGO, AGO + many))) == (many, many, 0)
    assert times(hub_inside, server) == list(range(AGO, AGO + many))


def test_the_export_of_an_empty_spool_is_taken_and_stores_nothing(hub_inside):
    server = hub_inside.server()
    report = taken(hub_inside, server)
    assert counts(report) == (0, 0, 0)
    assert intake.sentence(report).endswith(": 0 samples, 0 stored, 0 known already.")


def test_one_wrong_payload_is_named_and_spares_its_neighbours(hub_inside):
    server = hub_inside.server()
    wrong = line(clock.iso_ms(AGO), metrics={"cpu_percent": 101, "memory_percent": 1})
    content = written(server, pack([*lines(AGO + 1), wrong, b"{", *lines(AGO + 2)]))
    report = intake.take(hub_inside, content, hub_inside.now())
    assert counts(report) == (4, 2, 0)
    assert report["refused"] == 2
    assert [reason.partition(":")[0] for reason in report["reasons"]] == ["Payload 2", "Payload 3"]
    assert "metrics.cpu_percent must be a number from 0 to 100." in report["reasons"][0]
    assert intake.sentence(report).endswith("2 refused. " + report["reasons"][0])
    assert times(hub_inside, server) == [AGO + 1, AGO + 2]


@pytest.mark.parametrize("wrong, words", [
    (b"x" * (LINE_BYTES + 1), "more than 1048576 bytes"), (b"x" * (2 * LINE_BYTES), "more than 1048576 bytes"),
    (b"x" * (5 * LINE_BYTES // 2), "more than 1048576 bytes"), (line(None), "collected_at"), (b"", "not JSON"),
    (b"[]", "must be a JSON object"),
], ids=["a byte too long", "2 MiB", "no whole pieces", "no time", "nothing", "a list"])
def test_a_payload_that_can_not_be_taken_is_one_refused_payload(hub_inside, wrong, words):
    server = hub_inside.server()
    content = written(server, pack([*lines(AGO), wrong, *lines(AGO + 1)]))
    report = intake.take(hub_inside, content, hub_inside.now())
    assert (counts(report), report["refused"], len(report["reasons"])) == ((3, 2, 0), 1, 1)
    assert report["reasons"][0].startswith("Payload 2: ") and words in report["reasons"][0]
    assert times(hub_inside, server) == [AGO, AGO + 1]


def test_a_payload_of_the_full_length_is_taken(hub_inside):
    server = hub_inside.server()
    longest = lines(AGO)[0].ljust(LINE_BYTES)
    assert counts(intake.take(hub_inside, written(server, pack([longest])), hub_inside.now())) == (1, 1, 0)


def test_all_refused_are_counted_and_the_first_reasons_told(hub_inside):
    server = hub_inside.server()
    content = written(server, pack([b"{"] * (intake.REASONS_KEPT + 5)))
    report = intake.take(hub_inside, content, hub_inside.now())
    assert (report["refused"], len(report["reasons"])) == (25, 20)
    assert report["reasons"][-1].startswith("Payload 20: ")


def test_samples_past_their_keep_are_counted_as_that_and_not_stored(hub_inside):
    server = hub_inside.server()
    report = taken(hub_inside, server, START - 31 * clock.DAY, START - 30 * clock.DAY - 1, AGO)
    assert (counts(report), report["too_old"], report["refused"]) == ((3, 1, 0), 2, 0)
    assert intake.sentence(report).endswith(": 3 samples, 1 stored, 0 known already, 2 too old to keep.")
    assert times(hub_inside, server) == [AGO]


@pytest.mark.parametrize("many, refused", [(3, False), (4, True)])
def test_an_export_holds_a_bounded_number_of_payloads(hub_inside, monkeypatch, many, refused):
    assert intake.PAYLOADS_MAX == 100_000
    monkeypatch.setattr(intake, "PAYLOADS_MAX", 3)
    server = hub_inside.server()
    if refused:
        with pytest.raises(HubError, match="more than 3 payloads") as refusal:
            taken(hub_inside, server, *range(AGO, AGO + many))
        assert refusal.value.code == "too_large"
    else:
        assert counts(taken(hub_inside, server, *range(AGO, AGO + many))) == (many, many, 0)


# --- what it says about the server ----------------------------------------------------------------------------------

def test_the_server_was_alive_when_it_took_the_newest_sample_not_at_the_import(hub_inside):
    server = hub_inside.server()
    hub_inside.pass_time(clock.DAY)
    taken(hub_inside, server, START + clock.HOUR, START + clock.MINUTE)
    assert server.last_seen_at == START + clock.HOUR
    assert server.status(hub_inside.now(), 15) == "offline"


def test_an_old_export_moves_neither_the_last_sign_of_life_nor_the_current_state_back(hub_inside):
    server = hub_inside.server()
    hub_inside.send(server, {"cpu_percent": 50}, collected_at=START)
    taken(hub_inside, server, AGO)
    assert (server.last_seen_at, server.sample.at, server.metrics()["cpu_percent"]) == (START, START, 50)


def test_the_newest_sample_of_an_export_becomes_the_current_state(hub_inside):
    server = hub_inside.server()
    taken(hub_inside, server, AGO, AGO + 2, AGO + 1)
    assert server.sample.at == AGO + 2


def test_an_import_approves_nobody(hub_inside):
    answer = hub_inside.register(auth.Caller("nobody", STRANGER))
    server = hub_inside.fleet.by_uuid[answer["server_id"]]
    assert counts(taken(hub_inside, server, AGO)) == (1, 1, 0)
    assert server.flags() == ["pending"]


# --- what is refused as a whole -------------------------------------------------------------------------------------

def flipped(content):
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


WRONG = {  # name: (the file, given a server and another, and the words of the refusal)
    "a flipped byte": (lambda server, other: flipped(written(server, pack(lines(AGO)))), "damaged"),
    "a cut file": (lambda server, other: written(server, pack(lines(AGO)))[:-20], "damaged"),
    "something behind its end": (lambda server, other: written(server, pack(lines(AGO))) + b"x", "damaged"),
    "only its first line": (lambda server, other: written(server, pack(lines(AGO))).partition(b"\n")[0], "damaged"),
    "an unknown server": (lambda server, other: export("00000000-0000-0000-0000-000000000000", "", pack(lines(AGO))),
                          "not known here"),
    "the key of another": (lambda server, other: export(server.row["uuid"], other.row["export_key"],
                                                        pack(lines(AGO))), "did not write the file"),
    "the name of another": (lambda server, other: written(server, pack(lines(AGO)), server_id=other.row["uuid"]),
                            "did not write the file"),
    "a wrong hmac": (lambda server, other: written(server, pack(lines(AGO)), hmac="0" * 64), "did not write the file"),
    "another date": (lambda server, other: written(server, pack(lines(AGO)), exported_at="2026-11-23T10:00:00.000Z"),
                     "did not write the file"),
    "another format": (lambda server, other: written(server, pack(lines(AGO)), format="smon-spool-2"),
                       "format must be smon-spool-1"),
    "no hmac": (lambda server, other: written(server, pack(lines(AGO)), hmac=None), "hmac must be"),
    "no gzip": (lambda server, other: written(server, b"".join(lines(AGO))), "not gzip"),
    "gzip without its end": (lambda server, other: written(server, pack(lines(AGO))[:-9]), "not gzip"),
    "an empty file": (lambda server, other: b"", "no spool export"),
    "some other file": (lambda server, other: PASSWD, "no spool export"),
    "a long line": (lambda server, other: b"{" + b" " * 100_000, "no spool export"),
    "a list": (lambda server, other: b"[]\n", "must be a JSON object"),
}


@pytest.mark.parametrize("name", WRONG)
def test_it_refuses_in_one_sentence_and_stores_nothing(hub_inside, name):
    server, other = hub_inside.server(), hub_inside.server()
    hub_inside.pass_time(clock.HOUR)
    make, words = WRONG[name]
    with pytest.raises(HubError, match=words) as refusal:
        intake.take(hub_inside, make(server, other), hub_inside.now())
    sentence = refusal.value.sentence
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 200
    assert hub_inside.rows("SELECT COUNT(*) FROM samples") == [(0,)]
    assert (server.last_seen_at, server.sample, other.sample) == (START, None, None)


def test_a_removed_server_is_as_unknown_as_one_that_never_was(hub_inside):
    server = hub_inside.server()
    hub_inside.ask("DELETE", "/api/dashboard/server/" + server.row["uuid"], address=HERE, host="localhost")
    with pytest.raises(HubError, match="not known here") as refusal:
        taken(hub_inside, server, AGO)
    assert refusal.value.code == "forbidden"


def test_a_file_that_unpacks_without_end_costs_no_memory(hub_inside):
    server = hub_inside.server()
    bomb = written(server, pack([bytes(48 << 20)]))
    tracemalloc.start()
    try:
        assert intake.take(hub_inside, bomb, hub_inside.now())["refused"] == 1
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
