"""When an alert opens, changes and ends: the judge alone, over time; then a hub whose samples are judged."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smon_hub import alerts, auth, clock, ingest, judging, ledger
from smon_hub.alerts import CHANGED, CRITICAL, NONE, OPENED, RECOVERED, WARNING, Need, State
from smon_hub.settings import DEFAULTS
from smon_hub.store import outbox
from smon_hub.store.events import SEVERITIES
from tests.hub import inside
from tests.hub.inside import START, sample, service
from tests.support.processes import GIB

BAR = alerts.bar(90, 95)
GOOD = {"cpu_percent": 10.0, "memory_percent": 20.0}


def run(values, need=Need(), levels=BAR, minutes=5):
    """What the judge says of each value of one object, sampled every few minutes; None is a sample without it."""
    state, said = None, []
    for index, value in enumerate(values):
        reading = None if value is None else alerts.share("cpu", "", value, levels)
        state, what = alerts.judge(state, reading, need, START + index * minutes * clock.MINUTE)
        said.append("%s %s" % (what, SEVERITIES[state.severity]) if what and state else what)
    return said


# --- the judge --------------------------------------------------------------------------------------------------------

TIMES = [
    ("opens with the first sample", [50, 90], Need(), ["", "opened warning"]),
    ("stays below the level", [89.9, 89.9], Need(), ["", ""]),
    ("opens critical", [95], Need(), ["opened critical"]),
    ("rises at once", [90, 95], Need(), ["opened warning", "severity critical"]),
    ("is held between the levels", [90, 85, 85, 85], Need(), ["opened warning", "", "", ""]),
    ("ends with the second good sample", [90, 84, 84], Need(), ["opened warning", "", "recovered"]),
    ("one good sample does not end it", [90, 84, 86, 84, 84], Need(),
     ["opened warning", "", "", "", "recovered"]),
    ("falls to what it falls to", [95, 89, 89], Need(), ["opened critical", "", "severity warning"]),
    ("is critical while it is not below the critical level's end", [95, 90, 90, 90], Need(),
     ["opened critical", "", "", ""]),
    ("falls to the worst of the good samples", [95, 89, 10], Need(), ["opened critical", "", "severity warning"]),
    ("waits for samples", [90, 90, 90], Need(samples=3), ["", "", "opened warning"]),
    ("a good sample ends the wait", [90, 50, 90, 90], Need(samples=3), ["", "", "", ""]),
    ("waits for minutes", [90, 90, 90], Need(minutes=10), ["", "", "opened warning"]),
    ("opens as what it is then", [90, 96], Need(samples=2), ["", "opened critical"]),
    ("a sample between the levels ends the wait", [90, 86, 90], Need(samples=2), ["", "", ""]),
    ("ends after as many as were asked for", [90, 1, 1, 1], Need(clears=3), ["opened warning", "", "", "recovered"]),
]


@pytest.mark.parametrize("values, need, expected", [row[1:] for row in TIMES], ids=[row[0] for row in TIMES])
def test_an_object_over_time(values, need, expected):
    assert run(values, need) == expected


VALUES = st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=60)


@given(VALUES, st.integers(1, 4), st.integers(0, 20), st.integers(1, 4))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_every_opening_has_exactly_one_recovery_or_is_still_open(values, samples, minutes, clears):
    said = [what.split()[0] for what in run(values, Need(samples, minutes, clears)) if what]
    ends = [what for what in said if what != CHANGED]
    assert ends == ([OPENED, RECOVERED] * len(ends))[:len(ends)]
    assert said[:1] in ([], [OPENED])


@given(VALUES)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_a_value_over_the_critical_level_is_never_less_than_critical(values):
    state = None
    for value in values:
        reading = None if value is None else alerts.share("cpu", "", value, BAR)
        state, _ = alerts.judge(state, reading, Need(), START)
        if value is not None and value >= BAR.critical:
            assert state.severity == CRITICAL
        if value is not None and value >= BAR.warning:
            assert state.severity >= WARNING


@pytest.mark.parametrize("warning, critical, expected", [
    (90, 95, (90, 95, 85, 90)), (70, 95, (70, 95, 65, 90)), (93, 95, (93, 98, 88, 93)), (98, 95, (98, 100, 93, 95)),
    (1, 95, (1, 95, 0.5, 90)), (100, 95, (100, 100, 95, 95))])
def test_the_levels_that_follow_from_a_threshold(warning, critical, expected):
    assert alerts.bar(warning, critical) == expected


def test_disks_clear_nearer_to_their_level():
    row = {"alert_cpu_threshold": 90, "alert_memory_threshold": 90, "alert_disk_threshold": 90}
    assert alerts.bars(row, DEFAULTS).disk == (90, 95, 87, 92)
    assert alerts.bars(row, DEFAULTS).swap[0::2] == (80, 70)


def test_a_waiting_object_is_no_alert():
    state, what = alerts.judge(None, alerts.share("cpu", "", 99, BAR), Need(samples=2), START)
    assert (state, what) == (State(NONE, START, 1), "")


# --- a hub ------------------------------------------------------------------------------------------------------------

class Watched:
    """A server of a hub with a fake clock: each sample comes some minutes after the last."""

    def __init__(self, hub, **fields):
        self.hub, self.server, self.sequence = hub, hub.server(**fields), 0

    def sends(self, metrics=None, minutes=5, age_ms=0, **members):
        self.hub.pass_time(minutes * clock.MINUTE)
        self.hub.send(self.server, {**GOOD, **(metrics or {})}, collected_at=self.hub.now() - age_ms, **members)
        return self

    def about(self, **members):
        """What its agent says of itself."""
        self.sequence += 1
        return dict({"boot_id": "b1", "sequence": self.sequence, "dropped": 0, "errors": {}}, **members)

    def told(self):
        return [(rule, object, event, message) for rule, object, event, message in self.hub.rows(
            "SELECT rule, object, event, message FROM alert_events WHERE server = ? ORDER BY id",
            self.server.row["id"])]

    def events(self):
        return [(rule, event) for rule, _, event, _ in self.told()]

    def messages(self):
        """What channels were told."""
        return self.hub.told

    def alerts(self, state="open"):
        return self.hub.ask("GET", "/api/dashboard/alerts?state=" + state, address=inside.HERE,
                            host="localhost").json["alerts"]


@pytest.fixture
def hub(hub_inside, monkeypatch):
    """A hub that notes what it tells the channels."""
    hub_inside.told = []
    add = outbox.add

    def note(db, messages, now):
        hub_inside.told += [(message["event"], message["rule"], message["object"]) for message in messages]
        add(db, messages, now)
    monkeypatch.setattr(outbox, "add", note)
    return hub_inside


@pytest.fixture
def web(hub):
    return Watched(hub)


def test_an_alert_has_the_fields_of_the_first_implementation(web):
    web.sends({"cpu_percent": 95.0})
    alert, = web.alerts()
    assert {key: alert[key] for key in ("alert_type", "severity", "message", "metric_value", "threshold_value",
                                        "is_acknowledged", "acknowledged_at", "server_id", "hostname")} == {
        "alert_type": "cpu", "severity": "critical", "message": "CPU usage at 95.0% (threshold: 90%)",
        "metric_value": 95.0, "threshold_value": 90, "is_acknowledged": False, "acknowledged_at": None,
        "server_id": web.server.row["uuid"], "hostname": web.server.row["hostname"]}


def disk(percent, mount="/", **members):
    return {"disks": [dict({"mountpoint": mount, "percent": percent, "total": GIB}, **members)]}


RULES = [
    ("cpu", {"cpu_percent": 91.0}, "CPU usage at 91.0% (threshold: 90%)", "warning"),
    ("memory", {"memory_percent": 96.0}, "Memory usage at 96.0% (threshold: 90%)", "critical"),
    ("disk", disk(93.0, "/var"), "Disk usage of /var at 93.0% (threshold: 90%)", "warning"),
    ("inodes", disk(10.0, "/srv", inodes_percent=97.0), "Inode usage of /srv at 97.0% (threshold: 90%)", "critical"),
]


@pytest.mark.parametrize("rule, metrics, message, severity", RULES, ids=[row[0] for row in RULES])
def test_a_number_alerts_with_its_first_sample_and_ends_with_two_good_ones(web, rule, metrics, message, severity):
    web.sends().sends(metrics)
    assert [(alert["alert_type"], alert["message"], alert["severity"]) for alert in web.alerts()] == [
        (rule, message, severity)]
    web.sends()
    assert web.events() == [(rule, OPENED)]
    web.sends()
    assert web.events() == [(rule, OPENED), (rule, RECOVERED)] and web.alerts() == []
    assert [event for event, _, _ in web.messages()] == [OPENED, RECOVERED]


def test_swap_alerts_only_while_memory_is_short(web):
    web.sends({"swap_percent": 90.0}).sends({"swap_percent": 90.0})
    assert web.events() == []
    short = {"swap_percent": 90.0, "memory_percent": 86.0}
    web.sends(short)
    assert web.events() == []
    web.sends(short)
    assert web.events() == [("swap", OPENED)]


def test_two_mounts_are_two_alerts(web):
    both = {"disks": disk(93.0, "/a")["disks"] + disk(97.0, "/b")["disks"]}
    web.sends(both).sends(disk(93.0, "/a")).sends(disk(93.0, "/a"))
    assert [(object, event) for _, object, event, _ in web.told()] == [
        ("/a", OPENED), ("/b", OPENED), ("/b", RECOVERED)]


def test_a_sample_that_does_not_tell_of_disks_ends_no_disk_alert(web):
    web.sends(disk(93.0)).sends({"disks": None}).sends({"disks": None}).sends({"disks": None})
    assert web.events() == [("disk", OPENED)]


def test_a_failed_service_alerts_when_it_starts_by_itself(web):
    both = [service("cron", "failed"), service("odd", "failed", start_type="manual"), service("off", "stopped")]
    web.sends(services=both).sends(services=both)
    assert [(alert["object"], alert["severity"], alert["message"]) for alert in web.alerts()] == [
        ("cron", "warning", "Service cron: failed")]
    web.sends(services=[service("cron")]).sends(services=[service("cron")])
    assert web.events() == [("service", OPENED), ("service", RECOVERED)]


def test_a_listed_service_that_rests_is_critical(web):
    for _ in range(2):
        web.sends(services=[service("nginx", "stopped", start_type="manual")], agent=web.about(services_listed=True))
    assert [(alert["object"], alert["severity"]) for alert in web.alerts()] == [("nginx", "critical")]


def test_services_that_stay_as_bad_as_they_were_are_counted_though_they_are_not_written_again(web):
    for _ in range(5):
        web.sends(services=[service("cron", "failed")])
    assert web.events() == [("service", OPENED)]


def test_a_service_that_restarts_again_and_again_alerts(web):
    for count in (0, 1, 2, 5, 5, 5, 5, 5, 5):
        web.sends(services=[service("app", restarts=count)])
    assert [(rule, event, message) for rule, _, event, message in web.told()] == [
        ("restarts", OPENED, "Service app restarted 5 times within 15 minutes"),
        ("restarts", RECOVERED, "Service app has stopped restarting")]


def test_the_first_restarts_of_all_count(web):
    web.sends().sends(services=[service("app")]).sends(services=[service("app", restarts=3)])
    assert web.events() == [("restarts", OPENED)]


def test_a_service_that_restarted_before_the_hub_knew_it_does_not_alert(web):
    for _ in range(3):
        web.sends(services=[service("app", restarts=40)])
    assert web.events() == []


def test_restarts_whose_alert_could_not_be_stored_alert_when_the_sample_comes_again(web, monkeypatch):
    web.sends(services=[service("app")])
    with monkeypatch.context() as patch:
        patch.setattr(ledger.Record, "close", lambda record: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            web.sends(services=[service("app", restarts=9)], minutes=1)
    web.sends(services=[service("app", restarts=9)], minutes=0)
    assert web.events() == [("restarts", OPENED)]


def test_a_clean_restart_of_the_machine_is_a_line_and_an_unclean_one_a_warning(web):
    web.sends(agent=web.about())
    web.sequence = 0
    web.sends(agent=web.about(boot_id="b2", clean_shutdown=True))
    assert web.events() == [("reboot", "info")] and web.alerts() == []
    web.sequence = 0
    web.sends(agent=web.about(boot_id="b3", clean_shutdown=False))
    assert [(alert["severity"], alert["message"]) for alert in web.alerts()] == [
        ("warning", "Restarted without a clean shutdown")]


def test_an_uptime_that_fell_tells_of_a_restart_where_no_agent_does(web):
    web.sends({"uptime_seconds": 5000}).sends({"uptime_seconds": 5300}).sends({"uptime_seconds": 20})
    assert web.events() == [("reboot", "info")]


def test_an_agent_that_begins_or_ceases_to_tell_its_boot_is_no_restart(web):
    web.sends().sends(agent=web.about()).sends({"uptime_seconds": None}).sends()
    assert web.events() == []


def test_a_machine_that_restarts_all_the_time_does_not_fill_the_bell(web):
    for boot in range(20):
        web.sends(agent=web.about(boot_id="b%d" % boot, sequence=1), minutes=1)
    assert len(web.events()) == 5


@pytest.mark.parametrize("ahead_s", [-3600, -90, 90, 3600])
def test_a_clock_that_differs_alerts_with_the_second_sample(web, ahead_s):
    for _ in range(2):
        web.sends(age_ms=-ahead_s * 1000, agent=web.about())
    assert [alert["message"] for alert in web.alerts()] == [
        "Its clock differs by %d s from the hub's (threshold: 60 s)" % abs(ahead_s)]
    for _ in range(2):
        web.sends(agent=web.about())
    assert web.alerts() == []


def test_samples_of_one_moment_tell_nothing_of_the_clock(web):
    """The hub's own clock may just have been put right."""
    for _ in range(3):
        web.sends(age_ms=-clock.HOUR, agent=web.about(), minutes=0)
    assert web.events() == []


