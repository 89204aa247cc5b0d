"""Several hubs on one database: what each keeps in memory follows the others, and which of them does the common work.

A hub that is alone does everything and follows nobody; its methods here answer at once. With others, nothing that must
hold at once is taken from memory: a request of a person looks at the numbers of store/versions.py first, and a sample
is stored and judged while its server's row is locked, after memory has caught up with it.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

from . import clock, ledger, reminders, settings
from .errors import HubError
from .fleet import Server, loaded
from .store import agent_config, events, leases, options, series, servers, versions
from .store.commits import Database
from .store.engine import Trouble

log = logging.getLogger("smon.peers")

BEAT_SECONDS = 0.4           # between two looks: what another hub heard is shown here within a second
LEASE_SECONDS = 10           # after which the others take over what a hub that went did
RENEW_SECONDS = 2
MARGIN_SECONDS = 2           # before its end a lease is not trusted: a statement under way takes its time
AWAY_SECONDS = 5             # a database that was away for longer has missed signs of life
STEP_MS = 30 * clock.SECOND  # between two clocks: less than the shortest silence that counts
SLICE = 200                  # servers looked up in one statement
JOBS, DELIVERY = LEASES = ("jobs", "delivery")

Hub = Any  # hub.Hub, which is passed and never imported


class Peers:
    """Owns the thread that follows. `start` and `stop` belong to the hub."""

    def __init__(self, hub: Hub):
        self._hub = hub
        self.shared = hub.engine.shared
        self.name = uuid.uuid4().hex
        self._numbers: Dict[str, int] = {}
        self._held: Dict[str, float] = {}     # until when a lease is ours, on the machine's own clock
        self._renewed, self._in_step = 0.0, True
        self._answered = time.monotonic()     # when the database last did
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="smon-peers", daemon=True)
        hub.engine.changed = self.forget

    def start(self) -> None:
        """Look at what the others do from now on. What was loaded so far is as of `begin`."""
        if self.shared:
            self._renew()
            self._thread.start()

    def stop(self) -> None:
        """Let the others have what this hub did for all."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
            try:
                self.write_back()
                self._hub.engine.write(lambda db: leases.give_back(db, self.name))
            except HubError as error:
                log.warning("The other hubs wait for %d seconds: %s", LEASE_SECONDS, error)

    def begin(self, db: Database) -> None:
        """Memory is about to be loaded: what changes from here on is new."""
        self._numbers = versions.numbers(db) if self.shared else {}

    # --- the common work ------------------------------------------------------------------------------------------

    def leads(self, lease: str) -> bool:
        """Whether this hub does some work for all of them now."""
        return not self.shared or time.monotonic() < self._held.get(lease, 0.0)

    def _renew(self) -> None:
        began = self._renewed = time.monotonic()
        in_step = self._is_in_step(self._hub.engine.write(self._show_life))
        for name in LEASES:
            held = in_step and self._hub.engine.write(
                lambda db: leases.take(db, name, self.name, LEASE_SECONDS * 1000))
            if held != self.leads(name):
                log.info("This hub %s the work %s for all.", "does" if held else "leaves", name)
            self._held[name] = began + LEASE_SECONDS - MARGIN_SECONDS if held else 0.0

    def _show_life(self, db: Database) -> int:
        """Hold a lease of one's own, which says that this hub's claims hold; the database's clock."""
        leases.take(db, self.name, self.name, LEASE_SECONDS * 1000)
        now = db.moment()
        leases.sweep(db, now - clock.DAY)
        return now

    def _is_in_step(self, now: int) -> bool:
        """Whether this hub's clock may judge for all who is silent, and what is due."""
        off = abs(self._hub.now() - now)
        in_step, self._in_step = self._in_step, off <= STEP_MS
        if in_step and not self._in_step:
            log.warning("This hub's clock and the database's differ by %d seconds: it does no work for all.",
                        off // 1000)
        return self._in_step

    def living(self, db: Database) -> List[str]:
        """The hubs whose claims hold, this one among them."""
        return [self.name, *(leases.holders(db) if self.shared else ())]

    # --- while something is stored --------------------------------------------------------------------------------

    def known(self, db: Database, keys: Sequence[Tuple[Server, str]]) -> List[bool]:
        """Whether each server is still there, with the key that was shown. Alone, memory knows: it has followed every
        commit before this transaction, in this thread, and nobody else writes to the file."""
        if self.shared:
            found = servers.locked(db, sorted({server.row["id"] for server, _ in keys}))
            return [found.get(server.row["id"], (0, "", 0))[1] == key_hash for server, key_hash in keys]
        by_uuid = self._hub.fleet.by_uuid
        return [by_uuid.get(server.row["uuid"]) is server and server.row["key_hash"] == key_hash
                for server, key_hash in keys]

    def hold(self, db: Database, keys: Sequence[Tuple[Server, str]]) -> Tuple[List[bool], Dict[Server, int]]:
        """known, and no other hub changes these servers until the transaction has ended. Memory has caught up with
        them. The second answer is the turn that each has after the transaction; empty for a hub that is alone."""
        if not self.shared:
            return self.known(db, keys), {}
        by_id = {server.row["id"]: server for server, _ in keys}
        found = servers.locked(db, sorted(by_id))
        if any(by_id[row_id].turn != turn for row_id, (turn, _, _) in found.items()):
            self._catch_up_with(by_id)
        for row_id, (_, _, seen_at) in found.items():
            self._hub.fleet.heard(by_id[row_id], seen_at)
        return ([found.get(server.row["id"], (0, "", 0))[1] == key_hash for server, key_hash in keys],
                {by_id[row_id]: turn + 1 for row_id, (turn, _, _) in found.items()})

    def hold_alerts(self, db: Database, some: Iterable[Server] = ()) -> None:
        """hold, for works that read alerts and then change them: every server that has one, and these."""
        if self.shared:
            known = {server.row["id"]: server for server in self._hub.fleet.servers()}
            known.update((server.row["id"], server) for server in some)
            held = {*events.current_servers(db), *(server.row["id"] for server in some)}
            self.hold(db, [(known[row_id], "") for row_id in held if row_id in known])

    # --- following ------------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Before a request: what people decided on another hub holds here, too."""
        if self.shared and self._behind():
            with self._hub.engine.settling:
                self._load(self._behind())  # others may have waited for the lock to do the same

    def reload(self, part: str) -> None:
        """Load a part anew, whatever is known of it."""
        with self._hub.engine.settling:
            self._load([part])

    def _behind(self) -> List[str]:
        numbers = versions.numbers(self._hub.engine.read())
        return [part for part in versions.PARTS if numbers.get(part) != self._numbers.get(part)]

    def _load(self, behind: Sequence[str]) -> None:
        """The numbers are read before: they must not be younger than what is loaded."""
        db = self._hub.engine.read()
        numbers = versions.numbers(db)
        for part in behind:
            _PARTS[part](self, db)
            self._numbers[part] = numbers.get(part, 0)

    def forget(self, parts: Iterable[str], ids: Iterable[int]) -> None:
        """This hub changed them itself, and what it noted in memory after the commit may have come in another order
        than another hub's change was followed: load them with the next look. `settling` is held."""
        for part in parts:
            self._numbers[part] = -1
        gone = set(ids)
        for server in self._hub.fleet.servers() if gone else ():
            if server.row["id"] in gone:
                server.turn = -1

    def follow(self) -> None:
        """One look at everything."""
        self.write_back()
        self.catch_up()
        with self._hub.engine.settling:
            self._follow_servers(self._hub.engine.read())

    def write_back(self) -> None:
        """Let the others know which signs of life came here."""
        fleet = self._hub.fleet
        heard = [(server, server.last_seen_at) for server in fleet.take_unsettled()
                 if server.last_seen_at > server.told_at]
        if heard:
            try:
                self._hub.engine.write(lambda db: servers.seen(db, [
                    (server.row["id"], at) for server, at in heard]))
            except Exception:
                fleet.put_back(server for server, _ in heard)
                raise
            for server, at in heard:
                server.told_at = max(server.told_at, at)

    def _run(self) -> None:
        while not self._stopping.wait(BEAT_SECONDS):
            try:
                self._note_answer()
                if time.monotonic() - self._renewed >= RENEW_SECONDS:
                    self._renew()
                self.follow()
            except (HubError, Trouble) as error:
                log.warning("The other hubs can not be followed: %s.", error)
            except Exception:  # the edge of a thread: the next look tries again
                log.exception("Following the other hubs failed.")

    def _note_answer(self) -> None:
        """Nobody could say that they live while the database was away, so their silence counts from now."""
        self._behind()
        away, self._answered = time.monotonic() - self._answered, time.monotonic()
        if away > AWAY_SECONDS:
            log.warning("The database was away for %d seconds.", away)
            self._hub.silence.grace_from = self._hub.now()

    # --- the parts ------------------------------------------------------------------------------------------------

    def _follow_servers(self, db: Database) -> None:
        """New servers, removed ones, and those of which another hub knows more."""
        fleet, turns = self._hub.fleet, servers.turns(db)
        known = {server.row["id"]: server for server in fleet.servers()}
        for row_id in known.keys() - turns.keys():
            fleet.remove(known[row_id].row["uuid"])
        new = sorted(turns.keys() - known.keys())
        for some in _slices(new):
            for row in servers.rows(db, some):
                known[row["id"]] = fleet.add(row)
        if new:  # every hub shows them in the order in which they registered
            fleet.by_uuid = dict(sorted(fleet.by_uuid.items(), key=lambda item: item[1].row["id"]))
        self._catch(db, {row_id: turn for row_id, (turn, _) in turns.items()}, known)
        for row_id, (_, seen_at) in turns.items():
            if row_id in known:
                fleet.heard(known[row_id], seen_at)

    def _catch_up_with(self, known: Dict[int, Server]) -> None:
        """By what is committed alone: the caller's transaction may still be undone."""
        with self._hub.engine.settling:
            db = self._hub.engine.read()
            turns = servers.turns(db)
            self._catch(db, {row_id: turns[row_id][0] for row_id in known if row_id in turns}, known)

    def _catch(self, db: Database, turns: Dict[int, int], known: Dict[int, Server]) -> None:
        """Load anew what differs. turns are at most as young as what is read now."""
        behind = sorted(row_id for row_id, turn in turns.items() if row_id in known and known[row_id].turn < turn)
        for some in _slices(behind):
            rows = {row["id"]: row for row in servers.rows(db, some)}
            waiting, tallies = agent_config.all_pending(db, some), events.tallies(db, some)
            newest = series.by_ids(db, [row["newest_sample"] for row in rows.values()
                                        if _is_news(known[row["id"]], row["newest_sample"])])
            samples = {sample.server: loaded(sample) for sample in newest}
            for row_id, row in rows.items():
                server = known[row_id]
                server.config_revision, server.tally, server.turn = (
                    waiting.get(row_id, 0), tallies[row_id], turns[row_id])
                self._hub.fleet.follow(server, row, samples.get(row_id))
        if behind:
            reminders.mark_maintenance(self._hub, self._hub.now())

    def _follow_settings(self, db: Database) -> None:
        self._hub.take_up({**settings.DEFAULTS, **options.stored(db)})

    def _follow_accounts(self, db: Database) -> None:
        self._hub.accounts.load(db)
        if self._hub.accounts.users:
            self._hub.end_setup()

    def _follow_rules(self, db: Database) -> None:
        self._hub.overrides.take_up(options.group_rules(db))

    def _follow_windows(self, db: Database) -> None:
        reminders.load_windows(self._hub, db)
        reminders.mark_maintenance(self._hub, self._hub.now())

    def _follow_channels(self, db: Database) -> None:
        self._hub.delivery.forget_paces()

    def _follow_alerts(self, db: Database) -> None:
        ledger.take_up(self._hub, ledger.Verdict(events.tallies(db, [0]), events.unread(db)))


_PARTS: Dict[str, Callable[[Peers, Database], None]] = {
    versions.SETTINGS: Peers._follow_settings, versions.ACCOUNTS: Peers._follow_accounts,
    versions.RULES: Peers._follow_rules, versions.WINDOWS: Peers._follow_windows,
    versions.SERVERS: Peers._follow_servers, versions.ALERTS: Peers._follow_alerts,
    versions.CHANNELS: Peers._follow_channels}


def _is_news(server: Server, newest: Any) -> bool:
    return newest is not None and (server.sample is None or server.sample.id != newest)


def _slices(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[start:start + SLICE] for start in range(0, len(ids), SLICE))
