-- +goose Up
-- Erasing payloads before their day is dropped. What an event was is kept (its id, type, times, entity and digest); what was in it,
-- and what receivers answered, is overwritten.
SET LOCAL lock_timeout = '10s';

-- Since when the payload is not there any more, and by whom: an actor, or "retention".
ALTER TABLE events ADD COLUMN erased_at timestamptz, ADD COLUMN erased_by text;

-- What is erased, or is being erased: all that was published under the id up to erased_at. Whoever records an event, or what became of
-- it, asks here in the transaction in which it writes, so that nothing brings a payload back.
CREATE TABLE erased_events (
    tenant    text NOT NULL,
    event_id  text NOT NULL,
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    erased_by text NOT NULL,
    -- null where its retention was over
    erasure   uuid,
    -- who does not know of this transaction yet may still write or send the payload
    xid       xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- when it was gone from everywhere; null until then
    done_at   timestamptz,
    CONSTRAINT erased_events_pkey PRIMARY KEY (tenant, event_id)
);
CREATE INDEX erased_events_open ON erased_events (erasure) WHERE done_at IS NULL;
CREATE INDEX erased_events_done ON erased_events (done_at);

-- What people asked to have erased. All that an erasure has got to is in its row and in erased_events: a crash costs nothing.
CREATE TABLE erasures (
    id           uuid CONSTRAINT erasures_pkey PRIMARY KEY,
    tenant       text NOT NULL CONSTRAINT erasures_tenant_fkey REFERENCES tenants (name),
    state        text NOT NULL DEFAULT 'running'
                 CONSTRAINT erasures_state_check CHECK (state IN ('running', 'completed', 'cancelled', 'failed')),
    -- what it waits for, or why it failed
    detail       text NOT NULL DEFAULT '',
    owner        text NOT NULL,
    reason       text NOT NULL,
    -- which events: of these ids, of this entity, or those in whose data this SQL/JSON path finds something. A path may have in it what
    -- is to be erased: at the end its SHA-256 takes its place.
    kind         text NOT NULL CONSTRAINT erasures_kind_check CHECK (kind IN ('events', 'entity', 'path')),
    criteria     text[] NOT NULL,
    from_at      timestamptz NOT NULL,
    to_at        timestamptz NOT NULL,
    -- null where counting took too long
    total        bigint,
    -- whether all events up to to_at are in erased_events, and else up to which
    listed       boolean NOT NULL DEFAULT false,
    cursor_at    timestamptz NOT NULL,
    cursor_seq   bigint NOT NULL DEFAULT 0,
    done         bigint NOT NULL DEFAULT 0,
    -- how many of what was erased, by place
    places       jsonb NOT NULL DEFAULT '{}',
    certificate  jsonb,
    -- when somebody may go on with it
    next_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at   timestamptz NOT NULL DEFAULT now(),
    modified_at  timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz
);
CREATE INDEX erasures_tenant ON erasures (tenant, created_at DESC, id DESC);
CREATE INDEX erasures_running ON erasures (next_at) WHERE state = 'running';

-- Workers learn of erased events as they learn of changed hooks.
ALTER TABLE changes DROP CONSTRAINT changes_kind_check;
ALTER TABLE changes ADD CONSTRAINT changes_kind_check CHECK (kind IN ('hook', 'tenant', 'type', 'signing_keys', 'all', 'erasure'));

-- +goose StatementBegin
-- Bytes as JSON; null for what is none.
CREATE FUNCTION whisperer_bytes_jsonb(data bytea) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN convert_from(data, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR syntax_error THEN
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION whisperer_bytes_jsonb;
DELETE FROM changes WHERE kind = 'erasure';
ALTER TABLE changes DROP CONSTRAINT changes_kind_check;
ALTER TABLE changes ADD CONSTRAINT changes_kind_check CHECK (kind IN ('hook', 'tenant', 'type', 'signing_keys', 'all'));
DROP TABLE erasures, erased_events;
ALTER TABLE events DROP COLUMN erased_at, DROP COLUMN erased_by;
