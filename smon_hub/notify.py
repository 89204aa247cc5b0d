"""Take waiting messages to their channels: claim, send, try again, give up. What they say is messages' business.

One thread looks for work once a second; each channel that has some gets a courier, a thread of its own, so that a
receiver that hangs holds up nobody else. A message is claimed in one transaction and settled in another: whatever
ends the hub in between, it is sent again, under the same delivery id.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import threading
import time
import uuid
from collections import deque
from concurrent.futures import Future
from itertools import takewhile
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Sequence, Tuple

from . import clock, messages, peers
from .channels import KINDS, Kind, post
from .errors import HubError
from .messages import Entry, Message
from .outbound import DeliveryError, Rules, Way
from .store import channels, outbox
from .store.engine import Trouble
from .store.outbox import Row

log = logging.getLogger("smon.notify")

BEAT_SECONDS = 1             # how soon a message leaves
BACKOFF_MS = 10 * clock.SECOND
BACKOFF_MAX_MS = clock.HOUR
JITTER = 0.25                # share that is added at random, so that hubs do not come back in step
GIVE_UP_MS = clock.DAY
DIGEST_OVER = 10             # messages of one channel within a minute
REFUSALS_MAX = 5             # in a row: then it is the channel that is wrong, not the messages
ATTEMPT_SECONDS = 60         # in all, whatever a receiver dribbles
COURIERS_MAX = 16
LOOK_AGAIN = 100             # single messages: then whether the channel has changed, and what waits by now
AGAIN_SECONDS = 1            # between two tries to store what became of a message
STOP_SECONDS = 3             # a courier that hangs longer is left behind; its claim is taken again
DEAD_MAN = "dead-man"

Hub = Any  # hub.Hub, which is passed and never imported


class Heartbeat(NamedTuple):
    """How the last call of the dead-man's switch went; an empty error is a good end."""

    at: int
    error: str


