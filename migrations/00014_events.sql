-- +goose Up
-- CloudEvents are told apart by source and id, and passed on as they came.

-- The attributes of an event that was published as a CloudEvent, a JSON object; null for others.
ALTER TABLE events ADD COLUMN cloud_event text;

-- From when on the source is a part of a CloudEvent's id. What was published before keeps the id under which its deliveries
-- are recorded; where there is anything yet, the change waits until the programs of the version before have ended.
CREATE TABLE event_sources (
    one   boolean PRIMARY KEY DEFAULT true CONSTRAINT event_sources_one_check CHECK (one),
    since timestamptz NOT NULL
);
INSERT INTO event_sources (since)
SELECT CASE WHEN EXISTS (SELECT FROM hooks) OR EXISTS (SELECT FROM events) THEN now() + interval '1 hour' ELSE '2000-01-01Z' END;

-- Idempotency keys of requests that publish.
CREATE TABLE publish_keys (
    tenant      text NOT NULL,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, key)
);
CREATE INDEX publish_keys_created_at ON publish_keys (created_at);

-- +goose Down
DROP TABLE publish_keys, event_sources;
ALTER TABLE events DROP COLUMN cloud_event;
