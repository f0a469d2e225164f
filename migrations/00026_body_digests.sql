-- +goose Up
-- What was sent is told by its SHA-256: bodies are made of the event by what the hook was at the time, which nobody can make
-- again once the hook was changed. Null where nothing was sent, where a worker ended before it could tell, and in what was
-- recorded before.
SET LOCAL lock_timeout = '10s';
ALTER TABLE attempts ADD COLUMN body_digest bytea;

-- +goose Down
ALTER TABLE attempts DROP COLUMN body_digest;