class Pace:
    """What one channel's last attempts say about its next: rest after failures, one digest instead of a flood."""

    def __init__(self) -> None:
        self.rests_until = 0
        self._failures = self._refusals = 0
        self._sent: Deque[int] = deque(maxlen=DIGEST_OVER)
        self._digest_at = -clock.DAY
        self._most = outbox.WAITING_MAX

    def rests(self, now: int) -> bool:
        return now < self.rests_until < now + outbox.FURTHEST_MS

    def choose(self, entries: Sequence[Entry], together: int, now: int) -> List[Entry]:
        """What goes as the next message: one entry, a digest of several, or nothing yet."""
        if self._most == 1 or self._recent(now) + len(entries) <= DIGEST_OVER:
            return list(entries[:1])
        if 0 <= now - self._digest_at < clock.MINUTE:
            return []
        return _up_to(entries, min(together, self._most))

    def went_well(self, entries: Sequence[Entry], now: int) -> None:
        self._failures = self._refusals = self.rests_until = 0
        self._most = outbox.WAITING_MAX
        if len(entries) > 1 or self._recent(now) >= DIGEST_OVER:
            self._digest_at = now
        self._sent.append(now)

    def _recent(self, now: int) -> int:
        return sum(1 for at in self._sent if 0 <= now - at < clock.MINUTE)

    def halve(self, entries: Sequence[Entry]) -> bool:
        """A digest was looked at and not taken: half of it may be. False for what is no digest."""
        if len(entries) > 1:
            self._most = max(1, len(entries) // 2)
        return len(entries) > 1

    def failed(self, now: int, at_least: int = 0) -> None:
        self._failures += 1
        self.rests_until = now + max(backoff(self._failures), at_least)

    def refused(self, now: int) -> None:
        """A message was refused for good; the next may be taken."""
        self._refusals += 1
        if self._refusals >= REFUSALS_MAX:
            self.failed(now)


class Delivery:
    """Owns the couriers. `start` and `stop` belong to the hub; tests call `work_off` instead of waiting."""

    def __init__(self, hub: Hub):
        self._hub = hub
        self.own_port = hub.config.port
        self.heartbeat: Optional[Heartbeat] = None
        self._led = False
        self._paces: Dict[int, Pace] = {}
        self._lock = threading.Lock()
        self._couriers: Dict[Any, threading.Thread] = {}
        self._ways: Dict[Any, Way] = {}
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="smon-delivery", daemon=True)

    def start(self) -> None:
        self._lead()
        self._thread.start()

    def _lead(self) -> bool:
        """Whether this hub is the one that delivers. What another one had claimed that was it before is sent again."""
        leads = self._hub.peers.leads(peers.DELIVERY)
        if leads and not self._led:
            held = self._hub.engine.write(lambda db: outbox.release(db, self._hub.peers.living(db)))
            if held:
                log.warning("%d messages were on their way when a hub ended; they are sent again.", held)
        self._led = leads
        return leads

    def stop(self) -> None:
        """Cut what is under way and wait a moment for the couriers."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        deadline = time.monotonic() + STOP_SECONDS
        with self._lock:
            couriers, ways = list(self._couriers.values()), list(self._ways.values())
        for way in ways:
            way.cut()
        for courier in couriers:
            courier.join(max(0.0, deadline - time.monotonic()))

    def wake(self) -> None:
        """Look for work now instead of within a second."""
        self._wake.set()

    def work_off(self) -> None:
        """Deliver everything that is due, in the caller's thread."""
        for channel in outbox.busy(self._hub.engine.read()):
            self._serve(channel)

    def rules(self) -> Rules:
        kept = self._hub.settings
        return Rules(_networks(kept["delivery_allowed_addresses"]), self.own_port, kept["delivery_ca_file"],
                     kept["delivery_proxy"])

    def forget_paces(self) -> None:
        """Another hub changed a channel: what waits for any of them is tried when it is due."""
        self._paces.clear()

    def changed(self, channel: int) -> None:
        """A channel is not what it was: what waits for it is tried at once."""
        self._hub.engine.write(lambda db: outbox.make_due(db, channel, self._hub.now()))
        self._paces.pop(channel, None)
        self.wake()

    def test(self, channel: channels.Row) -> "Future[Dict[str, Any]]":
        """Send a test message at once; the answer, or HubError("conflict") with what the receiver said."""
        future: "Future[Dict[str, Any]]" = Future()

        def work() -> None:
            try:
                future.set_result(self._test(channel))
            except Exception as error:  # the edge of a delivery: whoever waits is told
                future.set_exception(error)
        if not self._begin("test-%d" % channel["id"], work):
            raise HubError("conflict", "A test of this channel is under way, or too many deliveries are.")
        return future

    def say_alive(self, url: str, summary: Dict[str, Any]) -> None:
        """Tell an outside watcher that the hub lives; its silence is what the watcher raises an alarm for."""
        self._begin(DEAD_MAN, lambda: self._say_alive(url, summary))

    # --- threads --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(BEAT_SECONDS)
            self._wake.clear()
            try:
                self._dispatch()
            except (HubError, Trouble) as error:
                log.warning("Messages can not be looked for: %s.", error)
            except Exception:  # the edge of a delivery: the next beat tries again
                log.exception("Looking for messages failed.")

    def _dispatch(self) -> None:
        with self._lock:
            late = [way for way in self._ways.values() if time.monotonic() - way.started > ATTEMPT_SECONDS]
        for way in late:
            way.cut()
        if not self._lead():
            return
        for channel in outbox.busy(self._hub.engine.read()):
            if not self._pace(channel).rests(self._hub.now()):
                self._begin(channel, lambda channel=channel: self._serve(channel))  # type: ignore[misc]

    def _begin(self, key: Any, work: Callable[[], None]) -> bool:
        """Run work in a thread of its own; False when one of that key runs, or too many do."""
        courier = threading.Thread(target=self._courier, args=(key, work), name="smon-delivery-%s" % key, daemon=True)
        with self._lock:
            if key in self._couriers or len(self._couriers) >= COURIERS_MAX or self._stopping.is_set():
                return False
            courier.start()  # first: what can not start holds no place, and nobody joins what has not started
            self._couriers[key] = courier
        return True

    def _courier(self, key: Any, work: Callable[[], None]) -> None:
        try:
            work()
        except (HubError, Trouble) as error:
            log.warning("Delivery %s: %s", key, error)
        except Exception:  # the edge of a delivery: the next beat tries again
            log.exception("Delivery %s failed.", key)
        finally:
            self._hub.engine.release()
            with self._lock:
                del self._couriers[key]

    def _sent(self, key: Any, send: Callable[[Way], str]) -> str:
        """send(way) on a way that others can cut. Raises DeliveryError, whatever went wrong."""
        way = Way(self.rules())
        with self._lock:
            self._ways[key] = way
        try:
            if self._stopping.is_set():
                raise DeliveryError("The hub stops.")
            return send(way)
        except DeliveryError:
            raise
        except Exception as error:  # the edge of a delivery: one poisonous message must not end them all
            log.exception("Delivery %s failed.", key)
            raise DeliveryError("Internal error.", looked_at=True) from error
        finally:
            way.close()
            with self._lock:
                del self._ways[key]

    # --- one channel ----------------------------------------------------------------------------------------------

    def _serve(self, channel_id: int) -> None:
        """Send what is due for a channel, until nothing is, or it fails."""
        while not self._stopping.is_set() and self._hub.peers.leads(peers.DELIVERY):
            channel = channels.one(self._hub.engine.read(), channel_id)
            if channel is None or not channel["enabled"] or channel["kind"] not in KINDS:
                self._abandon(channel_id)
                return
            kind = KINDS[channel["kind"]]
            found = self._next(channel, kind)
            if not found or not all(self._deliver(channel, kind, entries) for entries in found):
                return

    def _abandon(self, channel: int) -> None:
        now = self._hub.now()
        self._hub.engine.write(lambda db: outbox.give_up_older(
            db, channel, now + clock.DAY, now, "The channel is switched off."))

    def _next(self, channel: channels.Row, kind: Kind) -> List[List[Entry]]:
        """The entries of each message that may go now: of one, or of several where each entry is its own."""
        now, pace = self._hub.now(), self._pace(channel["id"])
        if pace.rests(now):
            return []
        waiting = outbox.waiting(self._hub.engine.read(), channel["id"])
        ready = due(waiting, now, kind.together > 1)
        if kind.together == 1:  # what waits is not read anew for each of thousands
            return [[entry] for entry in ready[:LOOK_AGAIN]]
        chosen = pace.choose(ready, kind.together, now)
        return [chosen] if chosen else []

    def _deliver(self, channel: channels.Row, kind: Kind, entries: Sequence[Entry]) -> bool:
        """One attempt; whether the next may follow at once."""
        now, rows = self._hub.now(), [row for entry in entries for row in entry]
        try:
            self._hub.engine.write(lambda db: outbox.claim(db, rows, now, self._hub.peers.name))
        except outbox.Taken:
            return False
        message = messages.of(entries, self._hub.config.public_url, now)
        try:
            remark = self._sent(channel["id"], lambda way: kind.send(
                way, channel["config"], self._hub.settings, rows[0].only_to or [], message))
        except DeliveryError as error:
            return self._failed(channel, entries, message, error)
        self._pace(channel["id"]).went_well(entries, now)
        self._settle(channel, lambda db, at: outbox.settle(db, rows, "sent", at, remark), remark, True)
        log.info("Channel %s took: %s", channel["name"], message.title)
        return True

    def _failed(self, channel: channels.Row, entries: Sequence[Entry], message: Message, error: DeliveryError) -> bool:
        now, pace, rows = self._hub.now(), self._pace(channel["id"]), message.rows
        log.warning("Channel %s did not take: %s: %s", channel["name"], message.title, error)
        halved = error.looked_at and pace.halve(entries)
        if error.permanent:
            self._refused(channel, rows, error.sentence, final=not halved)
            return not pace.rests(now)
        wait = max(backoff(max(row.attempts for row in rows) + 1), error.retry_after * clock.SECOND)
        if error.left is None:
            pace.failed(now, error.retry_after * clock.SECOND)

        def work(db: Any, at: int) -> None:
            outbox.put_off(db, rows, at + wait, error.sentence, error.left, self._hub.peers.name)
            given_up = outbox.give_up_older(db, channel["id"], at - GIVE_UP_MS, at, error.sentence)
            if given_up:
                log.error("Channel %s: %d messages are given up after 24 hours.", channel["name"], given_up)
        self._settle(channel, work, error.sentence, error.left is not None)
        return error.left is not None

    def _refused(self, channel: channels.Row, rows: Sequence[Row], sentence: str, final: bool) -> None:
        """A refusal for good gives a message up; of a digest, half may be taken."""
        def work(db: Any, at: int) -> None:
            if final:
                self._pace(channel["id"]).refused(at)
                outbox.settle(db, rows, "given_up", at, sentence)
            else:
                outbox.put_off(db, rows, at, sentence, holder=self._hub.peers.name)
        self._settle(channel, work, sentence, False)

    def _settle(self, channel: channels.Row, work: Callable[[Any, int], Any], error: str, delivered: bool) -> None:
        """What became of an attempt, and how the channel does, in one transaction."""
        now = self._hub.now()

        def whole(db: Any) -> None:
            work(db, now)
            channels.note(db, channel["id"], now, error, delivered)
        while True:
            try:
                self._hub.engine.write(whole)
                return
            except HubError as trouble:  # forgetting what became of it would send it again
                log.warning("What became of a message can not be stored yet: %s", trouble)
                if self._stopping.wait(AGAIN_SECONDS):
                    raise

    def _pace(self, channel: int) -> Pace:
        return self._paces.setdefault(channel, Pace())

    # --- beside the outbox ----------------------------------------------------------------------------------------

    def _test(self, channel: channels.Row) -> Dict[str, Any]:
        now, name = self._hub.now(), uuid.uuid4().hex
        row = Row(0, name, name, messages.test_event(now), None, now, now, None, 0)
        message = messages.of([[row]], self._hub.config.public_url, now)
        try:
            remark = self._sent("test-%d" % channel["id"], lambda way: KINDS[channel["kind"]].send(
                way, channel["config"], self._hub.settings, [], message))
        except DeliveryError as error:
            raise HubError("conflict", error.sentence) from None
        self._settle(channel, lambda db, at: outbox.make_due(db, channel["id"], at), remark, True)
        self._paces.pop(channel["id"], None)
        return {"status": "ok", "message": remark or "The receiver took the test message."}

    def _say_alive(self, url: str, summary: Dict[str, Any]) -> None:
        was = self.heartbeat.error if self.heartbeat else ""
        try:
            self._sent(DEAD_MAN, lambda way: post(way, url, summary, {}))
            error = ""
        except DeliveryError as failure:
            error = failure.sentence
        self.heartbeat = Heartbeat(self._hub.now(), error)
        if error != was:
            log.warning("The dead-man's switch %s", "can not be reached: " + error if error else "is reached again.")


