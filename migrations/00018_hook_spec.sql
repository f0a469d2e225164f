-- +goose Up
-- The settings of a hook as one document: what is neither searched by nor secret. It is json, not jsonb, so that the integrator's
-- own keys come back as they were written. Programs before this release read and write notification_type, callback, retry and
-- config: a trigger keeps both in step, until a later migration drops these columns, and has_secret and has_api_key, which nobody
-- reads.
SET LOCAL lock_timeout = '10s';
ALTER TABLE hooks ADD COLUMN spec json;

-- +goose StatementBegin
-- A text as JSON; what is no JSON becomes a string, about which whoever reads the hook complains.
CREATE FUNCTION whisperer_json(data text) RETURNS json LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN data::json;
EXCEPTION WHEN data_exception OR syntax_error THEN
    RETURN to_json(data);
END $$;
CREATE FUNCTION whisperer_spec(notification_type text, callback jsonb, retry jsonb, config text, others text) RETURNS json
LANGUAGE sql IMMUTABLE AS $$
    SELECT ('{' || concat_ws(',', '"notification_type":' || to_json(notification_type)::text, '"callback":' || callback::text,
        '"retry_countdown_config":' || retry::text, '"config":' || whisperer_json(config)::text, others) || '}')::json
$$;
CREATE FUNCTION hooks_set_spec() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    others text;
BEGIN
    IF TG_OP = 'INSERT' AND NEW.spec IS NULL THEN
        NEW.spec := whisperer_spec(NEW.notification_type, NEW.callback, NEW.retry, NEW.config, NULL);
    ELSIF TG_OP = 'INSERT' OR NEW.spec::text IS DISTINCT FROM OLD.spec::text THEN
        NEW.notification_type := coalesce(NEW.spec ->> 'notification_type', 'rest');
        NEW.callback := NEW.spec -> 'callback';
        NEW.retry := NEW.spec -> 'retry_countdown_config';
        NEW.config := coalesce((NEW.spec -> 'config')::text, '{}');
    ELSIF (NEW.notification_type, NEW.callback, NEW.retry, NEW.config) IS DISTINCT FROM
        (OLD.notification_type, OLD.callback, OLD.retry, OLD.config) THEN
        SELECT string_agg(to_json(key)::text || ':' || value::text, ',') INTO others FROM json_each(NEW.spec)
        WHERE key NOT IN ('notification_type', 'callback', 'retry_countdown_config', 'config');
        NEW.spec := whisperer_spec(NEW.notification_type, NEW.callback, NEW.retry, NEW.config, others);
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- Nothing of the hooks changes, so nobody has to hear of it.
ALTER TABLE hooks DISABLE TRIGGER hooks_changed;
ALTER TABLE hooks DISABLE TRIGGER hooks_identity;
UPDATE hooks SET spec = whisperer_spec(notification_type, callback, retry, config, NULL);
ALTER TABLE hooks ENABLE TRIGGER hooks_changed;
ALTER TABLE hooks ENABLE TRIGGER hooks_identity;
CREATE TRIGGER hooks_spec BEFORE INSERT OR UPDATE ON hooks FOR EACH ROW EXECUTE FUNCTION hooks_set_spec();
ALTER TABLE hooks ALTER COLUMN spec SET NOT NULL;

-- +goose Down
DROP TRIGGER hooks_spec ON hooks;
ALTER TABLE hooks DROP COLUMN spec;
DROP FUNCTION hooks_set_spec, whisperer_spec, whisperer_json;
