-- +goose Up
-- Whether receivers have to agree before a tenant's hooks send to them.
ALTER TABLE tenants ADD COLUMN handshake text NOT NULL DEFAULT 'off'
    CONSTRAINT tenants_handshake_check CHECK (handshake IN ('off', 'new_hosts', 'always'));

-- +goose Down
ALTER TABLE tenants DROP COLUMN handshake;
