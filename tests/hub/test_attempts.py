"""How often a secret may be guessed."""

from __future__ import annotations

from smon_hub import attempts
from smon_hub.attempts import Attempts


def tries(guesses, count, start=1000.0, key="key", free=5):
    return [guesses.take(key, free, start) for _ in range(count)]


def test_some_tries_come_at_once_and_then_one_waits():
    assert tries(Attempts(), 7) == [0, 0, 0, 0, 0, 30, 30]


def test_each_try_after_a_wait_doubles_it_up_to_a_bound():
    guesses, now, waits = Attempts(), 1000.0, []
    for _ in range(16):
        wait = guesses.take("key", 5, now)
        if wait:
            waits.append(wait)
            now += wait
    assert waits == [30, 60, 120, 240, 480, 900]


def test_what_is_refused_is_not_counted():
    guesses = Attempts()
    tries(guesses, 100)
    assert guesses.take("key", 5, 1030.0) == 0
    assert guesses.take("key", 5, 1030.0) == 60


def test_a_forgiven_try_was_none():
    guesses = Attempts()
    for _ in range(50):
        assert guesses.take("key", 5, 1000.0) == 0
        guesses.forgive("key")
    assert tries(guesses, 6) == [0, 0, 0, 0, 0, 30]


def test_a_forgotten_key_begins_anew():
    guesses = Attempts()
    tries(guesses, 9)
    guesses.forget("key")
    assert tries(guesses, 5) == [0] * 5


def test_a_person_who_mistypes_now_and_then_never_waits():
    guesses = Attempts()
    assert [guesses.take("key", 5, hour * 3_601.0) for hour in range(1, 30)] == [0] * 29


def test_one_key_leaves_another_alone():
    guesses = Attempts()
    tries(guesses, 9)
    assert guesses.take("other", 5, 1000.0) == 0


def test_its_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(attempts, "MOST_KEYS", 2)
    guesses = Attempts()
    tries(guesses, 5, key="first")
    for key in ("second", "third"):
        guesses.take(key, 5, 1000.0)
    assert guesses.take("first", 5, 1000.0) == 0
