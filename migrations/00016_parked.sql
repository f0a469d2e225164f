-- +goose Up
-- The parked queue: deliveries that wait for their hook. It is small, not partitioned by day, and written by triggers,
-- in the transaction in which the ledger says that a delivery is parked, or is not any more; whoever drains a hook takes
-- rows, and drops them when what became of them is told to the ledger's stream.
SET LOCAL lock_timeout = '10s';

CREATE TABLE parked (
    hook_id          uuid NOT NULL,
    event_seq        bigint NOT NULL,
    id               uuid NOT NULL,
    published_at     timestamptz NOT NULL,
    tenant           text NOT NULL,
    event_id         text NOT NULL,
    event_type       text NOT NULL,
    entity           text NOT NULL,
    reason           text NOT NULL,
    attempts         integer NOT NULL,
    round_attempts   integer NOT NULL,
    round_started_at timestamptz,
    parked_at        timestamptz NOT NULL,
    replay           boolean NOT NULL,
    -- it waits for the time of a retry, and keeps back what has to come after it
    waiting          boolean NOT NULL DEFAULT false,
    -- the drainer that has it in hand, for as long as that one is alive
    taken_by         uuid,
    CONSTRAINT parked_pkey PRIMARY KEY (hook_id, event_seq, id, published_at)
) WITH (fillfactor = 50, -- room for each row to be taken in its page, without a word to the index
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX parked_waiting ON parked (hook_id) WHERE waiting;

-- Who drains. What one that has expired had taken is anybody's, and nothing that it says of that counts any more.
CREATE TABLE drainers (
    id         uuid CONSTRAINT drainers_pkey PRIMARY KEY,
    worker     text NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Of leases of hooks. Programs before this release take them without knowing of these: where queue_fence is not the fence,
-- one of them had the lease last, and what it did may still be on its way to the ledger.
ALTER TABLE leases ADD COLUMN queue_fence bigint, ADD COLUMN foreign_before boolean NOT NULL DEFAULT false,
    ADD COLUMN sharers uuid[] NOT NULL DEFAULT '{}', ADD COLUMN last_attempt_at timestamptz;

-- +goose StatementBegin
CREATE FUNCTION whisperer_ordered(config text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT config LIKE '%"ordering"%' AND coalesce(whisperer_jsonb(config) ->> 'ordering' IN ('hook', 'entity'), false)
$$;
CREATE FUNCTION whisperer_park() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    blocked boolean;
    waits   boolean := false;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW IS NOT DISTINCT FROM OLD THEN -- told again
        RETURN NULL;
    END IF;
    IF NEW.state = 'waiting' THEN -- only in a hook with an order does it keep others back
        waits := EXISTS (SELECT FROM hooks WHERE id = NEW.hook_id AND whisperer_ordered(config));
    END IF;
    IF NEW.state = 'parked' AND TG_OP = 'UPDATE' AND OLD.state = 'parked' AND NEW.attempts <= OLD.attempts THEN
        -- it may be gone from here, since its next attempt was made
        UPDATE parked SET reason = NEW.reason, round_attempts = NEW.round_attempts, round_started_at = NEW.round_started_at,
            parked_at = NEW.updated_at, replay = NEW.replay
        WHERE hook_id = NEW.hook_id AND event_seq = NEW.event_seq AND id = NEW.id AND published_at = NEW.published_at;
    ELSIF NEW.state = 'parked' OR waits THEN
        INSERT INTO parked (hook_id, event_seq, id, published_at, tenant, event_id, event_type, entity, reason, attempts,
            round_attempts, round_started_at, parked_at, replay, waiting)
        VALUES (NEW.hook_id, NEW.event_seq, NEW.id, NEW.published_at, NEW.tenant, NEW.event_id, NEW.event_type, NEW.entity, NEW.reason,
            NEW.attempts, NEW.round_attempts, NEW.round_started_at, NEW.updated_at, NEW.replay, waits)
        ON CONFLICT (hook_id, event_seq, id, published_at) DO UPDATE SET
            reason = excluded.reason, attempts = excluded.attempts, round_attempts = excluded.round_attempts,
            round_started_at = excluded.round_started_at, parked_at = excluded.parked_at, replay = excluded.replay,
            waiting = excluded.waiting, taken_by = NULL; -- who has it in hand knows it as it was
    ELSIF TG_OP = 'UPDATE' THEN
        DELETE FROM parked WHERE hook_id = NEW.hook_id AND event_seq = NEW.event_seq AND id = NEW.id AND published_at = NEW.published_at
        RETURNING waiting INTO blocked;
        IF blocked THEN
            PERFORM pg_notify('whisperer_backlogs', NEW.hook_id::text);
        END IF;
    END IF;
    RETURN NULL;
END $$;

-- A hook that keeps an order from now on has its retries keep others back, too.
CREATE FUNCTION whisperer_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO parked (hook_id, event_seq, id, published_at, tenant, event_id, event_type, entity, reason, attempts,
        round_attempts, round_started_at, parked_at, replay, waiting)
    SELECT hook_id, event_seq, id, published_at, tenant, event_id, event_type, entity, reason, attempts, round_attempts,
        round_started_at, updated_at, replay, true
    FROM deliveries WHERE hook_id = NEW.id AND state = 'waiting' ORDER BY id FOR SHARE
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER hooks_order AFTER UPDATE ON hooks FOR EACH ROW
    WHEN (OLD.config <> NEW.config AND whisperer_ordered(NEW.config) AND NOT whisperer_ordered(OLD.config))
    EXECUTE FUNCTION whisperer_order();
CREATE TRIGGER deliveries_park_new AFTER INSERT ON deliveries FOR EACH ROW
    WHEN (NEW.state IN ('parked', 'waiting')) EXECUTE FUNCTION whisperer_park();
CREATE TRIGGER deliveries_park AFTER UPDATE ON deliveries FOR EACH ROW
    WHEN (OLD.state IN ('parked', 'waiting') OR NEW.state IN ('parked', 'waiting')) EXECUTE FUNCTION whisperer_park();

-- +goose Down
DROP TRIGGER deliveries_park ON deliveries;
DROP TRIGGER deliveries_park_new ON deliveries;
DROP TRIGGER hooks_order ON hooks;
DROP FUNCTION whisperer_park, whisperer_order, whisperer_ordered;
ALTER TABLE leases DROP COLUMN queue_fence, DROP COLUMN foreign_before, DROP COLUMN sharers, DROP COLUMN last_attempt_at;
DROP TABLE drainers, parked;
