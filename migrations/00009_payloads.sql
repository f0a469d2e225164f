-- +goose Up
-- Looking for what is in payloads, and for deliveries by the status of an answer that was no success.

-- JSON text as jsonb; null for what jsonb cannot hold, such as \u0000.
-- +goose StatementBegin
CREATE FUNCTION whisperer_jsonb(data text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN data::jsonb;
EXCEPTION WHEN data_exception OR syntax_error THEN
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- Few deliveries are not delivered, so this costs the recorder little.
CREATE INDEX deliveries_status ON deliveries (tenant, last_status, published_at DESC, id DESC) WHERE state <> 'delivered';

-- +goose Down
DROP INDEX deliveries_status;
DROP FUNCTION whisperer_jsonb;
