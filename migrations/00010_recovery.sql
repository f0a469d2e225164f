-- +goose Up
-- When a hook was disabled last, and until when: what it missed meanwhile can be recovered. By a trigger, so that it does not
-- matter who disables a hook, or enables it again.
ALTER TABLE hooks ADD COLUMN disabled_from timestamptz, ADD COLUMN disabled_to timestamptz;

-- +goose StatementBegin
CREATE FUNCTION hooks_set_disabled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'disabled' THEN
        NEW.disabled_from := clock_timestamp();
        NEW.disabled_to := NULL;
    ELSE
        NEW.disabled_to := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER hooks_disabled BEFORE UPDATE ON hooks FOR EACH ROW
    WHEN ((OLD.status = 'disabled') <> (NEW.status = 'disabled')) EXECUTE FUNCTION hooks_set_disabled();
UPDATE hooks SET disabled_from = modified_at WHERE status = 'disabled';

-- +goose Down
DROP TRIGGER hooks_disabled ON hooks;
DROP FUNCTION hooks_set_disabled;
ALTER TABLE hooks DROP COLUMN disabled_from, DROP COLUMN disabled_to;
