"""Calls that may hang: they are made together, each within its own time, and one that hangs spares the others."""

from __future__ import annotations

import threading
import time

import pytest

import smon_agent


@pytest.fixture
def gate():
    """Calls wait for it; at the end nobody waits any more."""
    made = threading.Event()
    yield made
    made.set()


def workers():
    return {thread for thread in threading.enumerate() if isinstance(thread, smon_agent.Worker)}


def call(name, answer=None):
    return (name, lambda: answer)


def said(outcomes):
    return [str(error) if error else result for result, error in outcomes]


def test_calls_are_made_in_their_order_by_one_thread():
    deadlines, seen = smon_agent.Deadlines(), []
    calls = [(name, lambda name: seen.append((name, threading.current_thread())) or name.upper(), name)
             for name in "abc"]
    assert deadlines.each(calls, 5) == [("A", None), ("B", None), ("C", None)]
    deadlines.each(calls, 5)
    assert [name for name, _ in seen] == list("abcabc")
    assert len({thread for _, thread in seen}) == 1 and seen[0][1] is not threading.current_thread()
    assert deadlines.each([], 5) == []


def test_an_error_is_the_outcome_of_its_call_alone():
    outcomes = smon_agent.Deadlines().each([call("a", 1), ("b", lambda: 1 / 0), call("c", 3)], 5)
    assert said(outcomes) == [1, "division by zero", 3]


def test_the_time_of_a_call_begins_with_the_call():
    """Together they take longer than one of them may."""
    calls = [(str(number), time.sleep, 0.15) for number in range(4)]
    assert said(smon_agent.Deadlines().each(calls, 0.4)) == [None] * 4


def test_what_follows_a_call_that_hangs_is_made_all_the_same(gate):
    deadlines = smon_agent.Deadlines()
    calls = [call("before", 1), ("hangs", gate.wait), call("after", 2)]
    assert said(deadlines.each(calls, 0.2)) == [1, "no answer within 0.2 seconds", 2]
    once = said(deadlines.each(calls, 0.2))
    assert (once[0], once[2]) == (1, 2) and once[1].startswith("stuck since 20")


def test_each_of_several_that_hang_is_told_and_their_threads_end_when_they_come_back(gate):
    """What followed them was made by another thread, and is not made by theirs as well."""
    deadlines, before, made = smon_agent.Deadlines(), workers(), []
    calls = [(name, gate.wait) for name in "ab"] + [("c", lambda: made.append("c") or 3)]
    late = "no answer within 0.1 seconds"
    assert said(deadlines.each(calls, 0.1)) == [late, late, 3]
    deadlines.each(calls, 0.1)
    assert len(workers() - before) == 3
    gate.set()
    for worker in workers() - before - {deadlines._worker}:
        worker.join(5)
    assert said(deadlines.each(calls, 5)) == [True, True, 3]
    assert workers() - before == {deadlines._worker}
    assert made == ["c"] * 3


def test_when_all_together_take_too_long_the_rest_is_not_looked_at(gate):
    calls = [("a", gate.wait), ("b", gate.wait), call("c", 3)]
    outcomes = said(smon_agent.Deadlines().each(calls, 0.2, time.monotonic() + 0.1))
    assert outcomes == ["no answer within 0.2 seconds"] + ["not looked at, the others took too long"] * 2


def test_a_worker_that_was_not_let_run_hangs_in_its_first_call(gate, monkeypatch):
    """Not in the last one of the time before, which is over."""
    deadlines = smon_agent.Deadlines()
    deadlines.each([call("a"), call("b")], 5)
    worker = deadlines._worker
    monkeypatch.setattr(worker, "_lists", type("Nowhere", (), {"put": lambda *_: None})())
    assert said(deadlines.each([call("a", 1), call("b", 2)], 0.1)) == ["no answer within 0.1 seconds", 2]
