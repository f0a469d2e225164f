-- +goose Up
-- What is parked already. The triggers are there, in a transaction before this one, so that nothing is parked meanwhile
-- without getting in; a row that is being ended is waited for, and left out then.
INSERT INTO parked (hook_id, event_seq, id, published_at, tenant, event_id, event_type, entity, reason, attempts,
    round_attempts, round_started_at, parked_at, replay, waiting)
SELECT d.hook_id, event_seq, d.id, published_at, d.tenant, event_id, event_type, entity, reason, attempts, round_attempts,
    round_started_at, updated_at, replay, state = 'waiting'
FROM deliveries d
WHERE state = 'parked'
    OR state = 'waiting' AND EXISTS (SELECT FROM hooks h WHERE h.id = d.hook_id AND whisperer_ordered(h.config))
FOR SHARE OF d
ON CONFLICT DO NOTHING;
ANALYZE parked;

-- +goose Down
DELETE FROM parked;
