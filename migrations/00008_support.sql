-- Which programs this schema carries. A migration that only adds leaves it alone: the program of the release before goes
-- on, and may start. A migration that takes away what a release used sets oldest to the newest migration that the first
-- release which does without it knows; older programs then refuse to start, and are not ready any more.

-- +goose Up
CREATE TABLE schema_support (
    only_row boolean NOT NULL DEFAULT true CONSTRAINT schema_support_pkey PRIMARY KEY CONSTRAINT schema_support_only_row CHECK (only_row),
    oldest   bigint NOT NULL
);
INSERT INTO schema_support (oldest) VALUES (8);

-- +goose Down
DROP TABLE schema_support;
