-- +goose Up
-- Sessions of the console are sealed cookies, of which nothing is kept here but those that a person ended before their time.
CREATE TABLE ended_sessions (
    id         uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

-- What was done to one thing.
CREATE INDEX audit_subject ON audit (tenant, subject, at DESC, id DESC);

-- +goose Down
DROP INDEX audit_subject;
DROP TABLE ended_sessions;
