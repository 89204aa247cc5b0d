// The settings that a hub may change on an agent, as fields of a form; their bounds are the agent's own. Its interval
// is among the server's settings, because alerts depend on it.

const number = (key, label, min, max, text) => ({ key, kind: "number", label, min, max, text });
const check = (key, label, text = "") => ({ key, kind: "check", label, text });

export const REMOTE = [
  number("top_processes_count", "Processes in a sample", 0, 200),
  check("collect_processes", "Report processes"),
  check("collect_disks", "Report file systems"),
  check("collect_network", "Report network"),
  check("collect_services", "Report services"),
  { key: "monitored_services", kind: "tags", label: "Services to report", text: "Names, separated by commas." },
  check("auto_discover_services", "Report every service", "When none is named."),
  { key: "skip_mounts", kind: "tags", label: "Mount points to leave out", text: "Separated by commas." },
  check("live_enabled", "Near-live mode", "A light sample every few seconds."),
  number("live_interval_seconds", "Seconds between live samples", 5, 60),
  number("live_retention_minutes", "Minutes that live samples are kept", 1, 1440),
  check("ping_enabled", "Heartbeat"),
  number("retry_attempts", "Tries before the wait doubles", 1, 100),
  number("retry_delay_seconds", "Seconds between tries", 0.1, 3600),
  number("offline_buffer_max", "Samples kept while the hub is away", 1, 100000),
  { key: "log_level", kind: "select", label: "Log level", choices: [["", "–"], "DEBUG", "INFO", "WARNING", "ERROR"] },
];
