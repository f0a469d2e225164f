-- +goose Up
-- When a paused hook becomes active again by itself. Whatever else ends the pause, by whichever program, ends that, too.
SET LOCAL lock_timeout = '10s';
ALTER TABLE hooks ADD COLUMN paused_until timestamptz;
CREATE INDEX hooks_paused_until ON hooks (paused_until) WHERE paused_until IS NOT NULL;
-- +goose StatementBegin
CREATE FUNCTION hooks_end_pause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'paused' THEN
        NEW.paused_until := NULL;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER hooks_pause BEFORE INSERT OR UPDATE ON hooks FOR EACH ROW EXECUTE FUNCTION hooks_end_pause();

-- +goose Down
DROP TRIGGER hooks_pause ON hooks;
DROP FUNCTION hooks_end_pause;
ALTER TABLE hooks DROP COLUMN paused_until;
