-- +goose Up
-- For how long tenants keep the payloads of event types. The setting for all payloads is the upper bound.
CREATE TABLE payload_retention (
    tenant     text NOT NULL CONSTRAINT payload_retention_tenant_fkey REFERENCES tenants (name),
    -- an event type, or a pattern; of several that match, the shortest counts
    event_type text NOT NULL,
    days       integer NOT NULL CONSTRAINT payload_retention_days_check CHECK (days BETWEEN 1 AND 3650),
    -- all matching events that were published before are erased
    erased_to  timestamptz NOT NULL DEFAULT '2000-01-01Z',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payload_retention_pkey PRIMARY KEY (tenant, event_type)
);

-- +goose Down
DROP TABLE payload_retention;
