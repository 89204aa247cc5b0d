"""Calls that may hang: they are made together, each within its own time, and one that hangs spares the others."""

from __future__ import annotations

import sys
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


@pytest.fixture
def deadlines():
    return smon_agent.Deadlines()


class Interrupted(tuple):
    """A call before which the worker is kept from going on for a while, as on a machine with too much to do."""

    def __iter__(self):
        time.sleep(0.5)
        return tuple.__iter__(self)


class Unreadable(tuple):
    """A call that ends so many workers before it is made, as a lack of memory can."""

    def ending(self, workers):
        self.left = [None] * workers
        return self

    def __iter__(self):
        if self.left:
            self.left.pop()
            raise MemoryError
        return tuple.__iter__(self)


def workers():
    return {thread for thread in threading.enumerate() if thread.name == "worker"}


def call(name, answer=None):
    return (name, lambda: answer)


def said(outcomes):
    return [str(error) if error else result for result, error in outcomes]


def test_calls_are_made_in_their_order_by_one_thread(deadlines):
    seen = []
    calls = [(name, lambda name: seen.append((name, threading.current_thread())) or name.upper(), name)
             for name in "abc"]
    assert deadlines.each(calls, 5) == [("A", None), ("B", None), ("C", None)]
    deadlines.each(calls, 5)
    assert [name for name, _ in seen] == list("abcabc")
    assert len({thread for _, thread in seen}) == 1 and seen[0][1] is not threading.current_thread()
    assert deadlines.each([], 5) == []


def test_an_error_is_the_outcome_of_its_call_alone(deadlines):
    outcomes = deadlines.each([call("a", 1), ("b", lambda: 1 / 0), call("c", 3)], 5)
    assert said(outcomes) == [1, "division by zero", 3]


def test_the_time_of_a_call_begins_with_the_call(deadlines):
    """Together they take longer than one of them may."""
    calls = [(str(number), time.sleep, 0.15) for number in range(4)]
    assert said(deadlines.each(calls, 0.4)) == [None] * 4


def test_what_follows_a_call_that_hangs_is_made_all_the_same(deadlines, gate):
    calls = [call("before", 1), ("hangs", gate.wait), call("after", 2)]
    assert said(deadlines.each(calls, 0.3)) == [1, "no answer within 0.3 seconds", 2]
    once = said(deadlines.each(calls, 0.3))
    assert (once[0], once[2]) == (1, 2) and once[1].startswith("stuck since 20")


def test_each_of_several_that_hang_is_told_and_their_threads_end_when_they_come_back(deadlines, gate):
    """What followed them was made by another thread, and is not made by theirs as well."""
    before, made = workers(), []
    calls = [(name, gate.wait) for name in "ab"] + [("c", lambda: made.append("c") or 3)]
    late = "no answer within 0.3 seconds"
    assert said(deadlines.each(calls, 0.3)) == [late, late, 3]
    deadlines.each(calls, 0.3)
    assert len(workers() - before) == 3
    gate.set()
    for thread in workers() - before - {deadlines._worker.thread}:
        thread.join(5)
    assert said(deadlines.each(calls, 5)) == [True, True, 3]
    assert workers() - before == {deadlines._worker.thread}
    assert made == ["c"] * 3


def test_when_all_together_take_too_long_the_rest_is_not_begun(deadlines):
    """Whether they hang or are slow."""
    made = []
    calls = [(name, lambda name: made.append(name) or time.sleep(0.2), name) for name in "abcdefgh"]
    outcomes = said(deadlines.each(calls, 5, time.monotonic() + 0.5))
    assert outcomes == [None] * len(made) + ["not looked at, the others took too long"] * (8 - len(made))
    assert 1 <= len(made) <= 3
    assert said(deadlines.each([("a", time.sleep, 0)], 5, time.monotonic())) == outcomes[-1:]


