-- Samples in a partition for each month, so that old ones go by DROP TABLE instead of row by row (docs/scale.md).
--
--     psql "postgresql://smon@db.example/smon" -v keep_days=62 -f install/partitions.sql
--
-- The first run turns the table over, each later one makes the months up to the one after next and drops those that
-- ended more than keep_days ago. Run it every week. Hubs may go on: while it holds the table, agents keep their
-- samples.

\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';
SELECT set_config('smon.keep_days', :'keep_days', true) \g /dev/null

-- The table becomes the partition of whatever has no month, and another one takes its name and its indexes.
DO $$
DECLARE
    found record;
    indexes text[] := '{}';
    definition text;
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = 'samples'::regclass) = 'p' THEN
        RETURN;
    END IF;
    FOR found IN SELECT indexrelid::regclass AS name, pg_get_indexdef(indexrelid) AS text
                 FROM pg_index WHERE indrelid = 'samples'::regclass LOOP
        indexes := indexes || found.text;
        EXECUTE format('ALTER INDEX %s RENAME TO %I', found.name, found.name || '_rest');
    END LOOP;
    ALTER TABLE samples RENAME TO samples_rest;
    CREATE TABLE samples (LIKE samples_rest INCLUDING DEFAULTS INCLUDING IDENTITY) PARTITION BY RANGE (at);
    FOREACH definition IN ARRAY indexes LOOP
        EXECUTE definition;
    END LOOP;
    PERFORM setval(pg_get_serial_sequence('samples', 'id'),
                   (SELECT nextval(pg_get_serial_sequence('samples_rest', 'id'))));
    ALTER TABLE samples_rest ALTER id DROP IDENTITY;
    ALTER TABLE samples ATTACH PARTITION samples_rest DEFAULT;
END $$;

-- From the month of the oldest sample on: its rows leave the rest. Bounds are milliseconds.
DO $$
DECLARE
    keep interval := make_interval(days => current_setting('smon.keep_days')::int);
    keep_since bigint := extract(epoch FROM now() - keep) * 1000;
    month timestamptz := date_trunc('month', least(now(), to_timestamp((SELECT min(at) FROM samples_rest) / 1000.0)));
    since bigint;
    until bigint;
    name text;
BEGIN
    WHILE month < now() + interval '2 months' LOOP
        since := extract(epoch FROM month) * 1000;
        until := extract(epoch FROM month + interval '1 month') * 1000;
        name := 'samples_' || to_char(month, 'YYYY_MM');
        IF until > keep_since AND to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE samples INCLUDING DEFAULTS)', name);
            EXECUTE format('WITH moved AS (DELETE FROM samples_rest WHERE at >= %s AND at < %s RETURNING *) '
                           'INSERT INTO %I SELECT * FROM moved', since, until, name);
            EXECUTE format('ALTER TABLE samples ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, since, until);
        END IF;
        month := month + interval '1 month';
    END LOOP;

    FOR name IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'samples'::regclass LOOP
        IF name ~ '^samples_[0-9]{4}_[0-9]{2}$' AND
           extract(epoch FROM to_timestamp(substr(name, 9), 'YYYY_MM') + interval '1 month') * 1000 <= keep_since THEN
            EXECUTE format('DROP TABLE %I', name);
        END IF;
    END LOOP;
    DELETE FROM samples_rest WHERE at < keep_since;
END $$;

COMMIT;
