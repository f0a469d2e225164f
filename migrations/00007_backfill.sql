-- +goose Up
-- A job that begins together with a new hook is counted after it has begun.
ALTER TABLE jobs ADD COLUMN counted boolean NOT NULL DEFAULT true;
CREATE INDEX jobs_uncounted ON jobs (created_at) WHERE NOT counted;

-- +goose Down
DROP INDEX jobs_uncounted;
ALTER TABLE jobs DROP COLUMN counted;
