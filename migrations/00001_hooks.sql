-- +goose Up
-- What people and programs manage: tenants, tokens, hooks, event types; and who changed what.

CREATE TABLE tenants (
    name       text PRIMARY KEY CONSTRAINT tenants_name_check CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tenants (name) VALUES ('default');

-- A token of no tenant is an operator's. Only its SHA-256 is kept.
CREATE TABLE api_tokens (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    tenant     text CONSTRAINT api_tokens_tenant_fkey REFERENCES tenants (name),
    role       text NOT NULL CONSTRAINT api_tokens_role_check CHECK (role IN ('viewer', 'editor', 'admin')),
    hash       bytea NOT NULL CONSTRAINT api_tokens_hash_key UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

-- Types that were added over the API; the known ones are built in.
CREATE TABLE event_types (
    tenant      text NOT NULL CONSTRAINT event_types_tenant_fkey REFERENCES tenants (name),
    name        text NOT NULL,
    description text NOT NULL DEFAULT '',
    schema      jsonb,
    example     text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, name)
);

CREATE TABLE hooks (
    id                uuid PRIMARY KEY,
    tenant            text NOT NULL CONSTRAINT hooks_tenant_fkey REFERENCES tenants (name),
    name              text NOT NULL DEFAULT '',
    event_types       text[] NOT NULL CONSTRAINT hooks_event_types_check CHECK (cardinality(event_types) BETWEEN 1 AND 50),
    target_url        text NOT NULL CONSTRAINT hooks_target_url_check CHECK (length(target_url) BETWEEN 1 AND 2048),
    notification_type text NOT NULL DEFAULT 'rest' CONSTRAINT hooks_notification_type_check CHECK (notification_type = 'rest'),
    -- AES-256-GCM of the secrets, api key, additional headers and auth as one JSON object; null where there are none
    sealed            bytea,
    sealed_key_id     text,
    has_secret        boolean NOT NULL DEFAULT false,
    has_api_key       boolean NOT NULL DEFAULT false,
    callback          jsonb,
    retry             jsonb,
    -- text, so that the integrator's own keys come back as they were written
    config            text NOT NULL DEFAULT '{}',
    status            text NOT NULL DEFAULT 'active' CONSTRAINT hooks_status_check CHECK (status IN ('active', 'paused', 'disabled')),
    disabled_reason   text NOT NULL DEFAULT '',
    created_at        timestamptz NOT NULL DEFAULT now(),
    modified_at       timestamptz NOT NULL DEFAULT now(),
    version           bigint NOT NULL DEFAULT 1,
    -- of (target_url, event_types), kept by a trigger: an index on the texts themselves would not fit
    identity          bytea NOT NULL DEFAULT ''
);

-- +goose StatementBegin
CREATE FUNCTION hooks_set_identity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.identity := sha256(convert_to(NEW.target_url || E'\n' || array_to_string(NEW.event_types, ','), 'UTF8'));
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER hooks_identity BEFORE INSERT OR UPDATE ON hooks FOR EACH ROW EXECUTE FUNCTION hooks_set_identity();
CREATE UNIQUE INDEX hooks_identity_key ON hooks (tenant, identity);
CREATE INDEX hooks_tenant_created ON hooks (tenant, created_at DESC, id DESC);

-- A change by plain SQL counts too, so it is a trigger that tells the workers.
-- +goose StatementBegin
CREATE FUNCTION hooks_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('whisperer_hooks', COALESCE(NEW.id, OLD.id)::text);
    IF TG_OP = 'DELETE' THEN -- a drainer cancels what waits
        INSERT INTO backlogs (hook_id) VALUES (OLD.id) ON CONFLICT (hook_id) DO UPDATE SET touched_at = clock_timestamp();
        PERFORM pg_notify('whisperer_backlogs', OLD.id::text);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION tenants_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('whisperer_tenants', COALESCE(NEW.name, OLD.name));
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER hooks_changed AFTER INSERT OR UPDATE OR DELETE ON hooks FOR EACH ROW EXECUTE FUNCTION hooks_notify();
CREATE TRIGGER tenants_changed AFTER INSERT OR UPDATE OR DELETE ON tenants FOR EACH ROW EXECUTE FUNCTION tenants_notify();

-- Answers to repeated creates with the same Idempotency-Key.
CREATE TABLE idempotency_keys (
    tenant      text NOT NULL,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    hook_id     uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, key)
);

CREATE TABLE audit (
    id        uuid PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    tenant    text,
    actor     text NOT NULL,
    action    text NOT NULL,
    subject   text NOT NULL,
    detail    jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_tenant_at ON audit (tenant, at DESC, id DESC);

-- Hooks that have, or had a moment ago, deliveries which a drainer has to look after.
CREATE TABLE backlogs (
    hook_id    uuid PRIMARY KEY,
    touched_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One holder at a time; the fence grows with each change of holder, so that a late one can be told.
CREATE TABLE leases (
    name       text PRIMARY KEY,
    holder     text NOT NULL,
    fence      bigint NOT NULL,
    expires_at timestamptz NOT NULL
);

-- +goose Down
DROP TABLE leases, backlogs, audit, idempotency_keys, hooks, event_types, api_tokens, tenants;
DROP FUNCTION hooks_set_identity, hooks_notify, tenants_notify;
