-- +goose Up
-- How many events each hook's transform could not be evaluated for, by day (UTC), as filter_failures has them of filters. Their
-- deliveries are dead.
CREATE TABLE transform_failures (
    hook_id      uuid NOT NULL CONSTRAINT transform_failures_hook_fkey REFERENCES hooks (id) ON DELETE CASCADE,
    day          date NOT NULL,
    failures     bigint NOT NULL,
    -- the newest of them
    last_at      timestamptz NOT NULL,
    last_error   text NOT NULL,
    last_event   text NOT NULL,
    -- whether an operational event told of it
    told         boolean NOT NULL DEFAULT false,
    CONSTRAINT transform_failures_pkey PRIMARY KEY (hook_id, day)
);
CREATE INDEX transform_failures_day ON transform_failures (day);

-- +goose Down
DROP TABLE transform_failures;
