-- +goose Up
-- How many hooks each tenant has, as the sum of its changes: nobody counts all of them to create one, and nobody who deletes one
-- waits for another. Whoever creates hooks counts anew from time to time.
SET LOCAL lock_timeout = '10s';
CREATE TABLE hook_counts (
    tenant text NOT NULL,
    hooks  bigint NOT NULL
);
CREATE INDEX hook_counts_tenant ON hook_counts (tenant);

-- +goose StatementBegin
CREATE FUNCTION hooks_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO hook_counts SELECT tenant, count(*) FROM changed WHERE deleted_at IS NULL GROUP BY tenant;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO hook_counts SELECT tenant, -count(*) FROM changed WHERE deleted_at IS NULL GROUP BY tenant;
    ELSIF TG_OP = 'TRUNCATE' THEN
        DELETE FROM hook_counts;
    ELSE
        INSERT INTO hook_counts
        SELECT OLD.tenant, -1 WHERE OLD.deleted_at IS NULL UNION ALL SELECT NEW.tenant, 1 WHERE NEW.deleted_at IS NULL;
    END IF;
    RETURN NULL;
END $$;
-- As SQL it is planned again for each hook; PL/pgSQL keeps the plan.
CREATE OR REPLACE FUNCTION whisperer_changed(changed_kind text, changed_key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (kind, key, xid, at) VALUES (changed_kind, changed_key, pg_current_xact_id(), clock_timestamp())
    ON CONFLICT (kind, key) DO UPDATE SET xid = excluded.xid, at = excluded.at;
END $$;
-- +goose StatementEnd
CREATE TRIGGER hooks_counted_in AFTER INSERT ON hooks REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION hooks_count();
CREATE TRIGGER hooks_counted_out AFTER DELETE ON hooks REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION hooks_count();
CREATE TRIGGER hooks_counted_again AFTER UPDATE ON hooks FOR EACH ROW
    WHEN (OLD.tenant <> NEW.tenant OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)) EXECUTE FUNCTION hooks_count();
CREATE TRIGGER hooks_counted_none AFTER TRUNCATE ON hooks FOR EACH STATEMENT EXECUTE FUNCTION hooks_count();
-- The triggers keep others from changing hooks until they are counted.
INSERT INTO hook_counts SELECT tenant, count(*) FROM hooks WHERE deleted_at IS NULL GROUP BY tenant;

-- +goose Down
DROP TRIGGER hooks_counted_in ON hooks;
DROP TRIGGER hooks_counted_out ON hooks;
DROP TRIGGER hooks_counted_again ON hooks;
DROP TRIGGER hooks_counted_none ON hooks;
DROP FUNCTION hooks_count;
DROP TABLE hook_counts;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION whisperer_changed(changed_kind text, changed_key text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO changes (kind, key, xid, at) VALUES (changed_kind, changed_key, pg_current_xact_id(), clock_timestamp())
    ON CONFLICT (kind, key) DO UPDATE SET xid = excluded.xid, at = excluded.at
$$;
-- +goose StatementEnd