@pytest.mark.parametrize("ages_s", [(120, 300), (7_000, 3_000), (400, 61)])
def test_samples_that_had_to_wait_tell_nothing_of_the_clock(web, ages_s):
    web.sends(agent=web.about())
    for age in ages_s:
        web.sends(age_ms=age * 1000, agent=web.about(), minutes=120)
    assert web.events() == []


def test_a_clock_that_runs_away_is_followed(hub, web):
    for hours in (1, 1, 1, 2, 3):
        web.sends(age_ms=hours * clock.HOUR, agent=web.about(), minutes=120)
    web.sends({"cpu_percent": 99.0}, age_ms=3 * clock.HOUR, agent=web.about(), minutes=120)
    assert [(alert["alert_type"], alert["metric_value"]) for alert in web.alerts()] == [
        ("cpu", 99.0), ("clock_skew", 3 * 3600.0)]


def test_a_server_whose_clock_is_behind_is_judged_all_the_same(web):
    for cpu in (10.0, 10.0, 99.0):
        web.sends({"cpu_percent": cpu}, age_ms=clock.HOUR, agent=web.about())
    assert ("cpu", OPENED) in web.events()


def test_trouble_of_a_collector_and_dropped_samples_alert(web):
    web.sends(agent=web.about(errors={"disks": "/mnt does not answer."}))
    web.sends(agent=web.about(errors={"disks": "/mnt does not answer."}, dropped=3))
    assert [alert["message"] for alert in web.alerts()] == [
        "Agent: 3 samples did not fit its disk buffer", "Agent: disks: /mnt does not answer."]


