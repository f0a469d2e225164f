-- +goose Up
-- Who this database is: its streams on NATS say the same, so that a program that meets another installation's streams
-- leaves them alone. A restored backup is the same installation.
CREATE TABLE installation (
    only_row boolean NOT NULL DEFAULT true CONSTRAINT installation_pkey PRIMARY KEY CONSTRAINT installation_only_row CHECK (only_row),
    id       uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO installation DEFAULT VALUES;

-- +goose Down
DROP TABLE installation;
