"""Turn fine samples into coarse ones and drop what is past its keep. One ladder rules both.

How it lies in the tables is told by store/rollups.py; when it is done, by jobs.py.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, NamedTuple, Tuple

from . import clock
from .store import options, rollups, series
from .store.commits import Database
from .store.rollups import Span

ROLLED_FACT = "rolled_sample"  # the youngest sample that is in the buckets
SETTLED_FACT = "settled_for_all"  # [moment, the youngest then, the youngest a while before that]
SETTLING_MS = clock.MINUTE     # longer than any transaction may take
SLICE_SAMPLES = 500            # in one transaction: some 20 ms of the writer


class Rung(NamedTuple):
    """Buckets of step_seconds, made of the rung of source_seconds (0: of samples), kept for keep_days at most."""

    step_seconds: int
    source_seconds: int
    keep_days: int


LADDER = (
    Rung(600, 0, 90),
    Rung(3_600, 600, 365),
    Rung(86_400, 3_600, 5 * 365),
)


def kept_days(rung: Rung, settings: Dict[str, Any]) -> int:
    """rollup_retention_days bounds every rung, but nothing goes before the samples that it was made of."""
    return max(min(rung.keep_days, settings["rollup_retention_days"]), settings["data_retention_days"])


def _next_slice(db: Database) -> Span:
    """The samples that are in no bucket yet, as many as are done at a time; empty when first is last."""
    rolled, newest = int(options.fact(db, ROLLED_FACT, "0")), _settled(db)
    return Span(rolled, max(rolled, min(rolled + SLICE_SAMPLES, newest)))


def _settled(db: Database) -> int:
    """The youngest sample of which all older ones are there. Several hubs commit in another order than that in which
    they took their ids, so with them it is one that was the youngest a while ago."""
    newest = rollups.newest_sample(db)
    if not db.shared:
        return newest
    now = db.moment()
    noted_at, noted, settled = json.loads(options.fact(db, SETTLED_FACT, "[0, 0, 0]"))
    if now - noted_at >= SETTLING_MS:
        noted_at, noted, settled = now, newest, noted
        options.note(db, SETTLED_FACT, json.dumps([noted_at, noted, settled]))
    return settled


def roll(db: Database, settings: Dict[str, Any], now: int) -> int:
    """Bring the next samples into the buckets of every rung; how many row ids that were, 0 when nothing is left."""
    arrived = _next_slice(db)
    if arrived.first == arrived.last:
        return 0
    oldest = now - settings["data_retention_days"] * clock.DAY
    for rung in LADDER:
        if rung.source_seconds:
            rollups.roll_up(db, rung.step_seconds, rung.source_seconds, arrived)
        else:
            rollups.roll_samples(db, rung.step_seconds, arrived, oldest)
    options.note(db, ROLLED_FACT, str(arrived.last))
    return arrived.last - arrived.first


def drop(db: Database, server: int, settings: Dict[str, Any], now: int, most: int) -> int:
    """Delete at most `most` buckets of a server that are past their keep; how many went."""
    gone = 0
    for rung in LADDER:
        gone += rollups.drop(db, server, rung.step_seconds, now - kept_days(rung, settings) * clock.DAY, most - gone)
    return gone


def history(db: Database, server: int, since: int, until: int) -> Tuple[List[Dict[str, Any]], int]:
    """The points of a span, oldest first, and the seconds of a bucket: 0 while each point is one sample.

    At most series.HISTORY_POINTS_MAX points. Buckets serve where samples are too many, or gone already.
    """
    step = series.step(until - since)
    rung = _coarsest(step)
    if series.few(db, server, since, until) and not rollups.reach_further(db, server, since, LADDER[-1].step_seconds):
        return series.points(db, server, since, until), 0
    if rung is None:
        return series.buckets(db, server, since, until, step), step
    rolled = int(options.fact(db, ROLLED_FACT, "0"))
    return rollups.history(db, server, since, until, step, rung.step_seconds, rolled), step


def _coarsest(step: int) -> Any:
    """The coarsest rung of which a bucket of `step` seconds is made without a rest, or None."""
    return next((rung for rung in reversed(LADDER) if step % rung.step_seconds == 0), None)