def test_the_processes_of_the_moment_come_with_the_alert(web):
    names = [("idle", 0.1), ("busy", 190.0), ("some", 20.0), ("more", 30.0)]
    web.sends({"cpu_percent": 99.0}, processes=[{"pid": 1, "name": name, "cpu_percent": cpu} for name, cpu in names])
    assert [each["name"] for each in web.alerts()[0]["processes"]] == ["busy", "more", "some"]


def test_the_number_of_an_open_alert_is_the_newest_and_small_steps_are_not_written(web):
    def shown():
        return [(alert["metric_value"], alert["message"]) for alert in web.alerts()]
    web.sends(disk(91.0)).sends(disk(91.9))
    assert shown() == [(91.0, "Disk usage of / at 91.0% (threshold: 90%)")]
    web.sends(disk(93.5))
    assert shown() == [(93.5, "Disk usage of / at 93.5% (threshold: 90%)")]
    web.sends(disk(88.0))
    assert shown() == [(88.0, "Disk usage of / at 88.0% (threshold: 90%)")] and web.events() == [("disk", OPENED)]


def test_the_words_of_an_open_alert_are_the_newest(web):
    for status in ("failed", "failed", "error"):
        web.sends(services=[service("cron", status)])
    assert [alert["message"] for alert in web.alerts()] == ["Service cron: error"]


