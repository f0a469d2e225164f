package seed

// The statements of the generated history. What looks random is a hash of numbers, so it is the same each time.
const (
	seedHealth = `
INSERT INTO hook_health (hook_id, tenant, failing_since, failures, last_class, last_attempt_at, succeeded, last_failure_at)
SELECT id::uuid, $1, CASE WHEN n % 40 = 8 THEN now() - interval '30 days' END, CASE WHEN n % 40 = 8 THEN 1000 ELSE 0 END,
	CASE WHEN n % 40 = 8 THEN 'http_status' ELSE '' END, now() - n * interval '1 second', n % 40 <> 8, now() - n * interval '1 minute'
FROM unnest($2::text[]) WITH ORDINALITY AS h (id, n)`

	seedBacklogs = `
INSERT INTO backlogs (hook_id) SELECT id::uuid FROM unnest($2::text[]) WITH ORDINALITY AS h (id, n) WHERE n % 40 = 8 AND $1 <> ''`

	// $1 is the beginning of the day, $2 its number, $3 the number of events of a whole day, $4 and $5 the bounds of
	// the history, $6 the types. Of the four events of an order, one comes a day later.
	seedEvents = `
INSERT INTO events (published_at, tenant, id, seq, type, time, entity, data, digest)
SELECT at, CASE WHEN i % 20 < 16 THEN 'default' WHEN i % 20 < 19 THEN 'north' ELSE 'south' END,
	md5($2::int || '-' || i)::uuid::text, $2::bigint * 100000000 + i, ($6::text[])[1 + i % cardinality($6::text[])], at, 'order:' || number,
	format('{"id": %s, "number": "SO-2026-%s", "status": "packed", "channel_id": %s, "package": {"awb": "AWB%s", "weight_g": %s}, "lines": [{"sku": "AP-LAMP-OAK", "quantity": 1}, {"sku": "AP-MUG-SAGE", "quantity": 4}], "note": "%s"}',
		i, number, i % 40, i, i % 9000, repeat(md5(i::text), 4)), decode(md5(i::text) || md5(i::text), 'hex')
FROM generate_series(1, $3::int) i,
	LATERAL (SELECT $1::timestamptz + (i - 0.5) * (interval '1 day' / $3) AS at) t,
	LATERAL (SELECT (greatest($2 - (i % 4 = 3)::int, 0) * $3 + i) / 80 * 20 + i % 20 AS number) o
WHERE at >= $4 AND at < $5`

	// $1 is the beginning of the day, $2 the tenant, $3 its hooks, $4 the end of the history. Six in ten events go to
	// the first hook, and each event goes to two others.
	seedDeliveries = `
INSERT INTO deliveries (published_at, id, tenant, hook_id, event_id, event_seq, event_type, entity, state, reason, attempts, next_at,
	first_attempt_at, round_attempts, round_started_at, updated_at, last_status, last_error)
SELECT e.published_at, md5(e.id || k)::uuid, e.tenant, ($3::uuid[])[1 + n], e.id, e.seq, e.type, e.entity, state,
	CASE state WHEN 'dead' THEN 'exhausted' WHEN 'parked' THEN 'breaker_open' WHEN 'waiting' THEN 'attempt_failed' ELSE '' END, a,
	CASE state WHEN 'waiting' THEN $4::timestamptz + v * interval '6 hours' END, e.published_at + interval '8 milliseconds',
	a, e.published_at, e.published_at + a * interval '5 seconds',
	CASE state WHEN 'delivered' THEN 200 + n % 3 ELSE status END,
	CASE WHEN state = 'delivered' THEN '' WHEN status = 0 THEN 'timeout' ELSE 'http_status' END
FROM events e CROSS JOIN generate_series(0, 2) k
CROSS JOIN LATERAL (SELECT (hashint8(e.seq * 4 + k) & 2147483647) / 2147483648.0::float8 AS u,
	(hashint8(-e.seq * 4 - k) & 2147483647) / 2147483648.0::float8 AS v) r
CROSS JOIN LATERAL (SELECT CASE WHEN k > 0 THEN k + 2 * floor((cardinality($3::uuid[]) / 2 - 1) * power(u, 4))::int WHEN u < 0.6 THEN 0 END AS n) h
CROSS JOIN LATERAL (SELECT n % 40 = 7 AS failing, (ARRAY[503, 500, 404, 0, 429])[1 + CASE WHEN n % 40 = 7 THEN n / 40 ELSE e.seq END % 5] AS status) f
CROSS JOIN LATERAL (SELECT CASE
	WHEN failing AND e.published_at > $4::timestamptz - interval '1 day' THEN CASE WHEN v < 0.9 THEN 'parked' ELSE 'waiting' END
	WHEN failing OR v < 0.005 THEN 'dead'
	WHEN v < 0.01 AND e.published_at > $4::timestamptz - interval '1 day' THEN 'waiting'
	ELSE 'delivered' END AS state) s
CROSS JOIN LATERAL (SELECT CASE state WHEN 'dead' THEN 4 WHEN 'waiting' THEN 2 WHEN 'parked' THEN 1 ELSE 1 + (v > 0.9)::int END AS a) c
WHERE n IS NOT NULL AND e.tenant = $2 AND e.published_at >= $1 AND e.published_at < $1::timestamptz + interval '1 day'`

	seedAttemptRows = `
INSERT INTO attempts (published_at, delivery_id, number, tenant, hook_id, started_at, duration_us, outcome, status, error_class, worker,
	method, url, request_size, request_headers, response_headers, response_body, first_byte_us)
SELECT d.published_at, d.id, n, d.tenant, d.hook_id, d.published_at + (n - 1) * interval '5 seconds', 12000 + d.event_seq % 90000,
	CASE WHEN last AND d.state = 'delivered' THEN 'succeeded' ELSE 'failed' END, CASE WHEN last THEN d.last_status ELSE 503 END,
	CASE WHEN last THEN d.last_error ELSE 'http_status' END, 'worker-1', 'POST', 'https://shop.example.com/webhooks', 600,
	E'Content-Type: application/json\nUser-Agent: Whisperer/1.0\nwebhook-id: ' || d.id, E'Content-Type: text/plain\nDate: Thu, 01 Jan 2026 00:00:00 GMT',
	convert_to('accepted, thank you', 'UTF8'), 11000 + d.event_seq % 90000
FROM deliveries d CROSS JOIN generate_series(1, d.attempts) n CROSS JOIN LATERAL (SELECT n = d.attempts AS last) l
WHERE d.published_at >= $1 AND d.published_at < $1::timestamptz + interval '1 day'`

	seedRejected = `
INSERT INTO rejected_events (published_at, seq, subject, tenant, reason, detail, raw, size)
SELECT at, extract(epoch FROM $1::timestamptz)::bigint + i, 'oms.default.order.created', 'default', 'unreadable', 'the body is no JSON', 'oops', 4
FROM generate_series(1, $2::int) i, LATERAL (SELECT $1::timestamptz + (i - 0.5) * (interval '1 day' / $2) AS at) t
WHERE at >= $3 AND at < $4`
)
