-- +goose Up
-- From which event on a gap that was opened again is looked through: what was published before is done with. Null for all since
-- the change.
SET LOCAL lock_timeout = '10s';
ALTER TABLE hook_gaps ADD COLUMN look_from timestamptz;

-- +goose Down
ALTER TABLE hook_gaps DROP COLUMN look_from;