def test_a_list_that_somebody_names_is_judged_anew_though_it_is_the_same_list(web):
    resting = [service("nginx", "stopped")]
    web.sends(services=resting, agent=web.about())
    for _ in range(2):
        web.sends(services=resting, agent=web.about(services_listed=True))
    assert [alert["object"] for alert in web.alerts()] == ["nginx"]


def test_a_threshold_of_ones_own_holds_at_once(hub, web):
    hub.ask("PATCH", "/api/dashboard/server/" + web.server.row["uuid"], {"alert_cpu_threshold": 50},
            address=inside.HERE, host="localhost")
    web.sends({"cpu_percent": 51.0})
    assert web.alerts()[0]["message"] == "CPU usage at 51.0% (threshold: 50%)"


def test_people_may_ask_for_more_patience(hub, web):
    hub.change_settings({"alert_for_samples": 3, "alert_clear_samples": 1})
    web.sends({"cpu_percent": 99.0}).sends({"cpu_percent": 99.0})
    assert web.events() == []
    web.sends({"cpu_percent": 99.0}).sends()
    assert web.events() == [("cpu", OPENED), ("cpu", RECOVERED)]


def test_a_server_that_waits_for_approval_alerts_nobody(hub):
    waiting = Watched.__new__(Watched)
    waiting.hub, waiting.sequence = hub, 0
    waiting.server = hub.fleet.by_uuid[hub.register(auth.Caller("nobody", inside.STRANGER))["server_id"]]
    waiting.sends({"cpu_percent": 99.0})
    assert waiting.events() == [] and hub.told == []
    hub.ask("PATCH", "/api/dashboard/server/" + waiting.server.row["uuid"], {"approved": True}, address=inside.HERE,
            host="localhost")
    waiting.sends({"cpu_percent": 99.0})
    assert waiting.events() == [("cpu", OPENED)]


