-- +goose Up
-- When a token was used last, to the minute, so that people see which ones nobody needs. Who did something is looked up by actor.
SET LOCAL lock_timeout = '10s';
ALTER TABLE api_tokens ADD COLUMN last_used_at timestamptz;
CREATE INDEX audit_actor ON audit (tenant, actor, at DESC, id DESC);

-- +goose Down
DROP INDEX audit_actor;
ALTER TABLE api_tokens DROP COLUMN last_used_at;
