-- +goose Up
-- How far the workers have come that drain an unordered hook's parked deliveries side by side: each takes the next range
-- of events' sequences. Rounds go on until nothing is parked.
CREATE TABLE drains (
    hook_id  uuid PRIMARY KEY,
    round    bigint NOT NULL DEFAULT 0,
    -- all up to here was taken in this round
    taken_to bigint NOT NULL DEFAULT 0
);

-- A range that a worker has taken and is not done with. Once it has expired, another may take it over.
CREATE TABLE drain_claims (
    hook_id    uuid NOT NULL,
    after_seq  bigint NOT NULL,
    up_to_seq  bigint NOT NULL,
    holder     uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT drain_claims_pkey PRIMARY KEY (hook_id, after_seq)
);

-- +goose Down
DROP TABLE drain_claims, drains;
