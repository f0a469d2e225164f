-- +goose Up
-- When each hook last succeeded, or was resumed or moved, so that an attempt that is recorded after a newer one does not undo what
-- the newer one showed.
SET LOCAL lock_timeout = '10s';
ALTER TABLE hook_health ADD COLUMN last_success_at timestamptz;

-- +goose Down
ALTER TABLE hook_health DROP COLUMN last_success_at;
