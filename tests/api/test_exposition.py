"""GET /metrics: what Prometheus reads."""

from __future__ import annotations

import shutil
import subprocess

from smon_hub import clock, exposition, metrics
from smon_hub.store import details
from tests.hub.inside import HERE, START, STRANGER
from tests.support import needs

HOSTILE = 'a"b\\c{x="1"} 1\\n'


def text_of(hub):
    answer = hub.ask("GET", "/metrics", address=HERE, host="localhost")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return answer.text


def families(text):
    parser = needs.module("prometheus_client.parser", why="it reads the exposition as Prometheus does")
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def series(text):
    """{(name, labels): value}; a series that comes twice fails."""
    found = {}
    for family in families(text).values():
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, key
            found[key] = sample.value
    return found


def value(text, name, **labels):
    """The one value of that name with these labels."""
    found = [value for (each, own), value in series(text).items() if each == name and set(labels.items()) <= own]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_a_server_is_told_in_base_units(hub_inside):
    server = hub_inside.server(hostname="web", group_name="shop")
    hub_inside.send(server, {"swap_percent": 5, "load_average": [0.5, 0.4, 0.3], "cpu_count": 8})
    text = text_of(hub_inside)
    who = {"server": server.row["uuid"], "hostname": "web", "group": "shop"}
    assert value(text, "smon_up", **who) == 1
    assert value(text, "smon_cpu_usage_ratio", **who) == 0.125
    assert value(text, "smon_memory_used_bytes", **who) == 6 << 30
    assert value(text, "smon_load15", **who) == 0.3
    assert value(text, "smon_network_receive_bytes_total", **who) == 2_000_000
    assert value(text, "smon_filesystem_usage_ratio", mount="/", device="/dev/sda1", fstype="ext4", **who) == 0.4
    assert value(text, "smon_sample_timestamp_seconds", **who) == START / 1000


def test_every_number_with_a_history_is_told(hub_inside):
    hub_inside.send(hub_inside.server(), {
        "swap_percent": 5, "load_average": [1, 1, 1],
        "network_rate": {"bytes_sent_per_sec": 1, "bytes_recv_per_sec": 1},
        "disk_io_rate": {"read_bytes_per_sec": 1, "write_bytes_per_sec": 1}})
    assert {"smon_" + metric.exposed for metric in metrics.METRICS} <= set(families(text_of(hub_inside)))


