-- +goose Up
-- A hook that was deleted in the console is paused for some seconds, in which that can be undone, before its row goes. Meanwhile
-- another hook may have its target URL and event types. Whoever makes it active again, a program of an older version included,
-- undoes the deletion.
SET LOCAL lock_timeout = '10s';
ALTER TABLE hooks ADD COLUMN deleted_at timestamptz,
    -- what status and paused_until were before
    ADD COLUMN deleted_status text,
    ADD COLUMN deleted_paused_until timestamptz;
CREATE INDEX hooks_deleted ON hooks (deleted_at) WHERE deleted_at IS NOT NULL;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION hooks_set_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'active' OR NEW.deleted_at IS NULL THEN
        NEW.deleted_at := NULL;
        NEW.deleted_status := NULL;
        NEW.deleted_paused_until := NULL;
        NEW.identity := sha256(convert_to(NEW.target_url || E'\n' || array_to_string(NEW.event_types, ','), 'UTF8'));
    ELSE
        NEW.identity := sha256(convert_to(NEW.id::text, 'UTF8'));
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- +goose Down
DELETE FROM hooks WHERE deleted_at IS NOT NULL;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION hooks_set_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.identity := sha256(convert_to(NEW.target_url || E'\n' || array_to_string(NEW.event_types, ','), 'UTF8'));
    RETURN NEW;
END $$;
-- +goose StatementEnd
ALTER TABLE hooks DROP COLUMN deleted_at, DROP COLUMN deleted_status, DROP COLUMN deleted_paused_until;
