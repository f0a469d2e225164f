-- +goose Up
-- How far each worker knows the hooks, and what was changed beyond that. Workers ask for changes by transactions, which tells
-- them of each one exactly once, however long its transaction was open; notifications only tell them to ask now.

-- What was changed last, by the key of its row; of what is gone, too. Plain SQL counts: triggers write it.
CREATE TABLE changes (
    kind text NOT NULL CONSTRAINT changes_kind_check CHECK (kind IN ('hook', 'tenant', 'type', 'all')),
    key  text NOT NULL,
    xid  xid8 NOT NULL,
    at   timestamptz NOT NULL,
    CONSTRAINT changes_pkey PRIMARY KEY (kind, key)
);
CREATE INDEX changes_xid ON changes (xid);

-- Changes by which a hook may get more events than before. Whoever did not know of one yet fanned events out without it:
-- they are looked through, and given to the hook, once all workers know it.
CREATE TABLE hook_gaps (
    hook_id   uuid NOT NULL,
    xid       xid8 NOT NULL,
    tenant    text NOT NULL,
    since     timestamptz NOT NULL,
    -- closing what was opened later does not count
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done      boolean NOT NULL DEFAULT false,
    CONSTRAINT hook_gaps_pkey PRIMARY KEY (hook_id, xid)
);
CREATE INDEX hook_gaps_open ON hook_gaps (tenant, since) WHERE NOT done;

-- The workers that run, and the snapshot up to which each knows all changes. Until a row expires, its worker may fan out.
CREATE TABLE workers (
    id         uuid CONSTRAINT workers_pkey PRIMARY KEY,
    name       text NOT NULL,
    snapshot   pg_snapshot NOT NULL,
    -- hooks that the worker cannot open or read
    unreadable integer NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL
);

-- +goose StatementBegin
CREATE FUNCTION whisperer_changed(changed_kind text, changed_key text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO changes (kind, key, xid, at) VALUES (changed_kind, changed_key, pg_current_xact_id(), clock_timestamp())
    ON CONFLICT (kind, key) DO UPDATE SET xid = excluded.xid, at = excluded.at
$$;
CREATE OR REPLACE FUNCTION hooks_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM whisperer_changed('hook', COALESCE(NEW.id, OLD.id)::text);
    PERFORM pg_notify('whisperer_hooks', COALESCE(NEW.id, OLD.id)::text);
    IF TG_OP = 'DELETE' THEN -- a drainer cancels what waits
        INSERT INTO backlogs (hook_id) VALUES (OLD.id) ON CONFLICT (hook_id) DO UPDATE SET touched_at = clock_timestamp();
        PERFORM pg_notify('whisperer_backlogs', OLD.id::text);
    ELSIF NEW.status <> 'disabled' AND (TG_OP = 'INSERT' OR OLD.status = 'disabled' OR (OLD.tenant, OLD.event_types, OLD.config,
        OLD.callback) IS DISTINCT FROM (NEW.tenant, NEW.event_types, NEW.config, NEW.callback)) THEN
        INSERT INTO hook_gaps (hook_id, xid, tenant, since) VALUES (NEW.id, pg_current_xact_id(), NEW.tenant, clock_timestamp())
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION tenants_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM whisperer_changed('tenant', COALESCE(NEW.name, OLD.name));
    PERFORM pg_notify('whisperer_tenants', COALESCE(NEW.name, OLD.name));
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION event_types_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM whisperer_changed('type', COALESCE(NEW.tenant, OLD.tenant) || '/' || COALESCE(NEW.name, OLD.name));
    PERFORM pg_notify('whisperer_event_types', COALESCE(NEW.tenant, OLD.tenant));
    RETURN NULL;
END $$;
CREATE FUNCTION whisperer_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM whisperer_changed('all', TG_TABLE_NAME);
    PERFORM pg_notify('whisperer_hooks', '');
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER hooks_truncated AFTER TRUNCATE ON hooks FOR EACH STATEMENT EXECUTE FUNCTION whisperer_truncated();
CREATE TRIGGER tenants_truncated AFTER TRUNCATE ON tenants FOR EACH STATEMENT EXECUTE FUNCTION whisperer_truncated();

-- +goose Down
DROP TRIGGER tenants_truncated ON tenants;
DROP TRIGGER hooks_truncated ON hooks;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION event_types_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('whisperer_event_types', COALESCE(NEW.tenant, OLD.tenant));
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION tenants_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('whisperer_tenants', COALESCE(NEW.name, OLD.name));
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION hooks_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('whisperer_hooks', COALESCE(NEW.id, OLD.id)::text);
    IF TG_OP = 'DELETE' THEN -- a drainer cancels what waits
        INSERT INTO backlogs (hook_id) VALUES (OLD.id) ON CONFLICT (hook_id) DO UPDATE SET touched_at = clock_timestamp();
        PERFORM pg_notify('whisperer_backlogs', OLD.id::text);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
DROP FUNCTION whisperer_truncated, whisperer_changed;
DROP TABLE workers, hook_gaps, changes;