def test_each_name_is_explained_once_and_counters_end_in_total(hub_inside):
    for _ in range(3):
        hub_inside.send(hub_inside.server())
    text = text_of(hub_inside)
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) == text.count("# HELP")
    kinds = {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE")}
    assert all((kind == "counter") == name.endswith("_total") for name, kind in kinds.items())
    assert all(family.documentation.endswith(".") for family in families(text).values())


def test_what_was_not_measured_is_not_told(hub_inside):
    hub_inside.send(hub_inside.server(), {"memory_used": None, "network": None, "disks": None})
    text = text_of(hub_inside)
    assert "smon_memory_used_bytes" not in text and "smon_network" not in text and "None" not in text


def test_an_offline_server_is_down_and_nothing_else(hub_inside):
    server = hub_inside.server(hostname="gone")
    hub_inside.send(server)
    hub_inside.pass_time(clock.HOUR)
    text = text_of(hub_inside)
    assert value(text, "smon_up", hostname="gone") == 0
    assert [line for line in text.splitlines() if "gone" in line] == [
        line for line in text.splitlines() if line.startswith("smon_up{")]
    hub_inside.fleet.seen(server, hub_inside.now())
    text = text_of(hub_inside)
    assert (value(text, "smon_up", hostname="gone"), value(text, "smon_cpu_usage_ratio", hostname="gone")) == (1, 0.125)


def test_a_server_without_samples_is_up_and_one_that_waits_for_approval_is_not_there(hub_inside):
    hub_inside.server(hostname="waits-for-samples")
    pending = hub_inside.server(hostname="not-let-in")
    hub_inside.send(pending)
    hub_inside.fleet.change(pending.row["uuid"], {"approved": False})
    text = text_of(hub_inside)
    assert "not-let-in" not in text
    assert value(text, "smon_up", hostname="waits-for-samples") == 1
    assert [value(text, "smon_hub_servers", state=state) for state in ("online", "offline", "waiting", "pending")] == [
        0, 0, 1, 1]


def test_hostile_names_stay_within_their_quotes(hub_inside):
    server = hub_inside.server(hostname=HOSTILE, group_name='\\')
    disk = {"mountpoint": HOSTILE, "device": "\n# TYPE x", "fstype": '"', "percent": 50}
    hub_inside.send(server, {"disks": [disk]})
    text = text_of(hub_inside)
    assert value(text, "smon_up", hostname=HOSTILE.strip(), group="\\") == 1
    assert value(text, "smon_filesystem_usage_ratio", mount=HOSTILE, fstype='"') == 0.5


def test_a_mount_that_is_sent_twice_is_told_once(hub_inside):
    disk = {"mountpoint": "/", "device": "a", "percent": 10}
    hub_inside.send(hub_inside.server(), {"disks": [disk, dict(disk, percent=90), dict(disk, device="b")]})
    assert value(text_of(hub_inside), "smon_filesystem_usage_ratio", mount="/") == 0.1


def test_the_hub_tells_of_itself(hub_inside):
    server = hub_inside.server()
    for _ in range(2):
        hub_inside.send(server, collected_at=START)  # the second time it was there already
    hub_inside.send(server, collected_at=START - clock.HOUR)
    hub_inside.pass_time(90 * clock.SECOND)
    text = text_of(hub_inside)
    assert value(text, "smon_hub_samples_stored_total") == 2
    assert value(text, "smon_hub_uptime_seconds") == 90
    assert value(text, "smon_hub_build_info") == 1


def test_active_alerts_are_counted(hub_inside):
    hub_inside.send(hub_inside.server(hostname="hot"), {"cpu_percent": 99, "memory_percent": 92})
    hub_inside.send(hub_inside.server(hostname="calm"))
    text = text_of(hub_inside)
    assert [value(text, "smon_active_alerts", hostname=name) for name in ("hot", "calm")] == [2, 0]
    assert [value(text, "smon_hub_active_alerts", severity=word) for word in ("critical", "warning")] == [1, 1]


def test_an_empty_hub_is_valid_too(hub_inside):
    assert value(text_of(hub_inside), "smon_hub_servers", state="online") == 0


def test_only_what_changed_is_unpacked_again(hub_inside, monkeypatch):
    servers = [hub_inside.server() for _ in range(20)]
    for server in servers:
        hub_inside.send(server)
    text_of(hub_inside)
    unpacked = []
    unpack = details.unpack
    monkeypatch.setattr(exposition.details, "unpack", lambda blob: unpacked.append(blob) or unpack(blob))
    assert text_of(hub_inside) == text_of(hub_inside)
    hub_inside.pass_time(2 * clock.SECOND)
    hub_inside.send(servers[3], {"cpu_percent": 99})
    assert value(text_of(hub_inside), "smon_cpu_usage_ratio", server=servers[3].row["uuid"]) == 0.99
    assert len(unpacked) == 1


def test_a_removed_server_is_gone(hub_inside):
    server = hub_inside.server(hostname="removed")
    hub_inside.send(server)
    assert "removed" in text_of(hub_inside)
    hub_inside.ask("DELETE", "/api/dashboard/server/" + server.row["uuid"], address=HERE, host="localhost")
    assert "removed" not in text_of(hub_inside)


def test_a_stranger_reads_nothing(hub_inside):
    assert hub_inside.ask("GET", "/metrics", address=STRANGER).status == 401


def test_promtool_finds_nothing_to_say(hub_inside):
    if not shutil.which("promtool"):
        needs.system("promtool is not installed; the parser of prometheus_client has read it above.")
    hub_inside.send(hub_inside.server(hostname=HOSTILE))
    checked = subprocess.run(["promtool", "check", "metrics"], input=text_of(hub_inside), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, universal_newlines=True)
    assert (checked.returncode, checked.stdout) == (0, "")
