"""A sliding window per key, in bounded memory. Who counts under which key is the caller's business."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from typing import Deque, Hashable, List

WINDOW_SECONDS = 60
MOST_KEYS = 20_000  # some 10 MB at the worst; the key unused for longest goes first


class RateLimit:
    """Counts events per key over the last minute, in slots of a second, so that a window never forgets early.

    `now` is monotonic seconds and is always given, never read.
    """

    def __init__(self, most_keys: int = MOST_KEYS):
        self._most_keys = most_keys
        self._windows: "OrderedDict[Hashable, _Window]" = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Hashable, limit: int, now: float) -> int:
        """Count one event when the key has room: 0. Otherwise count nothing: the whole seconds until it has."""
        with self._lock:
            window = self._window(key, now)
            if window.total >= limit:
                return window.wait(limit, now)
            window.add(now)
            return 0

    def wait(self, key: Hashable, limit: int, now: float) -> int:
        """What take would answer, without counting."""
        with self._lock:
            window = self._window(key, now)
            return window.wait(limit, now) if window.total >= limit else 0

    def _window(self, key: Hashable, now: float) -> "_Window":
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window()
            if len(self._windows) > self._most_keys:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(key)
            window.forget(now)
        return window


class _Window:
    """The events of one key: [second, count, time of the last] slots, oldest first, and their sum."""

    __slots__ = ("total", "slots")

    def __init__(self) -> None:
        self.total = 0
        self.slots: Deque[List[float]] = deque()

    def add(self, now: float) -> None:
        self.total += 1
        if self.slots and self.slots[-1][0] == int(now):
            self.slots[-1][1] += 1
            self.slots[-1][2] = now
        else:
            self.slots.append([int(now), 1, now])

    def forget(self, now: float) -> None:
        while self.slots and self.slots[0][2] + WINDOW_SECONDS <= now:
            self.total -= int(self.slots.popleft()[1])

    def wait(self, limit: int, now: float) -> int:
        """Seconds until enough slots have left the window for one more event (1 to 60)."""
        over = self.total - limit + 1
        for _, count, last in self.slots:
            over -= int(count)
            if over <= 0:
                return max(1, math.ceil(last + WINDOW_SECONDS - now))
        return WINDOW_SECONDS
