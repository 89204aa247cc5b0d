"""The demo's machines: the hub takes what they send, and it looks like days of real ones."""

from __future__ import annotations

import pytest

from smon_hub import bodies, clock, demo, shapes
from smon_hub.simulation import ROLES, TROUBLES, Machine, busy

NOW = clock.parse("2026-11-22T10:00:00Z")
MONDAY = clock.parse("2026-11-16T00:00:00Z")


def day(machine, start=MONDAY, left=1_000):
    """A sample every ten minutes of a day, far from the end where trouble is."""
    return [machine.sample(start + place * 10 * clock.MINUTE, left) for place in range(144)]


def cpu(samples):
    return [sample["metrics"]["cpu_percent"] for sample in samples]


@pytest.mark.parametrize("number", range(len(ROLES)))
def test_every_payload_is_one_that_the_hub_takes(number):
    machine = Machine(number, NOW)
    for left in (5, 2, 0):
        assert shapes.clean(bodies.SAMPLE, machine.sample(NOW - left * clock.MINUTE, left))
    assert shapes.clean(bodies.LIVE, machine.live(NOW + clock.MINUTE))


def test_a_year_back_it_had_been_started_before():
    machine = Machine(0, NOW)
    year = [machine.sample(NOW - day * clock.DAY, 1_000) for day in range(365, -1, -1)]
    assert all(shapes.clean(bodies.SAMPLE, sample) for sample in year)
    assert len({sample["agent"]["boot_id"] for sample in year}) in (4, 5)
    assert all(0 <= sample["metrics"]["uptime_seconds"] <= 100 * 86_400 for sample in year)


def test_eight_machines_are_in_five_groups_and_the_ninth_has_a_name_of_its_own():
    machines = [Machine(number, NOW) for number in range(17)]
    assert len({machine.role.group for machine in machines[:8]}) == 5
    assert len({machine.hostname for machine in machines}) == len({machine.address for machine in machines}) == 17


def test_counters_only_grow_and_agree_with_the_rates():
    before = None
    for sample in day(Machine(0, NOW)):
        counters = sample["metrics"]["network"]
        if before is not None:
            grown = counters["bytes_sent"] - before["bytes_sent"]
            assert grown == pytest.approx(600 * sample["metrics"]["network_rate"]["bytes_sent_per_sec"], abs=600)
            assert all(counters[key] >= before[key] for key in counters)
        before = counters


def test_a_day_has_office_hours_and_a_night_with_jobs():
    web, backup = cpu(day(Machine(0, NOW))), cpu(day(Machine(4, NOW)))
    night, noon = slice(22 * 6, 24 * 6), slice(11 * 6, 13 * 6)
    assert sum(web[noon]) > 3 * sum(web[night])
    assert sum(backup[1 * 6:3 * 6]) > 3 * sum(backup[noon])


def test_a_weekend_is_quiet():
    noons = [busy(MONDAY + days * clock.DAY + 12 * clock.HOUR) for days in range(7)]
    assert max(noons[5:]) < 0.5 * min(noons[:5])


def test_the_same_name_gives_the_same_machine():
    assert day(Machine(3, NOW)) == day(Machine(3, NOW))
    assert cpu(day(Machine(0, NOW))) != cpu(day(Machine(8, NOW)))


def test_values_stay_within_what_they_can_be():
    for number in range(len(ROLES)):
        for sample in day(Machine(number, NOW)):
            numbers = sample["metrics"]
            assert 0 < numbers["cpu_percent"] < 90 and 0 < numbers["memory_percent"] < 90
            for disk in numbers["disks"]:
                assert disk["used"] + disk["free"] == disk["total"] and disk["percent"] < 90


def test_trouble_comes_at_the_end_and_one_of_them_is_over_by_then():
    fleet = {Machine(number, NOW).trouble: Machine(number, NOW) for number in range(len(TROUBLES))}
    ends = [sample["metrics"]["cpu_percent"] > 90 for sample in last(fleet["cpu that ends"])]
    assert ends == [False, True, True, False, False]
    assert [sample["metrics"]["memory_percent"] > 90 for sample in last(fleet["memory"])][-1]
    assert [sample["metrics"]["disks"][-1]["percent"] > 90 for sample in last(fleet["disk"])][-1]
    assert [sample["services"][0]["status"] for sample in last(fleet["service"])][-1] == "failed"


def last(machine):
    return [machine.sample(NOW - left * clock.MINUTE, left) for left in range(4, -1, -1)]


@pytest.mark.parametrize("rounds, days, count", [(12, 0, 12), (12, 3, 432), (1, 0, 1), (0, 0, 0), (500, 1, 500)])
def test_the_moments_are_as_many_as_asked_and_end_now(rounds, days, count):
    taken = demo.moments(NOW, rounds, days)
    assert len(taken) == count and taken == sorted(set(taken))
    assert not taken or taken[-1] == NOW
    if days:
        assert taken[0] <= NOW - days * clock.DAY + clock.HOUR