def test_who_is_not_approved_any_more_has_no_alert(hub, web):
    web.sends({"cpu_percent": 99.0})
    url = "/api/dashboard/server/" + web.server.row["uuid"]
    hub.ask("PATCH", url, {"approved": False}, address=inside.HERE, host="localhost")
    assert web.alerts() == [] and web.server.tally.worst == "" and hub.fleet.unread == 0
    assert [event for event, _, _ in hub.told] == [OPENED, RECOVERED]
    web.sends({"cpu_percent": 99.0})
    assert len(hub.told) == 2
    hub.ask("PATCH", url, {"approved": True}, address=inside.HERE, host="localhost")
    web.sends({"cpu_percent": 99.0})
    assert len(web.alerts()) == 1


def test_a_wait_survives_a_clock_that_is_put_back():
    reading, need = alerts.share("cpu", "", 99, BAR), Need(minutes=10)
    state, _ = alerts.judge(None, reading, need, START + clock.DAY)
    state, _ = alerts.judge(state, reading, need, START)
    assert alerts.judge(state, reading, need, START + 10 * clock.MINUTE)[1] == OPENED


# --- severity, acknowledging, status ----------------------------------------------------------------------------------

def acknowledge(hub, alert, **members):
    answer = hub.ask("PATCH", "/api/dashboard/alerts", dict({"alert_id": alert["id"]}, **members),
                     address=inside.HERE, host="localhost")
    assert answer.status == 200, answer
    return answer


def test_a_rise_clears_the_acknowledgement_and_a_fall_does_not(hub, web):
    web.sends({"cpu_percent": 91.0})
    acknowledge(hub, web.alerts()[0])
    web.sends({"cpu_percent": 97.0})
    assert not web.alerts()[0]["is_acknowledged"] and web.alerts()[0]["message"].startswith("CPU usage at 97.0%")
    acknowledge(hub, web.alerts()[0])
    web.sends({"cpu_percent": 87.0}).sends({"cpu_percent": 87.0})
    assert web.alerts()[0]["is_acknowledged"] and web.alerts()[0]["severity"] == "warning"
    assert [event for event, _, _ in hub.told] == [OPENED, CHANGED, CHANGED]


def status(hub, server):
    return server.status(hub.now(), hub.settings["stale_threshold_minutes"])


