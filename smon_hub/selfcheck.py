"""What the hub notices about itself: a disk that fills up, messages that wait for too long, a job that fails."""

from __future__ import annotations

import shutil
from typing import Any, Dict

from . import alerts, clock, ledger
from .alerts import CRITICAL, WARNING, Reading
from .ledger import Record
from .store import events, outbox

Hub = Any  # hub.Hub, which is passed and never imported

FREE_PERCENT = 10.0
WAITING_MINUTES = 15
OWN_RULES = ("hub_disk", "hub_outbox", "hub_job")


def check(hub: Hub, now: int) -> None:
    """Judge the hub by its own rules."""
    readings = {(reading.rule, reading.object): reading for reading in (*_disk(hub), *_outbox(hub, now), *_jobs(hub))}

    def work(record: Record) -> None:
        held = {key: alert for key, alert in events.current(record.db, 0).items() if key[0] in OWN_RULES}
        for key in {**held, **readings}:
            record.judge(None, key, held.get(key), readings.get(key), alerts.need(key[0], {}))
    if readings or hub.fleet.tally.watched:
        ledger.write(hub, work, now)


def _disk(hub: Hub) -> Any:
    volume = hub.engine.volume()
    if volume is None:  # its disk is another machine's
        return []
    usage = shutil.disk_usage(volume)
    free = 100.0 * usage.free / usage.total if usage.total else FREE_PERCENT
    return [alerts.flat("hub_disk", "", CRITICAL if free < FREE_PERCENT / 2 else WARNING, value=free,
                        threshold=FREE_PERCENT)] if free < FREE_PERCENT else []


def _outbox(hub: Hub, now: int) -> Any:
    oldest = outbox.oldest_waiting(hub.engine.read())
    minutes = (now - oldest) / clock.MINUTE if oldest is not None else 0
    return [alerts.flat("hub_outbox", "", WARNING, value=minutes,
                        threshold=WAITING_MINUTES)] if minutes > WAITING_MINUTES else []


def _jobs(hub: Hub) -> Any:
    failed: Dict[str, str] = {name: run.error for name, run in list(hub.jobs.runs.items()) if run.error}
    return [Reading("hub_job", name, WARNING, WARNING, None, None, error) for name, error in failed.items()]
