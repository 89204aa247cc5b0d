"""The rows of watched servers, and what is left of removed ones."""

from __future__ import annotations

from smon_hub.store import series, servers
from tests.hub.test_fleet import ROW
from tests.store.test_series import TEN, live_row, row


def add(engine, uuid, **columns):
    return engine.write(lambda db: servers.add(db, dict(ROW, uuid=uuid, **columns)))


def test_a_row_comes_back_as_it_was_given(engine, db):
    server = add(engine, "u", tags=["a", "\u00e9"], approved=False, may_be_off=True, notes="one\ntwo")
    assert servers.rows(db) == [dict(ROW, id=server, uuid="u", tags=["a", "\u00e9"], approved=False, may_be_off=True,
                                     notes="one\ntwo")]


def test_a_change_touches_what_it_names_and_nothing_else(engine, db):
    first, second = add(engine, "u"), add(engine, "v")
    before = servers.rows(db)
    assert engine.write(lambda db: servers.change(db, first, {"notes": "n", "tags": [], "approved": False}))
    assert servers.rows(db) == [dict(before[0], notes="n", tags=[], approved=False), before[1]]
    assert not engine.write(lambda db: servers.change(db, second + 1, {"notes": "n"}))


def test_who_was_seen_when_is_written_for_many_at_once(engine, db):
    ids = [add(engine, uuid) for uuid in "uvw"]
    engine.write(lambda db: servers.settle(db, [(TEN, 7, ids[0]), (TEN + 1, None, ids[2])]))
    assert [(each["last_seen_at"], each["newest_sample"]) for each in servers.rows(db)] == [
        (TEN, 7), (ROW["last_seen_at"], None), (TEN + 1, None)]


def test_a_removed_server_is_gone_at_once_and_only_once(engine, db):
    server = add(engine, "u")
    assert engine.write(lambda db: servers.remove(db, server))
    assert servers.rows(db) == []
    assert not engine.write(lambda db: servers.remove(db, server))


def test_its_id_is_not_used_again_while_its_rows_remain(engine, db):
    server = add(engine, "u")
    engine.write(lambda db: series.add(db, [row(TEN, server)]))
    engine.write(lambda db: servers.remove(db, server))
    other = add(engine, "v")
    assert other != server
    assert series.nearest(db, other, TEN) is None
    engine.write(lambda db: servers.remove(db, other))
    assert add(engine, "w") not in (server, other)


def test_sweeping_removes_slice_by_slice_until_nothing_is_left(engine, db):
    gone, stays = add(engine, "u"), add(engine, "v")
    for server in (gone, stays):
        engine.write(lambda db: series.add(db, [row(TEN + number, server) for number in range(5)]))
        engine.write(lambda db: series.add_live(db, [live_row(TEN, server)]))
    engine.write(lambda db: servers.remove(db, gone))
    done = []
    while not done or done[-1]:
        done.append(engine.write(lambda db: servers.sweep(db, 2)))
    assert done == [2, 2, 1, 1, 1, 0]  # samples, the live one, the note that there was something to do
    assert db.execute("SELECT server, COUNT(*) FROM samples GROUP BY 1").fetchall() == [(stays, 5)]
    assert db.execute("SELECT server FROM live").fetchall() == [(stays,)]


def test_nothing_to_sweep_is_nothing_done(engine):
    assert engine.write(lambda db: servers.sweep(db, 2)) == 0
