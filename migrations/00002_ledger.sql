-- +goose Up
-- The ledger: what happened to events and deliveries. Everything about an event lives in the day partition of its
-- published_at, so that one look-up touches one partition and old days are dropped, never deleted from.

CREATE TABLE events (
    published_at  timestamptz NOT NULL,
    tenant        text NOT NULL,
    id            text NOT NULL,
    seq           bigint NOT NULL,
    type          text NOT NULL,
    time          timestamptz NOT NULL,
    entity        text NOT NULL DEFAULT '',
    context       text,
    config_filter text,
    -- the exact text that was published
    data          text NOT NULL,
    digest        bytea NOT NULL,
    traceparent   text NOT NULL DEFAULT '',
    CONSTRAINT events_pkey PRIMARY KEY (tenant, id, published_at)
) PARTITION BY RANGE (published_at);
CREATE INDEX events_tenant_published ON events (tenant, published_at DESC);

CREATE TABLE deliveries (
    published_at     timestamptz NOT NULL,
    id               uuid NOT NULL,
    tenant           text NOT NULL,
    hook_id          uuid NOT NULL,
    event_id         text NOT NULL,
    -- in the OMS stream: the order in which parked deliveries are drained
    event_seq        bigint NOT NULL,
    event_type       text NOT NULL,
    entity           text NOT NULL DEFAULT '',
    state            text NOT NULL CONSTRAINT deliveries_state_check CHECK (state IN ('waiting', 'parked', 'delivered', 'dead', 'cancelled')),
    reason           text NOT NULL DEFAULT '',
    attempts         integer NOT NULL,
    next_at          timestamptz,
    first_attempt_at timestamptz,
    -- of the current round of attempts: the first one, or one that a replay began
    round_attempts   integer NOT NULL DEFAULT 0,
    round_started_at timestamptz,
    updated_at       timestamptz NOT NULL,
    last_status      smallint NOT NULL DEFAULT 0,
    last_error       text NOT NULL DEFAULT '',
    replay           boolean NOT NULL DEFAULT false,
    CONSTRAINT deliveries_pkey PRIMARY KEY (id, published_at)
) PARTITION BY RANGE (published_at);
CREATE INDEX deliveries_hook ON deliveries (hook_id, published_at DESC, id);
CREATE INDEX deliveries_event ON deliveries (event_id);
CREATE INDEX deliveries_parked ON deliveries (hook_id, event_seq) WHERE state = 'parked';
CREATE INDEX deliveries_waiting ON deliveries (hook_id, next_at) WHERE state = 'waiting';

CREATE TABLE attempts (
    published_at     timestamptz NOT NULL,
    delivery_id      uuid NOT NULL,
    number           integer NOT NULL,
    tenant           text NOT NULL,
    hook_id          uuid NOT NULL,
    started_at       timestamptz NOT NULL,
    duration_us      bigint NOT NULL,
    outcome          text NOT NULL CONSTRAINT attempts_outcome_check CHECK (outcome IN ('succeeded', 'failed', 'unknown')),
    status           smallint NOT NULL DEFAULT 0,
    error_class      text NOT NULL DEFAULT '',
    error            text NOT NULL DEFAULT '',
    worker           text NOT NULL DEFAULT '',
    replay           boolean NOT NULL DEFAULT false,
    method           text NOT NULL DEFAULT '',
    url              text NOT NULL DEFAULT '',
    request_size     integer NOT NULL DEFAULT 0,
    -- header lines as HTTP writes them, "Name: value" joined by line feeds
    request_headers  text NOT NULL DEFAULT '',
    response_headers text NOT NULL DEFAULT '',
    response_body    bytea,
    truncated        boolean NOT NULL DEFAULT false,
    dns_us           bigint NOT NULL DEFAULT 0,
    connect_us       bigint NOT NULL DEFAULT 0,
    tls_us           bigint NOT NULL DEFAULT 0,
    first_byte_us    bigint NOT NULL DEFAULT 0,
    CONSTRAINT attempts_pkey PRIMARY KEY (delivery_id, number, published_at)
) PARTITION BY RANGE (published_at);

-- How each hook fares, kept by the recorder: since when it has been failing without a success in between.
CREATE TABLE hook_health (
    hook_id         uuid PRIMARY KEY,
    tenant          text NOT NULL,
    failing_since   timestamptz,
    last_failure_at timestamptz,
    failures        bigint NOT NULL DEFAULT 0,
    last_class      text NOT NULL DEFAULT '',
    last_attempt_at timestamptz NOT NULL,
    -- whether the last batch of attempts had a success
    succeeded       boolean NOT NULL,
    -- how far, in percent, on the way to being disabled people were warned last
    warned          smallint NOT NULL DEFAULT 0
);
CREATE INDEX hook_health_failing ON hook_health (failing_since) WHERE failing_since IS NOT NULL;

CREATE TABLE rejected_events (
    published_at timestamptz NOT NULL,
    seq          bigint NOT NULL,
    subject      text NOT NULL,
    tenant       text NOT NULL DEFAULT '',
    reason       text NOT NULL,
    detail       text NOT NULL DEFAULT '',
    -- the first 64 KiB
    raw          bytea NOT NULL,
    size         integer NOT NULL,
    headers      text NOT NULL DEFAULT '',
    CONSTRAINT rejected_events_pkey PRIMARY KEY (published_at, seq)
) PARTITION BY RANGE (published_at);
CREATE INDEX rejected_events_tenant ON rejected_events (tenant, published_at DESC);

-- Makes the partitions of one UTC day; those which are there already are left alone.
-- +goose StatementBegin
CREATE FUNCTION whisperer_ensure_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    child  text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts', 'rejected_events'] LOOP
        child := parent || '_' || to_char(day, 'YYYYMMDD');
        -- read with a snapshot of its own each time, as look-ups by name are not
        PERFORM FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = parent::regclass AND c.relname = child;
        CONTINUE WHEN FOUND;
        PERFORM pg_advisory_xact_lock(hashtext('whisperer_ensure_day'));
        PERFORM FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = parent::regclass AND c.relname = child;
        CONTINUE WHEN FOUND;
        -- made apart and attached: that does not wait for those who read and write, nor make them wait
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child,
            to_char(day, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(day + 1, 'YYYY-MM-DD') || ' 00:00:00+00');
    END LOOP;
END $$;
-- +goose StatementEnd

-- Drops the partitions of days before the given ones: payloads are kept for a shorter time than what became of them.
-- +goose StatementBegin
CREATE FUNCTION whisperer_drop_days(events_before date, others_before date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    child   record;
    dropped integer := 0;
BEGIN
    FOR child IN
        SELECT c.relname AS name, p.relname AS parent, to_date(right(c.relname, 8), 'YYYYMMDD') AS day
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
        WHERE p.oid IN ('events'::regclass, 'deliveries'::regclass, 'attempts'::regclass, 'rejected_events'::regclass)
        AND c.relname ~ '_[0-9]{8}$'
    LOOP
        IF child.day < (CASE child.parent WHEN 'events' THEN events_before ELSE others_before END) THEN
            EXECUTE format('DROP TABLE %I', child.name);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION whisperer_drop_days;
DROP TABLE hook_health, rejected_events, attempts, deliveries, events;
DROP FUNCTION whisperer_ensure_day;