def test_the_status_is_the_worst_open_alert_acknowledged_or_not(hub, web):
    assert status(hub, web.sends().server) == "online"
    web.sends({"cpu_percent": 91.0})
    assert status(hub, web.server) == "warning"
    web.sends({"cpu_percent": 91.0, "memory_percent": 99.0})
    assert status(hub, web.server) == "critical"
    for alert in web.alerts():
        acknowledge(hub, alert)
    assert status(hub, web.server) == "critical" and web.server.tally.active == 0
    web.sends().sends()
    assert status(hub, web.server) == "online"


def test_a_restart_of_the_hub_forgets_nothing(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        hub.change_settings({"alert_for_samples": 2})
        web = Watched(hub)
        web.sends({"cpu_percent": 99.0, **disk(99.0)}).sends({"cpu_percent": 99.0, "memory_percent": 99.0})
        counted, unread = web.server.tally, hub.fleet.unread
        now, uuid = hub.now(), web.server.row["uuid"]
    with inside.running(tmp_path / "data", at=now) as hub:
        web.hub, web.server = hub, hub.fleet.by_uuid[uuid]
        assert web.server.tally[:-1] == counted[:-1] and hub.fleet.unread == unread == 1
        web.sends({"cpu_percent": 99.0, "memory_percent": 99.0})
        assert web.events() == [("cpu", OPENED), ("memory", OPENED)]


def test_a_restart_of_the_hub_ends_no_alert_of_restarts(tmp_path):
    with inside.running(tmp_path / "data") as hub:
        web = Watched(hub)
        for count in (0, 1, 5):
            web.sends(services=[service("app", restarts=count)])
        now, uuid = hub.now(), web.server.row["uuid"]
    with inside.running(tmp_path / "data", at=now) as hub:
        web.hub, web.server = hub, hub.fleet.by_uuid[uuid]
        for _ in range(3):
            web.sends(services=[service("app", restarts=5)])
        assert web.events() == [("restarts", OPENED)]
        for _ in range(2):
            web.sends(services=[service("app", restarts=5)])
        assert web.events() == [("restarts", OPENED), ("restarts", RECOVERED)]


# --- late samples -----------------------------------------------------------------------------------------------------

def backlog(hub, server, cpu, *minutes_ago):
    hub.send_batch(server, *(sample({**GOOD, "cpu_percent": cpu}, collected_at=hub.now() - age * clock.MINUTE)
                             for age in minutes_ago))


def test_late_samples_raise_nothing_and_are_summed_up_in_one_message(hub, web):
    web.sends(minutes=600)
    backlog(hub, web.server, 97.0, 240, 180, 120)
    backlog(hub, web.server, 96.0, 110, 100)
    assert web.events() == [] and hub.told == []
    hub.jobs.remind()
    assert hub.told == []
    hub.pass_time(3 * clock.MINUTE)
    hub.jobs.remind()
    hub.jobs.remind()
    assert [event for event, _, _ in hub.told] == ["late_summary"]
    message, = [message for _, _, event, message in web.told() if event == "late_summary"]
    assert message == ("While disconnected, 2026-11-22T16:00:00Z to 2026-11-22T18:20:00Z: "
                       "CPU reached 97.0% at 2026-11-22T16:00:00Z, now 10.0%")


def test_of_a_batch_only_the_newest_is_judged(hub, web):
    backlog(hub, web.server, 99.0, 14, 9)
    assert web.events() == [("cpu", OPENED)]  # the newest is not older than its silence may be
    web.sends(minutes=60).sends()
    backlog(hub, web.server, 99.0, 9)
    assert web.events() == [("cpu", OPENED), ("cpu", RECOVERED)]


def test_samples_that_overtake_each_other_within_their_turn_are_not_summed_up(hub, web):
    web.sends()
    backlog(hub, web.server, 99.0, 4, 2)
    hub.pass_time(3 * clock.MINUTE)
    hub.jobs.remind()
    assert hub.told == []


# --- flapping ---------------------------------------------------------------------------------------------------------

def test_what_comes_and_goes_is_told_once_and_then_when_it_is_stable(hub, web):
    hub.change_settings({"alert_clear_samples": 1})
    for _ in range(8):
        web.sends({"cpu_percent": 99.0}, minutes=2).sends(minutes=2)
    assert [event for event, _, _ in hub.told] == [OPENED, RECOVERED, OPENED, RECOVERED, OPENED, "flapping"]
    hub.pass_time(29 * clock.MINUTE)
    hub.jobs.remind()
    assert len(hub.told) == 6
    hub.pass_time(2 * clock.MINUTE)
    hub.jobs.remind()
    assert [event for event, _, _ in hub.told][6:] == [RECOVERED]
    assert len({alert["id"] for alert in web.alerts("all")}) == 3


def test_what_came_and_went_before_the_clock_was_put_back_does_not_count(hub, web):
    hub.change_settings({"alert_clear_samples": 1})
    for _ in range(2):
        web.sends({"cpu_percent": 99.0}, minutes=1).sends(minutes=1)
    hub.pass_time(-clock.DAY)
    for _ in range(2):
        web.sends({"cpu_percent": 99.0}, minutes=1).sends(minutes=1)
    assert "flapping" not in [event for event, _, _ in hub.told]


def test_what_flapped_before_the_clock_was_put_back_is_told_of_again(hub, web):
    hub.change_settings({"alert_clear_samples": 1})
    for _ in range(3):
        web.sends({"cpu_percent": 99.0}, minutes=1).sends(minutes=1)
    hub.pass_time(-clock.DAY)
    hub.jobs.remind()
    assert [event for event, _, _ in hub.told][5:] == ["flapping", RECOVERED]


def test_what_flapped_of_a_server_that_nobody_watches_any_more_is_not_told_later(hub, web):
    hub.change_settings({"alert_clear_samples": 1})
    for _ in range(4):
        web.sends({"cpu_percent": 99.0}, minutes=1).sends(minutes=1)
    hub.ask("PATCH", "/api/dashboard/server/" + web.server.row["uuid"], {"approved": False}, address=inside.HERE,
            host="localhost")
    hub.pass_time(clock.HOUR)
    hub.jobs.remind()
    assert hub.told[-1][0] == "flapping"


def test_what_flaps_may_have_to_wait_before_it_opens(hub, web):
    hub.change_settings({"alert_clear_samples": 1, "alert_for_samples": 2})
    for _ in range(6):
        web.sends({"cpu_percent": 99.0}, minutes=1).sends({"cpu_percent": 99.0}, minutes=1).sends(minutes=1)
    web.sends({"cpu_percent": 99.0}, minutes=1).sends({"cpu_percent": 99.0}, minutes=1)
    assert len(web.alerts()) == 1 and len(hub.rows("SELECT id FROM alerts WHERE ended_at IS NULL")) == 1


def test_what_flapped_and_stays_bad_is_told_as_open(hub, web):
    hub.change_settings({"alert_clear_samples": 1})
    for _ in range(5):
        web.sends({"cpu_percent": 99.0}, minutes=2).sends(minutes=2)
    web.sends({"cpu_percent": 99.0})
    hub.pass_time(31 * clock.MINUTE)
    hub.jobs.remind()
    assert [event for event, _, _ in hub.told][6:] == [OPENED]


def test_a_failed_neighbour_does_not_let_two_samples_of_one_server_open_twice(hub, web, monkeypatch):
    """A group that fails is tried again in halves, within one transaction."""
    hub.send(web.server, {"cpu_percent": 10.0})
    broken, decide = hub.server(), judging.judge_sample
    hub.send(broken)

    def judge(record, of_hub, server, *rest):
        if server is broken:
            raise RuntimeError("a rule broke")
        decide(record, of_hub, server, *rest)
    monkeypatch.setattr(judging, "judge_sample", judge)
    hold, held = threading.Event(), hub.engine.submit(lambda db: hold.wait(10))
    futures = [ingest.sample(hub, server, sample({"cpu_percent": 99.0}), hub.now())
               for server in (web.server, broken, web.server, web.server)]
    hold.set()
    held.result(10)
    assert [future.exception(10) is None for future in futures] == [True, False, True, True]
    assert web.events() == [("cpu", OPENED)]


def test_a_flood_of_made_up_names_is_bounded(hub, web):
    for turn in range(8):
        web.sends({"disks": [{"mountpoint": "/%d/%d" % (turn, number), "percent": 99.0} for number in range(200)]})
        assert len(web.alerts()) <= 100
    opened, = hub.rows("SELECT COUNT(*) FROM alert_events WHERE event = 'opened'")[0]
    assert opened <= 300
