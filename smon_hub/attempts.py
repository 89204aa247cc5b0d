"""How often a secret may be guessed: some tries at once, then waits that double. Bounded memory, nothing is locked
for ever."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import Hashable, List

FIRST_WAIT_SECONDS = 30
LONGEST_WAIT_SECONDS = 900
FORGOTTEN_AFTER_SECONDS = 3_600  # of quiet: a person who mistypes now and then never waits
MOST_KEYS = 20_000               # the key untouched for longest goes first


class Attempts:
    """Counts tries per key until they are forgiven. `now` is monotonic seconds and is always given, never read."""

    def __init__(self) -> None:
        self._tries: "OrderedDict[Hashable, List[float]]" = OrderedDict()  # [count, free again, last]
        self._lock = threading.Lock()

    def take(self, key: Hashable, free: int, now: float) -> int:
        """Count one try, before it is known whether it succeeds: 0. Or count nothing: the seconds until one may be
        made. The first `free` tries come without a wait between them."""
        with self._lock:
            tries = self._entry(key, now)
            if now < tries[1]:
                return math.ceil(tries[1] - now)
            tries[0] += 1
            tries[2] = now
            if tries[0] >= free:
                tries[1] = now + min(FIRST_WAIT_SECONDS * 2 ** min(tries[0] - free, 10), LONGEST_WAIT_SECONDS)
            return 0

    def count(self, key: Hashable, now: float) -> int:
        """Count one try and refuse none: how many there were lately."""
        with self._lock:
            tries = self._entry(key, now)
            tries[0] += 1
            tries[2] = now
            return int(tries[0])

    def forgive(self, key: Hashable) -> None:
        """The last try was none: the wait that it began ends, too."""
        with self._lock:
            tries = self._tries.get(key)
            if tries is not None:
                tries[0], tries[1] = max(0, tries[0] - 1), 0

    def forget(self, key: Hashable) -> None:
        """Begin anew with this key."""
        with self._lock:
            self._tries.pop(key, None)

    def _entry(self, key: Hashable, now: float) -> List[float]:
        tries = self._tries.get(key)
        if tries is None or now - tries[2] > FORGOTTEN_AFTER_SECONDS:
            tries = self._tries[key] = [0, 0, now]
            if len(self._tries) > MOST_KEYS:
                self._tries.popitem(last=False)
        self._tries.move_to_end(key)
        return tries
