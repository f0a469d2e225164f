-- +goose Up
-- Where in the streams events are that repeat the id of an earlier one and are not recorded: who erases an event erases these, too.
CREATE TABLE event_copies (
    tenant       text NOT NULL,
    event_id     text NOT NULL,
    seq          bigint NOT NULL,
    published_at timestamptz NOT NULL,
    CONSTRAINT event_copies_pkey PRIMARY KEY (tenant, event_id, seq, published_at)
);
CREATE INDEX event_copies_published ON event_copies (published_at);

-- +goose Down
DROP TABLE event_copies;
