-- Events that are on their way to Whisperer. Rows are inserted and deleted, never updated.
CREATE TABLE whisperer_outbox (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text NOT NULL,                    -- the event's, as in body
    tenant     text NOT NULL DEFAULT '',         -- '' is the relay's
    type       text NOT NULL,                    -- the event's, such as order.created
    body       bytea NOT NULL,                   -- as it is published
    headers    jsonb NOT NULL DEFAULT '{}',      -- of the message: {"Content-Type": "application/json"}
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0);

-- Events that can never be published, with the reason. Nothing reads or deletes them by itself.
CREATE TABLE whisperer_outbox_rejected (
    position    bigint PRIMARY KEY,
    id          text NOT NULL,
    tenant      text NOT NULL,
    type        text NOT NULL,
    body        bytea NOT NULL,
    headers     jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    reason      text NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now()
);
