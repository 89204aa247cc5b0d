"""The JSON bodies that the hub reads: one declared shape each, in the words of the API document.

Members are only ever added at the end: rows in the store (store/details.py) are read in this order.
"""

from __future__ import annotations

from .shapes import Field, Name, Notes, Secret, Shape, Time, Unit

PROCESSES_MAX, SERVICES_MAX, DISKS_MAX, CORES_MAX = 500, 2_000, 256, 1_024
PROCESS_CPU_MAX = 102_400    # a process may use many cores: 100 percent of each of 1,024
BATCH_MAX = 100


def _percent(name: str, sentence: str, required: bool = False, most: float = 100) -> Field:
    return Field(name, float, sentence, required=required, min=0, max=most)


REGISTER = Shape(
    "register",
    Field("hostname", str, "The machine's own name.", required=True, min=1),
    Field("ip_address", str, "The address that it sends from."),
    Field("os_info", str, "Operating system, release and processor."),
    Field("display_name", str, "The name to show; the hostname when absent.", min=1),
    Field("group_name", str, "The group to list it in.", min=1),
    Field("tags", [str], "Words to find it by.", max=50),
    Field("registration_token", str, "Admits the server without approval."),
)

DISK = Shape(
    "disk",
    Field("device", Name, "Block device or share."),
    Field("mountpoint", Name, "Where it is mounted.", required=True),
    Field("fstype", Name, "File system."),
    Field("total", int, "Bytes."),
    Field("used", int, "Bytes."),
    Field("free", int, "Bytes an unprivileged user can still write."),
    _percent("percent", "Used share of what users can use."),
    _percent("inodes_percent", "Used share of the inodes."),
)

NETWORK = Shape(
    "network",
    Field("bytes_sent", int, "Since boot, all interfaces."),
    Field("bytes_recv", int, "Since boot, all interfaces."),
    Field("packets_sent", int, "Since boot, all interfaces."),
    Field("packets_recv", int, "Since boot, all interfaces."),
)

NETWORK_RATE = Shape(
    "network_rate",
    Field("bytes_sent_per_sec", float, "Bytes a second."),
    Field("bytes_recv_per_sec", float, "Bytes a second."),
    Field("packets_sent_per_sec", float, "Packets a second."),
    Field("packets_recv_per_sec", float, "Packets a second."),
)

DISK_IO_RATE = Shape(
    "disk_io_rate",
    Field("read_bytes_per_sec", float, "Bytes a second."),
    Field("write_bytes_per_sec", float, "Bytes a second."),
    Field("read_count_per_sec", float, "Reads a second."),
    Field("write_count_per_sec", float, "Writes a second."),
)

NUMBERS = Shape(
    "metrics",
    _percent("cpu_percent", "Busy share of all cores since the last sample.", required=True),
    Field("memory_total", int, "Bytes."),
    Field("memory_used", int, "Bytes."),
    Field("memory_free", int, "Bytes available to programs without swapping."),
    _percent("memory_percent", "Used share of memory.", required=True),
    Field("memory_available", int, "Bytes available to programs without swapping."),
    Field("disks", [DISK], "One entry a file system.", max=DISKS_MAX),
    Field("network", NETWORK, "Counters of all interfaces."),
    Field("uptime_seconds", float, "Since boot."),
    Field("boot_time", Time, "When the machine started."),
    _percent("swap_percent", "Used share of swap."),
    Field("swap_total", int, "Bytes."),
    Field("swap_used", int, "Bytes."),
    Field("load_average", [float], "Over 1, 5 and 15 minutes.", min=3, max=3),
    Field("cpu_count", int, "Logical cores.", max=1_000_000),
    Field("network_rate", NETWORK_RATE, "Mean since the last sample."),
    Field("disk_io_rate", DISK_IO_RATE, "Mean since the last sample."),
)

PROCESS = Shape(
    "process",
    Field("pid", int, "Process id.", required=True),
    Field("name", Name, "Name of the program."),
    _percent("cpu_percent", "Of one core; several cores add up.", most=PROCESS_CPU_MAX),
    _percent("memory_percent", "RSS as a share of memory."),
    Field("memory_mb", float, "RSS in MiB."),
    Field("status", Name, "State in the operating system's word."),
    Field("username", Name, "Owner."),
)

