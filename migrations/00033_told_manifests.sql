-- +goose Up
-- Up to which day (UTC) hook.manifest was told of a hook.
CREATE TABLE told_manifests (
    hook_id uuid CONSTRAINT told_manifests_pkey PRIMARY KEY
            CONSTRAINT told_manifests_hook_fkey REFERENCES hooks (id) ON DELETE CASCADE,
    day     date NOT NULL
);

-- +goose Down
DROP TABLE told_manifests;
