"""What the alert rules ask of the servers of one group, where that differs from the hub's settings.

A group's thresholds are for those of its servers whose own is still the one that every server begins with.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

from .alerts import THRESHOLD
from .settings import BY_KEY
from .shapes import Field, Shape

THRESHOLDS = ("alert_cpu_threshold", "alert_memory_threshold", "alert_disk_threshold")
SETTINGS = ("alert_critical_percent", "alert_for_samples", "alert_for_minutes", "alert_clear_samples",
            "alert_inodes_threshold", "alert_swap_threshold", "alert_clock_skew_seconds")
GROUP_RULES = Shape(
    "group_rules",
    Field("group", str, "The group. What is absent follows the settings.", required=True, min=1),
    *(Field(key, float, "Percent, for servers whose own is %d." % THRESHOLD, min=1, max=100) for key in THRESHOLDS),
    *(Field(key, BY_KEY[key].kind, BY_KEY[key].sentence, min=BY_KEY[key].min, max=BY_KEY[key].max)
      for key in SETTINGS),
)

Rules = Mapping[str, Any]  # the hub's settings, and over them what a group has of its own


class Overrides:
    """What groups have of their own; `of` answers the same object until something changes."""

    def __init__(self) -> None:
        self.own: Dict[str, Rules] = {}
        self._made: Tuple[Any, Any, Dict[str, Rules]] = (None, None, {})  # of which settings and groups, and what

    def of(self, group: str, settings: Rules) -> Rules:
        """The rules of a group."""
        made, own = self._made, self.own
        if made[0] is not settings or made[1] is not own:
            made = self._made = settings, own, {name: {**settings, **some} for name, some in own.items()}
        return made[2].get(group, settings)

    def take_up(self, own: Dict[str, Rules]) -> None:
        self.own = own
