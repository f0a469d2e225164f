-- +goose Up
-- Inserts a list of new events in one round trip, and returns how many of them were not there yet. Those that are erased must not
-- be written like this, and it can only be told once they are: see the comment on erased_events. Nothing is written then.
-- +goose StatementBegin
CREATE FUNCTION whisperer_insert_events(list json) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    inserted bigint;
BEGIN
    INSERT INTO events (published_at, tenant, id, seq, type, time, entity, context, config_filter, data, digest, traceparent,
        schema_problems, cloud_event)
    SELECT published_at, tenant, id, seq, type, time, entity, context, config_filter, data, digest, traceparent,
        schema_problems, cloud_event
    FROM json_populate_recordset(NULL::events, list) ORDER BY tenant, id ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    IF EXISTS (SELECT FROM json_to_recordset(list) AS l (tenant text, id text) JOIN erased_events x ON x.tenant = l.tenant AND x.event_id = l.id) THEN
        RAISE unique_violation USING MESSAGE = 'an event is erased';
    END IF;
    RETURN inserted;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION whisperer_insert_events;
