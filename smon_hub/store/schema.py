"""The tables, as one readable text, and the steps from each released version to the next.

Times are UTC milliseconds, sizes bytes, shares percent, flags 0 or 1, lists and objects JSON text.
The text keeps to what SQLite 3.26 and the PostgreSQL family both understand, but for what the engine adds.
"""

from __future__ import annotations

SCHEMA = """
-- A row is a watched server. Its newest sample and last sign of life are written back now and then, not with
-- each sample: they are rebuilt from the samples that are younger than `settled_sample` in `meta`. Where several hubs
-- share the database they are written with each sample, and turn grows with whatever the other hubs should know. An id
-- is never used again: what a removed server left must not become a new one's.
CREATE TABLE servers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    key_hash TEXT NOT NULL,
    export_key TEXT NOT NULL,
    hostname TEXT NOT NULL,
    display_name TEXT NOT NULL,
    group_name TEXT NOT NULL,
    ip_address TEXT NOT NULL,
    os_info TEXT NOT NULL,
    tags TEXT NOT NULL,
    notes TEXT NOT NULL,
    alert_cpu_threshold DOUBLE PRECISION NOT NULL,
    alert_memory_threshold DOUBLE PRECISION NOT NULL,
    alert_disk_threshold DOUBLE PRECISION NOT NULL,
    collection_interval INTEGER NOT NULL,
    may_be_off INTEGER NOT NULL,
    approved INTEGER NOT NULL,
    live_minutes INTEGER NOT NULL,
    registered_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    newest_sample BIGINT,
    turn BIGINT NOT NULL DEFAULT 0
);

-- A row is one sample of one server. `details` holds the whole payload but its services: JSON, deflated with the
-- dictionary of store/details.py; NULL after process_retention_days. An id is never used again: what is younger than
-- `settled_sample` must have a higher one.
CREATE TABLE samples (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    server INTEGER NOT NULL,
    at BIGINT NOT NULL,
    cpu_percent DOUBLE PRECISION,
    memory_percent DOUBLE PRECISION,
    memory_used BIGINT,
    memory_free BIGINT,
    swap_percent DOUBLE PRECISION,
    load_1 DOUBLE PRECISION,
    disk_percent DOUBLE PRECISION,
    bytes_sent_per_sec DOUBLE PRECISION,
    bytes_recv_per_sec DOUBLE PRECISION,
    read_bytes_per_sec DOUBLE PRECISION,
    write_bytes_per_sec DOUBLE PRECISION,
    details BLOB,
    UNIQUE (server, at)
);

-- Finds the details that are past their keep, however late they came.
CREATE INDEX samples_with_details ON samples (at) WHERE details IS NOT NULL;

-- A row is what a server's numbers were on average, and the range of some, over `step` seconds from `at` on, and of how
-- many samples that was made.
CREATE TABLE rollups (
    server INTEGER NOT NULL,
    step INTEGER NOT NULL,
    at BIGINT NOT NULL,
    samples BIGINT NOT NULL,
    cpu_percent DOUBLE PRECISION,
    memory_percent DOUBLE PRECISION,
    memory_used DOUBLE PRECISION,
    memory_free DOUBLE PRECISION,
    swap_percent DOUBLE PRECISION,
    load_1 DOUBLE PRECISION,
    disk_percent DOUBLE PRECISION,
    bytes_sent_per_sec DOUBLE PRECISION,
    bytes_recv_per_sec DOUBLE PRECISION,
    read_bytes_per_sec DOUBLE PRECISION,
    write_bytes_per_sec DOUBLE PRECISION,
    cpu_min DOUBLE PRECISION,
    cpu_max DOUBLE PRECISION,
    memory_min DOUBLE PRECISION,
    memory_max DOUBLE PRECISION,
    disk_min DOUBLE PRECISION,
    disk_max DOUBLE PRECISION,
    PRIMARY KEY (server, step, at)
) WITHOUT ROWID;

-- A row is one near-live sample; kept for minutes. New rows of all servers go to the end of the table, and their keys
-- into pages of hundreds: in the order of the key itself a row would move its neighbours, and write two pages.
CREATE TABLE live (
    server INTEGER NOT NULL,
    at BIGINT NOT NULL,
    cpu_percent DOUBLE PRECISION,
    cpu_per_core TEXT,
    cpu_freq_mhz DOUBLE PRECISION,
    memory_percent DOUBLE PRECISION,
    memory_used BIGINT,
    memory_available BIGINT,
    swap_percent DOUBLE PRECISION,
    swap_used BIGINT,
    bytes_sent_per_sec DOUBLE PRECISION,
    bytes_recv_per_sec DOUBLE PRECISION,
    packets_sent_per_sec DOUBLE PRECISION,
    packets_recv_per_sec DOUBLE PRECISION,
    read_bytes_per_sec DOUBLE PRECISION,
    write_bytes_per_sec DOUBLE PRECISION,
    read_count_per_sec DOUBLE PRECISION,
    write_count_per_sec DOUBLE PRECISION,
    process_count BIGINT,
    thread_count BIGINT,
    handle_count BIGINT,
    PRIMARY KEY (server, at)
);

-- A row is a service as its server's newest sample shows it.
CREATE TABLE services (
    server INTEGER NOT NULL,
    name TEXT NOT NULL,
    display_name TEXT,
    status TEXT,
    start_type TEXT,
    pid BIGINT,
    restarts BIGINT,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (server, name)
) WITHOUT ROWID;

-- A row is a moment at which a service's status changed; was is NULL when it was first seen, became when it went.
CREATE TABLE service_changes (
    id INTEGER PRIMARY KEY,
    server INTEGER NOT NULL,
    name TEXT NOT NULL,
    at BIGINT NOT NULL,
    was TEXT,
    became TEXT
);
CREATE INDEX service_changes_by_server ON service_changes (server, at);

-- A row is one revision of what people want an agent's settings to be, as JSON, and what the agent answered to it:
-- reasons by key for what it rejected, and all its settings as they then were.
CREATE TABLE agent_config (
    server INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    settings TEXT NOT NULL,
    queued_at BIGINT NOT NULL,
    answered_at BIGINT,
    rejected TEXT,
    current TEXT,
    PRIMARY KEY (server, revision)
) WITHOUT ROWID;

-- A row is a person who may log in. role: admin or viewer.
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_login_at BIGINT
);

-- A row is a browser that is logged in: the SHA-256 of what its cookie holds.
CREATE TABLE sessions (
    token_hash TEXT PRIMARY KEY,
    account INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL
);

-- A row is a token that a script shows instead of logging in, by its SHA-256.
CREATE TABLE api_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token_hash TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT
);

-- A row is a token that lets servers register without waiting for approval. uses_left is NULL for any number.
CREATE TABLE registration_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token_hash TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    group_name TEXT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    uses_left BIGINT
);

-- A row is one change that somebody made: `change` is a JSON object of key: [old, new], never with a secret in it.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    change TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (at);

-- A row is a setting that differs from its default, as JSON.
CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- A row is what the alert rules ask of the servers of one group, where that differs from the settings: JSON by key.
CREATE TABLE group_rules (
    group_name TEXT PRIMARY KEY,
    rules TEXT NOT NULL
);

-- A row is a place outside the hub that messages go to. The mail that the settings describe is channel 0: its config
-- and its switch are theirs. severities, group_names (empty: all) and config are JSON.
CREATE TABLE channels (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    severities TEXT NOT NULL,
    group_names TEXT NOT NULL,
    escalation INTEGER NOT NULL,
    config TEXT NOT NULL,
    last_delivery_at BIGINT,
    last_error TEXT,
    last_error_at BIGINT
);
INSERT INTO channels (id, kind, name, enabled, severities, group_names, escalation, config)
VALUES (0, 'email', 'Mail', 1, '["warning","critical"]', '[]', 0, '{}');

-- A row is one message to one channel; while settled_at is NULL it waits. Messages of one thread (those about one
-- alert) go in order. only_to lists, as JSON, the recipients that a partly delivered one has still to reach.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel INTEGER NOT NULL,
    delivery_id TEXT NOT NULL,
    thread TEXT NOT NULL,
    alert_id BIGINT,
    event TEXT NOT NULL,
    content TEXT NOT NULL,
    only_to TEXT,
    created_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    claimed_at BIGINT,
    claimed_by TEXT,
    attempts INTEGER NOT NULL,
    outcome TEXT,
    settled_at BIGINT,
    error TEXT
);
CREATE INDEX outbox_by_channel ON outbox (channel, id);
CREATE INDEX outbox_by_alert ON outbox (channel, alert_id);
CREATE INDEX outbox_waiting ON outbox (channel, id) WHERE settled_at IS NULL;
CREATE INDEX outbox_settled ON outbox (settled_at) WHERE settled_at IS NOT NULL;

-- A row is a problem of one object (a mount, a service; "" for the machine) of a server; server 0 is the hub itself, or
-- a group. It waits while opened_at is NULL, for as long as its rule asks; it is open until ended_at, or until
-- unknown_since: its server was removed. run is of samples in a row, bad ones while it waits and good ones after.
-- told: whether somebody was told that it opened. suppressed_by says why not: maintenance, or a group's outage.
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    server INTEGER NOT NULL,
    rule TEXT NOT NULL,
    object TEXT NOT NULL,
    severity INTEGER NOT NULL,
    message TEXT NOT NULL,
    value DOUBLE PRECISION,
    threshold DOUBLE PRECISION,
    processes TEXT,
    run INTEGER NOT NULL,
    falls_to INTEGER NOT NULL,
    since_at BIGINT NOT NULL,
    opened_at BIGINT,
    changed_at BIGINT NOT NULL,
    ended_at BIGINT,
    unknown_since BIGINT,
    acknowledged_at BIGINT,
    acknowledged_by TEXT,
    acknowledged_until BIGINT,
    note TEXT,
    suppressed_by TEXT NOT NULL,
    flapping INTEGER NOT NULL,
    told INTEGER NOT NULL,
    told_at BIGINT,
    escalated_at BIGINT
);
CREATE UNIQUE INDEX alerts_current ON alerts (server, rule, object) WHERE ended_at IS NULL;
CREATE INDEX alerts_by_server ON alerts (server, opened_at);
CREATE INDEX alerts_active ON alerts (id) WHERE ended_at IS NULL AND acknowledged_at IS NULL AND opened_at IS NOT NULL;
CREATE INDEX alerts_ended ON alerts (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX alerts_flapping ON alerts (server, rule, object) WHERE flapping = 1;

-- A row is a moment in the life of an alert: opened, severity, recovered, acknowledged, and what else was told of it.
CREATE TABLE alert_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    alert INTEGER NOT NULL,
    server INTEGER NOT NULL,
    rule TEXT NOT NULL,
    object TEXT NOT NULL,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    severity INTEGER NOT NULL,
    message TEXT NOT NULL,
    who TEXT
);
CREATE INDEX alert_events_by_alert ON alert_events (alert);
CREATE INDEX alert_events_by_object ON alert_events (server, rule, object, at);

-- A row is a line of the bell: what happened (opened, recovered, ...) to an alert, or to none.
CREATE TABLE notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    alert INTEGER,
    server INTEGER NOT NULL,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    severity INTEGER NOT NULL,
    message TEXT NOT NULL,
    is_read INTEGER NOT NULL
);
CREATE INDEX notifications_unread ON notifications (id) WHERE is_read = 0;
CREATE INDEX notifications_by_alert ON notifications (alert);
CREATE INDEX notifications_by_time ON notifications (at);

-- A row is the worst that late samples told of an object, until one message sums them up. at: when it was worst.
CREATE TABLE late_peaks (
    server INTEGER NOT NULL,
    rule TEXT NOT NULL,
    object TEXT NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    threshold DOUBLE PRECISION NOT NULL,
    at BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    stored_at BIGINT NOT NULL,
    PRIMARY KEY (server, rule, object)
) WITHOUT ROWID;

-- A row is a time in which alerts are recorded, but nobody is told. scope: all, group or server, whose name or uuid is
-- the target. kind: once, from starts_at; daily or weekly, from start_minute of the zone's day, on days (JSON, 0 is
-- Monday).
CREATE TABLE maintenance (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    target TEXT NOT NULL,
    kind TEXT NOT NULL,
    starts_at BIGINT,
    start_minute INTEGER,
    days TEXT NOT NULL,
    minutes INTEGER NOT NULL,
    zone TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);

-- A row is a server whose rows are being removed in the background.
CREATE TABLE removals (
    server INTEGER PRIMARY KEY
);

-- A row is a part of what hubs keep in memory, but for servers, and how often it was changed.
CREATE TABLE versions (
    part TEXT PRIMARY KEY,
    number BIGINT NOT NULL
);

-- A row is work that one of several hubs does for all of them, which one, and until when it may without asking again.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL
);

-- A row is a fact about the database itself.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
"""

# Each entry brings a database of the version that is its index (from 1) to the next; SCHEMA is always the newest.
# Nothing has been released before version 1, so there is no step yet.
MIGRATIONS: tuple = ()

VERSION = 1 + len(MIGRATIONS)
