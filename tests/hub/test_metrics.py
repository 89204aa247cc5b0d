"""The numbers of a sample that have a history."""

from __future__ import annotations

from smon_hub import bodies, metrics, shapes
from smon_hub.bodies import DISK, NUMBERS
from tests.hub.inside import sample


def disks(*shares):
    return [tuple(share if name == "percent" else None for name in DISK.names) for share in shares]


def test_each_number_of_a_whole_sample_is_read():
    numbers = sample({"swap_percent": 5, "load_average": [0.5, 0.4, 0.3],
                      "network_rate": {"bytes_sent_per_sec": 1, "bytes_recv_per_sec": 2},
                      "disk_io_rate": {"read_bytes_per_sec": 3, "write_bytes_per_sec": 4}})["metrics"]
    assert dict(zip(metrics.KEYS, metrics.row(numbers))) == {
        "cpu_percent": 12.5, "memory_percent": 37.5, "memory_used": 6 << 30, "memory_free": 10 << 30,
        "swap_percent": 5, "load_1": 0.5, "disk_percent": 40.0, "bytes_sent_per_sec": 1, "bytes_recv_per_sec": 2,
        "read_bytes_per_sec": 3, "write_bytes_per_sec": 4}


def test_what_was_not_measured_is_null_and_never_zero():
    numbers = shapes.clean(NUMBERS, {"cpu_percent": 0, "memory_percent": 0})
    row = dict(zip(metrics.KEYS, metrics.row(numbers)))
    assert (row.pop("cpu_percent"), row.pop("memory_percent")) == (0, 0)
    assert set(row.values()) == {None}


def test_the_worst_disk_is_the_fullest_that_says_so():
    assert metrics.worst_disk({"disks": disks(10, None, 99.5, 40)}) == 99.5
    assert metrics.worst_disk({"disks": disks(None)}) is None
    assert metrics.worst_disk({"disks": []}) is metrics.worst_disk({"disks": None}) is None


def test_every_row_of_the_table_has_a_sentence_a_unit_and_a_key_of_its_own():
    assert len(set(metrics.KEYS)) == len(metrics.METRICS)
    assert all(metric.sentence.endswith(".") and metric.unit for metric in metrics.METRICS)
    assert len(set(field.name for field in bodies.NUMBERS.fields)) == len(bodies.NUMBERS.fields)
