"""The numbers of a sample that have a history: each once, with its unit and how to read it from a clean payload.

The samples table has a column for each; history, and later alerts, export and exposition, read this table.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from .bodies import DISK

Numbers = Dict[str, Any]  # the cleaned "metrics" member of a payload (bodies.NUMBERS)
_PERCENT = DISK.names.index("percent")


class Metric(NamedTuple):
    """key: the column and the member of history. exposed: its name for Prometheus, which wants base units: shares are
    ratios there. ranged: history shows its smallest and largest value in a bucket."""

    key: str
    unit: str
    sentence: str
    read: Callable[[Numbers], Optional[float]]
    exposed: str
    ranged: str = ""  # prefix of the members that hold them


def _member(group: str, key: str) -> Callable[[Numbers], Optional[float]]:
    return lambda numbers: numbers[group] and numbers[group][key]


def worst_disk(numbers: Numbers) -> Optional[float]:
    """The fullest file system's used share, percent."""
    return max((disk[_PERCENT] for disk in numbers["disks"] or () if disk[_PERCENT] is not None), default=None)


def _load_1(numbers: Numbers) -> Optional[float]:
    return numbers["load_average"] and numbers["load_average"][0]


METRICS = (
    Metric("cpu_percent", "percent", "Busy share of all cores.", itemgetter("cpu_percent"), "cpu_usage_ratio",
           ranged="cpu"),
    Metric("memory_percent", "percent", "Used share of memory.", itemgetter("memory_percent"), "memory_usage_ratio",
           ranged="memory"),
    Metric("memory_used", "bytes", "Used memory.", itemgetter("memory_used"), "memory_used_bytes"),
    Metric("memory_free", "bytes", "Memory available without swapping.", itemgetter("memory_free"),
           "memory_available_bytes"),
    Metric("swap_percent", "percent", "Used share of swap.", itemgetter("swap_percent"), "swap_usage_ratio"),
    Metric("load_1", "processes", "Load average over a minute.", _load_1, "load1"),
    Metric("disk_percent", "percent", "Used share of the fullest file system.", worst_disk, "fullest_disk_usage_ratio",
           ranged="disk"),
    Metric("bytes_sent_per_sec", "bytes per second", "Network, sent.", _member("network_rate", "bytes_sent_per_sec"),
           "network_transmit_bytes_per_second"),
    Metric("bytes_recv_per_sec", "bytes per second", "Network, received.",
           _member("network_rate", "bytes_recv_per_sec"), "network_receive_bytes_per_second"),
    Metric("read_bytes_per_sec", "bytes per second", "Disks, read.", _member("disk_io_rate", "read_bytes_per_sec"),
           "disk_read_bytes_per_second"),
    Metric("write_bytes_per_sec", "bytes per second", "Disks, written.",
           _member("disk_io_rate", "write_bytes_per_sec"), "disk_written_bytes_per_second"),
)

KEYS = tuple(metric.key for metric in METRICS)
_READERS = tuple(metric.read for metric in METRICS)


def row(numbers: Numbers) -> List[Optional[float]]:
    """The values of one sample in the order of METRICS."""
    return [read(numbers) for read in _READERS]
