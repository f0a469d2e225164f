-- +goose Up
-- Filters of the console's lists that people keep by name. A view is its owner's: whoever the audit log would name.
CREATE TABLE console_views (
    id         uuid CONSTRAINT console_views_pkey PRIMARY KEY,
    tenant     text NOT NULL CONSTRAINT console_views_tenant_fkey REFERENCES tenants (name),
    owner      text NOT NULL,
    list       text NOT NULL,
    name       text NOT NULL,
    -- the query of the list's address
    query      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT console_views_name_key UNIQUE (tenant, owner, list, name)
);

-- +goose Down
DROP TABLE console_views;
