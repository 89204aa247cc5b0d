"""What the load sends: a 6 KB sample as a busy server's agent makes it, and a 500 B live sample."""

from __future__ import annotations

import json

from load import MOMENT

NAMES = ("postgres", "nginx", "python3", "java", "systemd-journald", "containerd", "sshd", "redis-server")
GIB = 1 << 30


def metrics() -> str:
    processes = [{"pid": 1000 + number, "name": NAMES[number % len(NAMES)], "cpu_percent": round(31.4 - number, 1),
                  "memory_percent": round(0.1 * number, 2), "memory_mb": 12.5 * number, "status": "sleeping",
                  "username": "app%d" % (number % 3)} for number in range(15)]  # rounded, as an agent does it
    services = [{"service_name": "service-%02d" % number, "display_name": "The service number %d" % number,
                 "status": "running", "start_type": "enabled", "pid": 2000 + number} for number in range(20)]
    disks = [{"device": "/dev/sd%s1" % letter, "mountpoint": "/srv/%s" % letter, "fstype": "ext4", "total": 500 * GIB,
              "used": 200 * GIB, "free": 300 * GIB, "percent": 40.0} for letter in "abc"]
    figures = {
        "cpu_percent": 41.7, "memory_total": 64 * GIB, "memory_used": 40 * GIB, "memory_free": 24 * GIB,
        "memory_percent": 62.5, "memory_available": 24 * GIB, "swap_percent": 1.5, "swap_total": 8 * GIB,
        "swap_used": GIB // 8, "load_average": [1.2, 1.4, 1.1], "cpu_count": 16, "uptime_seconds": 864000,
        "boot_time": "2026-11-12T10:00:00Z", "disks": disks,
        "network": {"bytes_sent": 10 ** 12, "bytes_recv": 10 ** 12, "packets_sent": 10 ** 9, "packets_recv": 10 ** 9},
        "network_rate": {"bytes_sent_per_sec": 125000.5, "bytes_recv_per_sec": 250000.5, "packets_sent_per_sec": 150.1,
                         "packets_recv_per_sec": 300.1},
        "disk_io_rate": {"read_bytes_per_sec": 5000000.5, "write_bytes_per_sec": 3000000.5, "read_count_per_sec": 100.1,
                         "write_count_per_sec": 80.1},
    }
    return json.dumps({"collected_at": MOMENT.decode(), "metrics": figures, "processes": processes,
                       "services": services})


def live() -> str:
    return json.dumps({
        "collected_at": MOMENT.decode(), "cpu_percent": 45.2, "cpu_per_core": [32.1, 55.0, 40.3, 52.8],
        "cpu_freq_mhz": 3200, "memory_percent": 62.5, "memory_used": 40 * GIB, "memory_available": 24 * GIB,
        "swap_percent": 1.5, "swap_used": GIB // 8, "process_count": 245, "thread_count": 1850, "handle_count": 45000,
        "network_rate": {"bytes_sent_per_sec": 125000, "bytes_recv_per_sec": 250000, "packets_sent_per_sec": 150,
                         "packets_recv_per_sec": 300}})


PATHS = {"metrics": ("/api/metrics", metrics()), "live": ("/api/metrics/live", live())}


def head(path: str, body: str, authorization: str) -> str:
    """Everything of a request but its body."""
    return ("POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: %s\r\nContent-Type: application/json\r\n"
            "Content-Length: %d\r\n\r\n" % (path, authorization, len(body)))
