-- +goose Up
-- Events whose data does not fit the JSON Schema of their type.

-- What a tenant decided about event types, its own and those that are known from the start.
CREATE TABLE event_type_settings (
    tenant        text NOT NULL CONSTRAINT event_type_settings_tenant_fkey REFERENCES tenants (name),
    name          text NOT NULL,
    schema_check  text NOT NULL DEFAULT 'off'
                  CONSTRAINT event_type_settings_check_check CHECK (schema_check IN ('off', 'warn', 'reject')),
    -- since when schema_check is what it is
    checked_since timestamptz NOT NULL DEFAULT now(),
    deprecated    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, name)
);

-- +goose StatementBegin
CREATE FUNCTION event_types_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('whisperer_event_types', COALESCE(NEW.tenant, OLD.tenant));
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER event_types_changed AFTER INSERT OR UPDATE OR DELETE ON event_types FOR EACH ROW EXECUTE FUNCTION event_types_notify();
CREATE TRIGGER event_type_settings_changed AFTER INSERT OR UPDATE OR DELETE ON event_type_settings
    FOR EACH ROW EXECUTE FUNCTION event_types_notify();

-- What the schema has against data that was let pass: a JSON list of {pointer, detail}; null for nothing, or not checked.
ALTER TABLE events ADD COLUMN schema_problems text;
CREATE INDEX events_schema_problems ON events (tenant, published_at DESC) WHERE schema_problems IS NOT NULL;

-- +goose Down
DROP INDEX events_schema_problems;
ALTER TABLE events DROP COLUMN schema_problems;
DROP TRIGGER event_types_changed ON event_types;
DROP TABLE event_type_settings;
DROP FUNCTION event_types_notify;
