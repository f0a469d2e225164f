package store_test

import (
	"slices"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// These lists contain all columns whose type can hold parts of an event's payload, or of a response to it. A new column has to
// be added to the list to which it belongs. The statements in erased.go erase the columns of the first list.
var (
	erasedColumns = []string{
		"attempts.error", "attempts.request_headers", "attempts.response_body", "attempts.response_headers",
		"events.cloud_event", "events.config_filter", "events.context", "events.data", "events.schema_problems",
		"filter_failures.last_error", "transform_failures.last_error",
		"rejected_events.detail", "rejected_events.headers", "rejected_events.raw",
		"erasures.criteria", // erased only if it is a path, when the erasure ends
	}
	keptColumns = []string{
		// the event's identity and the outcome of its deliveries, in our own words
		"attempts.body_digest", "attempts.error_class", "attempts.method", "attempts.outcome", "attempts.tenant", "attempts.url", "attempts.worker",
		"deliveries.entity", "deliveries.event_id", "deliveries.event_type", "deliveries.last_error", "deliveries.reason", "deliveries.state", "deliveries.tenant",
		"events.digest", "events.entity", "events.erased_by", "events.id", "events.tenant", "events.traceparent", "events.type",
		"event_copies.event_id", "event_copies.tenant", "erased_events.erased_by", "erased_events.event_id", "erased_events.tenant",
		"parked.entity", "parked.event_id", "parked.event_type", "parked.reason", "parked.tenant",
		"rejected_events.reason", "rejected_events.subject", "rejected_events.tenant",
		"filter_failures.last_event", "transform_failures.last_event", "hook_health.last_class", "hook_health.tenant",
		// not about events
		"api_tokens.hash", "api_tokens.name", "api_tokens.role", "api_tokens.tenant", "audit.action", "audit.actor", "audit.detail", "audit.subject", "audit.tenant",
		"changes.key", "changes.kind", "console_views.list", "console_views.name", "console_views.owner", "console_views.query", "console_views.tenant", "drainers.worker", "erasures.certificate", "erasures.detail", "erasures.kind", "erasures.owner", "erasures.places",
		"erasures.reason", "erasures.state", "erasures.tenant", "event_type_settings.name", "event_type_settings.schema_check", "event_type_settings.tenant",
		"event_types.description", "event_types.example", "event_types.name", "event_types.schema", "event_types.tenant",
		"hook_counts.tenant", "hook_gaps.tenant", "hooks.callback", "hooks.config", "hooks.deleted_status", "hooks.disabled_reason", "hooks.event_types", "hooks.identity", "hooks.name",
		"hooks.notification_type", "hooks.retry", "hooks.sealed", "hooks.sealed_key_id", "hooks.spec", "hooks.status", "hooks.target_url", "hooks.tenant",
		"idempotency_keys.fingerprint", "idempotency_keys.key", "idempotency_keys.tenant", "jobs.detail", "jobs.event_types", "jobs.owner", "jobs.phase",
		"jobs.reason", "jobs.state", "jobs.states", "jobs.tenant", "leases.holder", "leases.name",
		"payload_retention.event_type", "payload_retention.tenant", "signing_keys.algorithm", "signing_keys.kid", "signing_keys.public", "signing_keys.sealed", "signing_keys.sealed_key_id", "signing_keys.state",
		"signing_keys.tenant", "publish_keys.fingerprint", "publish_keys.key", "publish_keys.tenant", "tenants.handshake", "tenants.name", "workers.name",
	}
)

func TestEveryColumnThatCanHoldAPayloadIsErasedOrKeptOnPurpose(t *testing.T) {
	t.Parallel()
	db, err := sqlx.Open("postgres", testenv.Postgres(t))
	require.NoError(t, err)
	defer db.Close()
	var columns []string
	require.NoError(t, db.SelectContext(t.Context(), &columns, `
		SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
		AND c.relname <> 'goose_db_version' AND (t.typcategory IN ('S', 'U', 'A') AND t.typname NOT IN ('uuid', 'xid8', 'pg_snapshot', '_uuid'))
		ORDER BY 1`))
	known := append(slices.Clone(erasedColumns), keptColumns...)
	for _, column := range columns {
		require.Contains(t, known, column, "a new column: is anything of a payload in it?")
	}
	for _, column := range known {
		require.Contains(t, columns, column, "no column any more")
	}
}
