-- +goose Up
-- Deliveries that a newer one of their entity takes the place of, where the hook wants only the newest of what waited.
SET LOCAL lock_timeout = '10s';
ALTER TABLE deliveries ADD COLUMN superseded_by uuid; -- the delivery that took its place

-- Partitions have the constraint for themselves. What is there keeps to the stricter one before, so nothing is read.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_state_check;
-- +goose StatementBegin
DO $$
DECLARE
    child regclass;
BEGIN
    FOR child IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'deliveries'::regclass LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS deliveries_state_check', child);
    END LOOP;
END $$;

-- A hook that collapses keeps the order of its entities.
CREATE OR REPLACE FUNCTION whisperer_ordered(config text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT config ~ '"(ordering|collapse)"' AND coalesce(lower(whisperer_jsonb(config) ->> 'ordering') IN ('hook', 'entity')
        OR lower(whisperer_jsonb(config) ->> 'collapse') = 'entity', false)
$$;
-- +goose StatementEnd
ALTER TABLE deliveries ADD CONSTRAINT deliveries_state_check
    CHECK (state IN ('waiting', 'parked', 'delivered', 'dead', 'cancelled', 'superseded')) NOT VALID;

-- +goose Down
UPDATE deliveries SET state = 'cancelled', reason = 'superseded' WHERE state = 'superseded';
ALTER TABLE deliveries DROP CONSTRAINT deliveries_state_check;
-- +goose StatementBegin
DO $$
DECLARE
    child regclass;
BEGIN
    FOR child IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'deliveries'::regclass LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS deliveries_state_check', child);
    END LOOP;
END $$;
CREATE OR REPLACE FUNCTION whisperer_ordered(config text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT config LIKE '%"ordering"%' AND coalesce(whisperer_jsonb(config) ->> 'ordering' IN ('hook', 'entity'), false)
$$;
-- +goose StatementEnd
ALTER TABLE deliveries ADD CONSTRAINT deliveries_state_check
    CHECK (state IN ('waiting', 'parked', 'delivered', 'dead', 'cancelled')) NOT VALID;
ALTER TABLE deliveries DROP COLUMN superseded_by;