SERVICE = Shape(
    "service",
    Field("service_name", Name, "Name of the unit.", required=True),
    Field("display_name", Name, "What it says about itself."),
    Field("status", Name, "running, exited, stopped, failed, starting, paused, unknown or error."),
    Field("start_type", Name, "How it starts."),
    Field("pid", int, "Main process."),
    Field("restarts", int, "Automatic restarts since it was started."),
)

AGENT = Shape(
    "agent",
    Field("version", Name, "The agent's version."),
    Field("boot_id", Name, "Changes with every boot of the machine."),
    Field("sequence", int, "Grows with every sample of one boot."),
    Field("buffered", int, "Payloads that wait on the agent's disk."),
    Field("dropped", int, "Payloads that did not fit there."),
    Field("beat_seconds", float, "The longest silence to expect.", max=86_400),
    Field("interval_minutes", float, "Minutes between samples.", max=1_440),
    Field("clean_shutdown", bool, "Whether the agent's last run ended by itself."),
    Field("live", bool, "Whether near-live mode is on."),
    Field("errors", dict, "What each failing collector says."),
    Field("source", dict, "Where a number comes from: host or cgroup."),
    Field("services_listed", bool, "Whether its settings name the services, so that each of them should run."),
)

SAMPLE = Shape(
    "sample",
    Field("collected_at", Time, "When the sample was taken; the time of arrival when absent."),
    Field("metrics", NUMBERS, "The numbers of the machine.", required=True),
    Field("processes", [PROCESS], "The busiest processes.", max=PROCESSES_MAX),
    Field("services", [SERVICE], "The watched services, or all.", max=SERVICES_MAX),
    Field("agent", AGENT, "What the agent says about itself."),
    steady="services",
)

LIVE = Shape(
    "live",
    Field("collected_at", Time, "When the sample was taken; the time of arrival when absent."),
    Field("retention_minutes", int, "How long the agent asks the hub to keep it.", min=1, max=1_440),
    _percent("cpu_percent", "Busy share of all cores since the last tick.", required=True),
    Field("cpu_per_core", [Field("", float, max=100)], "Busy share of each core.", max=CORES_MAX),
    Field("cpu_freq_mhz", float, "Current frequency.", max=1_000_000),
    _percent("memory_percent", "Used share of memory."),
    Field("memory_used", int, "Bytes."),
    Field("memory_available", int, "Bytes."),
    _percent("swap_percent", "Used share of swap."),
    Field("swap_used", int, "Bytes."),
    Field("network_rate", NETWORK_RATE, "Since the last tick."),
    Field("disk_io_rate", DISK_IO_RATE, "Since the last tick."),
    Field("process_count", int, "Processes."),
    Field("thread_count", int, "Threads."),
    Field("handle_count", int, "Open files or handles."),
)

SERVER_CHANGE = Shape(
    "server",
    Field("display_name", str, "The name to show.", min=1),
    Field("group_name", str, "The group to list it in.", min=1),
    Field("notes", Notes, "What colleagues should know."),
    Field("tags", [str], "Words to find it by.", max=50),
    Field("alert_cpu_threshold", float, "Percent.", min=1, max=100),
    Field("alert_memory_threshold", float, "Percent.", min=1, max=100),
    Field("alert_disk_threshold", float, "Percent.", min=1, max=100),
    Field("collection_interval", int, "Minutes between samples.", min=5, max=60),
    Field("interval", int, "Short for collection_interval.", min=5, max=60),
    Field("may_be_off", bool, "Silence is normal for this machine."),
    Field("approved", bool, "Admits a server that waits for approval."),
    partial=True,
)

CHANNEL = Shape(
    "channel",
    Field("name", str, "What people call it.", min=1, max=100),
    Field("enabled", bool, "Whether messages go there."),
    Field("severities", [Field("", str, choices=("critical", "warning", "info"))], "Which alerts it is told of.",
          max=3),
    Field("groups", [str], "Groups of servers that it is told of; all when empty.", max=500),
    Field("escalation", bool, "Whether it is told of critical alerts that nobody acknowledged."),
    partial=True,
)

LOGIN = Shape(
    "login",
    Field("username", str, "Who logs in.", required=True),
    Field("password", Secret, "The password.", required=True, max=1_024),
)


def _new_password(name: str, sentence: str) -> Field:
    return Field(name, Secret, sentence, required=True, min=10, max=1_024)


OWN_PASSWORD = Shape(
    "own_password",
    Field("old_password", Secret, "The password until now.", required=True, max=1_024),
    _new_password("new_password", "The password from now on."),
)

