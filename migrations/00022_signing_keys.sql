-- +goose Up
-- Keys that sign HTTP Message Signatures (RFC 9421), and whose public halves receivers read from the API. Each tenant has its own, so
-- that nobody can have a request signed for another tenant's receiver.
CREATE TABLE signing_keys (
    -- the thumbprint of the public half (RFC 7638)
    kid             text CONSTRAINT signing_keys_pkey PRIMARY KEY,
    tenant          text NOT NULL CONSTRAINT signing_keys_tenant_fkey REFERENCES tenants (name) ON DELETE CASCADE,
    algorithm       text NOT NULL CONSTRAINT signing_keys_algorithm_check CHECK (algorithm IN ('ecdsa-p256-sha256', 'ed25519')),
    state           text NOT NULL CONSTRAINT signing_keys_state_check CHECK (state IN ('next', 'current', 'previous')),
    public          jsonb NOT NULL,
    -- the private half, which a previous key has no more
    sealed          bytea,
    sealed_key_id   text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    signs_from      timestamptz CONSTRAINT signing_keys_signs_from_check CHECK ((state = 'next') = (signs_from IS NULL)),
    published_until timestamptz CONSTRAINT signing_keys_published_until_check CHECK ((state = 'previous') = (published_until IS NOT NULL)),
    CONSTRAINT signing_keys_sealed_check CHECK ((state = 'previous') = (sealed IS NULL) AND (sealed IS NULL) = (sealed_key_id IS NULL))
);
CREATE UNIQUE INDEX signing_keys_one ON signing_keys (tenant, algorithm, state) WHERE state <> 'previous';
CREATE INDEX signing_keys_tenant ON signing_keys (tenant);

ALTER TABLE changes DROP CONSTRAINT changes_kind_check;
ALTER TABLE changes ADD CONSTRAINT changes_kind_check CHECK (kind IN ('hook', 'tenant', 'type', 'signing_keys', 'all'));
-- +goose StatementBegin
CREATE FUNCTION signing_keys_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM whisperer_changed('signing_keys', COALESCE(NEW.tenant, OLD.tenant));
    PERFORM pg_notify('whisperer_signing_keys', COALESCE(NEW.tenant, OLD.tenant));
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER signing_keys_changed AFTER INSERT OR UPDATE OR DELETE ON signing_keys FOR EACH ROW EXECUTE FUNCTION signing_keys_notify();
CREATE TRIGGER signing_keys_truncated AFTER TRUNCATE ON signing_keys FOR EACH STATEMENT EXECUTE FUNCTION whisperer_truncated();

-- +goose Down
DROP TABLE signing_keys;
DROP FUNCTION signing_keys_notify;
DELETE FROM changes WHERE kind = 'signing_keys';
ALTER TABLE changes DROP CONSTRAINT changes_kind_check;
ALTER TABLE changes ADD CONSTRAINT changes_kind_check CHECK (kind IN ('hook', 'tenant', 'type', 'all'));
