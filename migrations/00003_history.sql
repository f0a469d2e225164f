-- +goose Up
-- What history is looked up by, and jobs. Each index of a partitioned table costs the recorder, so there are few.

-- The list of a tenant's deliveries. What is not delivered is rare and looked for most.
CREATE INDEX deliveries_tenant ON deliveries (tenant, published_at DESC, id DESC);
CREATE INDEX deliveries_unfinished ON deliveries (tenant, published_at DESC, id DESC) WHERE state <> 'delivered';

-- In place of one that lacked the state, so that a hook's deliveries can be counted without reading them.
DROP INDEX deliveries_hook;
CREATE INDEX deliveries_hook ON deliveries (hook_id, published_at DESC, id DESC) INCLUDE (state);

-- Events by entity, and by the id within it: 61 of package:61.
CREATE INDEX events_object ON events (tenant, split_part(entity, ':', -1), published_at DESC) WHERE entity <> '';

-- What people asked to be done in batches. All that a job has got to is in its row, which each batch changes together
-- with what it did: a crash costs nothing, and several programs may work on the jobs.
CREATE TABLE jobs (
    id              uuid PRIMARY KEY,
    tenant          text NOT NULL CONSTRAINT jobs_tenant_fkey REFERENCES tenants (name),
    hook_id         uuid NOT NULL,
    state           text NOT NULL DEFAULT 'running'
                    CONSTRAINT jobs_state_check CHECK (state IN ('running', 'paused', 'completed', 'cancelled', 'failed')),
    detail          text NOT NULL DEFAULT '',
    owner           text NOT NULL,
    reason          text NOT NULL,
    -- deliveries a second
    rate            integer NOT NULL CONSTRAINT jobs_rate_check CHECK (rate > 0),
    from_at         timestamptz NOT NULL,
    to_at           timestamptz NOT NULL,
    event_types     text[] NOT NULL,
    states          text[] NOT NULL,
    include_missing boolean NOT NULL,
    total           bigint NOT NULL,
    done            bigint NOT NULL DEFAULT 0,
    -- deliveries first, then events that caused none; the position is that of the last one looked at
    phase           text NOT NULL DEFAULT 'deliveries' CONSTRAINT jobs_phase_check CHECK (phase IN ('deliveries', 'events')),
    cursor_at       timestamptz NOT NULL,
    cursor_id       uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- when the next batch is due
    next_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    modified_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX jobs_tenant ON jobs (tenant, created_at DESC, id DESC);
CREATE INDEX jobs_running ON jobs (next_at) WHERE state = 'running';
CREATE UNIQUE INDEX jobs_hook_key ON jobs (hook_id) WHERE state IN ('running', 'paused');

-- +goose Down
DROP TABLE jobs;
DROP INDEX events_object;
DROP INDEX deliveries_hook;
CREATE INDEX deliveries_hook ON deliveries (hook_id, published_at DESC, id);
DROP INDEX deliveries_unfinished;
DROP INDEX deliveries_tenant;