def due(rows: Sequence[Row], now: int, merge: bool) -> List[Entry]:
    """What may be sent now, in order. A message waits for those of its thread; with merge, an opening that is over
    goes as one with its recovery. What was tried least comes first, and all have the recipients of the first."""
    threads: Dict[str, List[Row]] = {}
    for row in rows:
        threads.setdefault(row.thread, []).append(row)
    ready = [thread for thread in threads.values()
             if outbox.is_free(thread[0], now) and outbox.is_due(thread[0], now)]
    ready.sort(key=lambda thread: (thread[0].attempts, thread[0].id))  # one that always fails comes after the others
    return [entry for thread in ready for entry in takewhile(
        lambda entry: entry[0].only_to == ready[0][0].only_to, _entries(thread) if merge else [thread[:1]])]


def _entries(thread: Sequence[Row]) -> List[Entry]:
    """The messages of one thread, each alone but for an opening and what follows until its recovery, unless some of
    their recipients have had one of them."""
    entries: List[Entry] = []
    start = 0
    while start < len(thread):
        end = start + 1
        if thread[start].event["event"] == "opened":
            over = [index for index in range(end, len(thread)) if thread[index].event["event"] == "recovered"]
            if over and all(row.only_to == thread[start].only_to for row in thread[end:over[0] + 1]):
                end = over[0] + 1
        entries.append(thread[start:end])
        start = end
    return entries


def backoff(attempts: int) -> int:
    """Milliseconds until the next attempt: 10 s doubled each time, an hour at most, a little more by chance."""
    wait = min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** min(attempts - 1, 20))
    return min(BACKOFF_MAX_MS, int(wait * (1 + JITTER * random.random())))


def _up_to(entries: Sequence[Entry], most: int) -> List[Entry]:
    """The first entries that hold at most so many messages together, and one at least."""
    taken: List[Entry] = []
    count = 0
    for entry in entries:
        count += len(entry)
        if taken and count > most:
            break
        taken.append(entry)
    return taken


def _networks(text: str) -> Tuple[Any, ...]:
    """The networks of a list; what is none allows nothing."""
    found = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        try:
            found.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            log.warning("delivery_allowed_addresses: %s is neither an address nor a network.", word)
    return tuple(found)