SETUP = Shape(
    "setup",
    Field("code", str, "The set-up code that the hub printed when it started.", required=True),
    Field("username", str, "Name of the first account.", required=True, min=1, max=64),
    _new_password("password", "Its password."),
)

_ROLE = Field("role", str, "What the holder may: see everything, or change it too.", required=True,
              choices=("viewer", "admin"))
_EXPIRES = Field("expires_days", int, "Days until it ends; never when absent.", min=1, max=3_650)

USER = Shape(
    "user",
    Field("name", str, "Letters, digits and . _ @ -.", required=True, min=1, max=64),
    _ROLE,
    _new_password("password", "The password."),
)

USER_CHANGE = Shape("user_change", _ROLE, _new_password("password", "The new password."), partial=True)

API_TOKEN = Shape("token", Field("name", str, "What it is for.", required=True, min=1), _ROLE, _EXPIRES)

REGISTRATION_TOKEN = Shape(
    "registration_token",
    Field("name", str, "What it is for.", required=True, min=1),
    Field("group_name", str, "The group of the servers that register with it."),
    _EXPIRES,
    Field("uses", int, "Servers that may register with it; any number when absent.", min=1, max=100_000),
)

ACKNOWLEDGE = Shape(
    "acknowledge",
    Field("alert_id", int, "The alert.", min=1),
    Field("alert_ids", [Field("", int, min=1)], "Several of them.", min=1, max=500),
    Field("note", Notes, "What colleagues should know."),
    Field("until", Time, "When it counts as unacknowledged again, should it still be open."),
)

READ = Shape(
    "read",
    Field("notification_id", int, "The line of the bell that was read.", min=1),
    Field("mark_all", bool, "All of them were read; true or absent."),
)

MAINTENANCE = Shape(
    "maintenance",
    Field("name", str, "What is done.", required=True, min=1),
    Field("scope", str, "Whom it is about; all when absent.", choices=("all", "group", "server")),
    Field("target", str, "The group's name or the server's id.", min=1),
    Field("kind", str, "How often.", required=True, choices=("once", "daily", "weekly")),
    Field("starts_at", Time, "When it begins, of one that is once."),
    Field("start", str, "Time of day such as 02:30, of a daily or weekly one.", min=5, max=5),
    Field("days", [Field("", int, max=6)], "Weekdays of a weekly one; 0 is Monday.", min=1, max=7),
    Field("minutes", int, "How long it lasts.", required=True, min=1, max=10_080),
    Field("zone", str, "UTC (when absent), an offset such as +02:00, or a zone's name.", min=1, max=64),
)

# What a hub may change on an agent: the rows of the agent's own table that are marked remote, with the same bounds.
REMOTE_FIELDS = (
    Field("collection_interval_minutes", int, "Minutes between two samples.", min=5, max=60),
    Field("top_processes_count", int, "Processes in a sample.", min=0, max=200),
    Field("monitored_services", [Unit], "Services to report.", max=500),
    Field("auto_discover_services", bool, "Report every service when none is listed."),
    Field("collect_processes", bool, "Report processes."),
    Field("collect_disks", bool, "Report file systems."),
    Field("collect_network", bool, "Report network counters and rates."),
    Field("collect_services", bool, "Report services."),
    Field("skip_mounts", [str], "Mount points to leave out.", max=100),
    Field("live_enabled", bool, "Send a light sample every few seconds."),
    Field("live_interval_seconds", int, "Seconds between two live samples.", min=5, max=60),
    Field("live_retention_minutes", int, "Minutes that the hub keeps live samples.", min=1, max=1_440),
    Field("ping_enabled", bool, "Send a heartbeat."),
    Field("retry_attempts", int, "Tries before the wait between tries begins to double.", min=1, max=100),
    Field("retry_delay_seconds", float, "Seconds between tries.", min=0.1, max=3_600),
    Field("offline_buffer_max", int, "Samples kept on disk while the hub is away.", min=1, max=100_000),
    Field("log_level", str, "How much the agent logs.", choices=("DEBUG", "INFO", "WARNING", "ERROR")),
)
REMOTE_CHANGE = Shape("settings", *REMOTE_FIELDS, partial=True)

REMOTE_ANSWER = Shape(
    "answer",
    Field("revision", int, "The revision that was fetched.", required=True),
    Field("rejected", dict, "Why, by key, for what was not taken."),
    Field("current", Shape("current", *REMOTE_FIELDS), "All of these settings as they are now."),
)
