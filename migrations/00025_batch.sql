-- +goose Up
-- Deliveries that go to their receiver together. What they are is remembered before they are sent, so that whoever tries them again
-- sends the same.
SET LOCAL lock_timeout = '10s';
ALTER TABLE parked ADD COLUMN batch uuid;
CREATE INDEX parked_batch ON parked (hook_id, batch) WHERE batch IS NOT NULL;

-- +goose StatementBegin
-- Deliveries of a hook that has an order, collapses or gets batches stay in the queue while they wait for a retry.
CREATE OR REPLACE FUNCTION whisperer_ordered(config text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT config ~ '"(ordering|collapse|batch)"' AND coalesce(lower(whisperer_jsonb(config) ->> 'ordering') IN ('hook', 'entity')
        OR lower(whisperer_jsonb(config) ->> 'collapse') = 'entity' OR jsonb_typeof(whisperer_jsonb(config) -> 'batch') = 'object', false)
$$;

CREATE OR REPLACE FUNCTION whisperer_park() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    blocked boolean;
    waits   boolean := false;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW IS NOT DISTINCT FROM OLD THEN -- told again
        RETURN NULL;
    END IF;
    IF NEW.state = 'waiting' THEN -- only in some hooks does it stay here
        waits := EXISTS (SELECT FROM hooks WHERE id = NEW.hook_id AND whisperer_ordered(config));
    END IF;
    IF NEW.state = 'parked' AND TG_OP = 'UPDATE' AND OLD.state = 'parked' AND NEW.attempts <= OLD.attempts THEN
        -- it may be gone from here, since its next attempt was made
        UPDATE parked SET reason = NEW.reason, round_attempts = NEW.round_attempts, round_started_at = NEW.round_started_at,
            parked_at = NEW.updated_at, replay = NEW.replay, batch = CASE WHEN NEW.reason = 'replay' THEN NULL ELSE batch END
        WHERE hook_id = NEW.hook_id AND event_seq = NEW.event_seq AND id = NEW.id AND published_at = NEW.published_at;
    ELSIF NEW.state = 'parked' OR waits THEN
        INSERT INTO parked (hook_id, event_seq, id, published_at, tenant, event_id, event_type, entity, reason, attempts,
            round_attempts, round_started_at, parked_at, replay, waiting)
        VALUES (NEW.hook_id, NEW.event_seq, NEW.id, NEW.published_at, NEW.tenant, NEW.event_id, NEW.event_type, NEW.entity, NEW.reason,
            NEW.attempts, NEW.round_attempts, NEW.round_started_at, NEW.updated_at, NEW.replay, waits)
        ON CONFLICT (hook_id, event_seq, id, published_at) DO UPDATE SET
            reason = excluded.reason, attempts = excluded.attempts, round_attempts = excluded.round_attempts,
            round_started_at = excluded.round_started_at, parked_at = excluded.parked_at, replay = excluded.replay,
            -- what a person asks for does not wait for the others of its batch
            batch = CASE WHEN excluded.reason = 'replay' THEN NULL ELSE parked.batch END,
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
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION whisperer_ordered(config text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT config ~ '"(ordering|collapse)"' AND coalesce(lower(whisperer_jsonb(config) ->> 'ordering') IN ('hook', 'entity')
        OR lower(whisperer_jsonb(config) ->> 'collapse') = 'entity', false)
$$;
CREATE OR REPLACE FUNCTION whisperer_park() RETURNS trigger LANGUAGE plpgsql AS $$
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
-- +goose StatementEnd
ALTER TABLE parked DROP COLUMN batch;
