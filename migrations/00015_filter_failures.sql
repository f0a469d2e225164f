-- +goose Up
-- How many events each hook's filter could not be evaluated for, by day (UTC). Such events are not delivered, and are nowhere else
-- to be seen.
CREATE TABLE filter_failures (
    hook_id      uuid NOT NULL CONSTRAINT filter_failures_hook_fkey REFERENCES hooks (id) ON DELETE CASCADE,
    day          date NOT NULL,
    failures     bigint NOT NULL,
    -- the newest of them
    last_at      timestamptz NOT NULL,
    last_error   text NOT NULL,
    last_event   text NOT NULL,
    -- whether an operational event told of it
    told         boolean NOT NULL DEFAULT false,
    CONSTRAINT filter_failures_pkey PRIMARY KEY (hook_id, day)
);
CREATE INDEX filter_failures_day ON filter_failures (day);

-- +goose Down
DROP TABLE filter_failures;
