"""Services as they are and when that changed: rows are written for what changed only."""

from __future__ import annotations

import pytest

from smon_hub import bodies
from smon_hub.store import services

TEN = 1795341600000
NGINX = ("nginx", "A web server", "running", "auto", 7, 0)
CRON = ("cron", "Timed jobs", "running", "auto", 8, 0)
FIELDS = bodies.SERVICE.names


def but(service, **changes):
    """A service with other values."""
    return tuple(changes.get(name, value) for name, value in zip(FIELDS, service))


class Counting:
    """A connection that counts the rows that its statements change."""

    def __init__(self, db):
        self._db, self.rows = db, 0

    def execute(self, sql, values=()):
        done = self._db.execute(sql, values)
        self.rows += 0 if sql.startswith("SELECT") else done.rowcount
        return done

    def executemany(self, sql, values):
        values = list(values)
        self.rows += self._db.executemany(sql, values).rowcount if values else 0


@pytest.fixture
def move(engine):
    """move(at, *services) -> the rows written, by the function's word and by the engine's own count."""
    def moved(at, *now):
        def work(db):
            counting = Counting(db)
            return services.move(counting, 1, at, now), counting.rows
        return engine.write(work)
    return moved


def changes(db):
    return db.execute("SELECT name, at, was, became FROM service_changes ORDER BY id").fetchall()


def test_the_first_list_is_written_and_is_no_news(move, db):
    assert move(TEN, NGINX, CRON) == (2, 2)
    assert changes(db) == []
    assert [each["service_name"] for each in services.of(db, 1)] == ["cron", "nginx"]


def test_the_same_list_again_writes_nothing(move, db):
    move(TEN, NGINX, CRON)
    assert move(TEN + 1, CRON, NGINX) == (0, 0)


def test_a_changed_status_is_written_and_noted(move, db):
    move(TEN, NGINX, CRON)
    assert move(TEN + 1, but(NGINX, status="failed"), CRON) == (1, 2)
    assert changes(db) == [("nginx", TEN + 1, "running", "failed")]
    assert services.of(db, 1)[0] == {
        "service_name": "nginx", "display_name": "A web server", "status": "failed", "start_type": "auto", "pid": 7,
        "restarts": 0, "changed_at": "2026-11-22T10:00:00Z"}


def test_a_new_process_id_alone_is_written_and_is_no_news(move, db):
    move(TEN, NGINX)
    assert move(TEN + 60_000, but(NGINX, pid=9, restarts=1)) == (1, 1)
    assert changes(db) == []
    shown = services.of(db, 1)[0]
    assert (shown["pid"], shown["restarts"], shown["changed_at"]) == (9, 1, "2026-11-22T10:00:00Z")


def test_a_service_that_came_and_one_that_went_are_noted(move, db):
    move(TEN, NGINX)
    assert move(TEN + 1, CRON) == (2, 4)
    assert changes(db) == [("cron", TEN + 1, None, "running"), ("nginx", TEN + 1, "running", None)]
    assert [each["service_name"] for each in services.of(db, 1)] == ["cron"]


def test_of_two_with_one_name_the_last_counts(move, db):
    assert move(TEN, NGINX, but(NGINX, status="stopped")) == (1, 1)
    assert services.of(db, 1)[0]["status"] == "stopped"


def test_those_that_need_a_look_come_first(move, db):
    states = ["exited", "running", "stopped", "error", "paused", "failed"]
    move(TEN, *(but(NGINX, service_name=state, status=state) for state in states))
    assert [each["status"] for each in services.of(db, 1)] == [
        "failed", "error", "paused", "stopped", "running", "exited"]


def test_old_changes_go_in_slices(move, engine, db):
    for at in range(6):
        move(TEN + at, but(NGINX, status="failed" if at % 2 else "running"))
    drop = lambda db: services.drop_changes(db, 1, TEN + 4, 2)  # noqa: E731 - named to be told apart
    assert [engine.write(drop) for _ in range(3)] == [2, 1, 0]
    assert [at for _, at, _, _ in changes(db)] == [TEN + 4, TEN + 5]
