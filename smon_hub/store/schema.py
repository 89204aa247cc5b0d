"""The tables, as one readable text, and the steps from each released version to the next.

Times are UTC milliseconds, sizes bytes, shares percent, flags 0 or 1, lists and objects JSON text.
The text keeps to what SQLite 3.26 and the PostgreSQL family both understand, but for what the engine adds.
"""

from __future__ import annotations

SCHEMA = """
-- A row is a watched server. Its newest sample and last sign of life are written back now and then, not with
-- each sample: they are rebuilt from the samples that are younger than `settled_sample` in `meta`. An id is never used
-- again: what a removed server left must not become a new one's.
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
    newest_sample BIGINT
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

-- A row is one near-live sample; kept for minutes.
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
) WITHOUT ROWID;

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

-- A row is a setting that differs from its default, as JSON.
CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- A row is a server whose rows are being removed in the background.
CREATE TABLE removals (
    server INTEGER PRIMARY KEY
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