def test_after_one_that_hangs_for_all_the_time_nothing_is_begun(deadlines, gate):
    calls = [("a", gate.wait), ("b", gate.wait), call("c", 3)]
    outcomes = said(deadlines.each(calls, 0.3, time.monotonic() + 0.2))
    assert outcomes == ["no answer within 0.3 seconds"] + ["not looked at, the others took too long"] * 2


def test_a_worker_that_is_kept_from_going_on_is_late_with_nothing(deadlines):
    """Between two calls neither the last one is late, which is done, nor the next one, which did not begin."""
    made = []
    calls = [(name, made.append, name) for name in "abc"]
    calls[1] = Interrupted(calls[1])
    assert said(deadlines.each(calls, 0.2)) == [None] * 3
    assert made == ["a", "b", "c"]


def test_a_call_that_was_given_up_before_it_began_is_not_made_twice(deadlines, monkeypatch):
    """The worker comes to its list too late: by then another one has made the calls."""
    made, put = [], deadlines.each([call("a")], 5) and deadlines._worker._lists.put
    first = deadlines._worker
    kept = []
    monkeypatch.setattr(first, "_lists", type("Slow", (), {"put": lambda _, listed: kept.append(listed)})())
    calls = [("a", made.append, "a"), ("b", made.append, "b")]
    assert said(deadlines.each(calls, 0.2)) == ["no answer within 0.2 seconds", None]
    put(*kept)
    first.thread.join(5)
    assert made == ["b"] and not first.thread.is_alive()
    assert said(deadlines.each(calls, 5)) == [None, None]


def test_a_call_that_ends_when_its_time_does_is_never_lost(deadlines):
    """Whether it was in time or not: the next time it is made."""
    for _ in range(30):
        deadlines.each([("a", time.sleep, 0.0199), ("b", time.sleep, 0.0201)], 0.02)
        late = [stuck[0].thread for stuck in deadlines._stuck.values()]
        for thread in late:
            thread.join(5)
        assert not any(thread.is_alive() for thread in late)
    assert said(deadlines.each([call("a", 1), call("b", 2)], 5)) == [1, 2]


def test_without_another_thread_what_was_made_is_kept(deadlines, gate, monkeypatch):
    deadlines.each([call("a")], 5)

    def refused(thread):
        raise RuntimeError("can't start new thread")
    monkeypatch.setattr(threading.Thread, "start", refused)
    outcomes = said(deadlines.each([call("a", 1), ("b", gate.wait), call("c", 3)], 0.3))
    assert outcomes == [1, "no answer within 0.3 seconds", "can't start new thread"]
    assert said(smon_agent.Deadlines().each([call("a")], 5)) == ["can't start new thread"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_dies_costs_one_call_at_most(deadlines):
    calls = [call("a", 1), Unreadable(call("b", 2)).ending(1), call("c", 3)]
    assert said(deadlines.each(calls, 5)) == [1, 2, 3]
    calls[1].ending(99)
    assert said(deadlines.each(calls, 0.3)) == [1, "no answer within 0.3 seconds", 3]
    calls[1].ending(0)
    assert said(deadlines.each(calls, 5)) == [1, 2, 3]
    made = []
    calls = [("a", lambda: made.append("a") or sys.exit()), call("b", 2)]
    assert said(deadlines.each(calls, 0.3)) == ["no answer within 0.3 seconds", 2] and made == ["a"]


def test_a_caller_that_fails_does_not_take_up_what_is_under_way(deadlines, gate, monkeypatch):
    def failing(**_):
        raise MemoryError
    monkeypatch.setattr(smon_agent.Worker, "_began", property(lambda self: failing(), lambda *_: None), raising=False)
    with pytest.raises(MemoryError):
        deadlines.each([("a", gate.wait)], 5)
    monkeypatch.undo()
    gate.set()
    made = []
    assert said(deadlines.each([("b", lambda: time.sleep(0.2) or made.append("b"))], 5)) == [None] and made == ["b"]
