package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// mergeHealth maintains, for each hook, how long and how often it has been failing without a success in between. Batches may be
// recorded in any order: failures before the last success do not count, whichever is recorded first. Rows are in the order of
// their key, so that two recorders cannot deadlock.
const mergeHealth = `
INSERT INTO hook_health AS h (hook_id, tenant, failing_since, last_failure_at, failures, last_class, last_attempt_at, last_success_at, succeeded)
SELECT *, last_success_at IS NOT NULL
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::bigint[], $6::text[], $7::timestamptz[], $8::timestamptz[])
	AS e (hook_id, tenant, failing_since, last_failure_at, failures, last_class, last_attempt_at, last_success_at)
ON CONFLICT (hook_id) DO UPDATE SET
	(failing_since, last_failure_at, failures) = (
		SELECT min(greatest(f.since, success.at)) FILTER (WHERE f.since IS NOT NULL), max(f.last), coalesce(sum(f.n), 0)
		FROM (SELECT greatest(h.last_success_at, excluded.last_success_at)) success (at)
		LEFT JOIN (VALUES (h.failing_since, h.last_failure_at, h.failures), (excluded.failing_since, excluded.last_failure_at, excluded.failures))
			f (since, last, n) ON success.at IS NULL OR f.last > success.at),
	last_class = CASE WHEN excluded.last_attempt_at < h.last_attempt_at THEN h.last_class ELSE excluded.last_class END,
	last_attempt_at = greatest(h.last_attempt_at, excluded.last_attempt_at),
	last_success_at = greatest(h.last_success_at, excluded.last_success_at), succeeded = excluded.succeeded`

// health is the health of one hook in one batch of attempts. Times are Unix times in nanoseconds, 0 for none.
type health struct {
	hook                     uuid.UUID
	tenant                   string
	succeededAt              int64
	failingSince, lastFailed int64
	failures                 int64
	lastClass                string
	lastAt                   int64
}

// healthOf sums up the attempts in facts, ordered by hook. Attempts with an unknown outcome, and those for which no request
// could be made, say nothing about the receiver and do not count.
func healthOf(facts []fact) []*health {
	byHook := map[uuid.UUID]*health{}
	each := func(do func(h *health, a *whispererv1.AttemptFact)) {
		for _, f := range facts {
			a := f.GetAttempt()
			if a == nil || a.GetOutcome() == string(webhook.Unknown) || !webhook.ErrorClass(a.GetErrorClass()).Asked() {
				continue
			}
			id, _ := uuid.FromBytes(f.GetHookId())
			h := byHook[id]
			if h == nil {
				h = &health{hook: id, tenant: f.GetTenant()}
				byHook[id] = h
			}
			do(h, a)
		}
	}
	each(func(h *health, a *whispererv1.AttemptFact) {
		if a.GetOutcome() == string(webhook.Succeeded) {
			h.succeededAt = max(h.succeededAt, a.GetStartedAt())
		}
		if a.GetStartedAt() >= h.lastAt {
			h.lastAt, h.lastClass = a.GetStartedAt(), a.GetErrorClass()
		}
	})
	each(func(h *health, a *whispererv1.AttemptFact) {
		at := a.GetStartedAt()
		if a.GetOutcome() != string(webhook.Failed) || at <= h.succeededAt {
			return
		}
		h.failures++
		h.lastFailed = max(h.lastFailed, at)
		if h.failingSince == 0 || at < h.failingSince {
			h.failingSince = at
		}
	})
	list := make([]*health, 0, len(byHook))
	for _, h := range byHook {
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b *health) int { return cmp.Compare(string(a.hook[:]), string(b.hook[:])) })
	return list
}

// writeHealth merges the health of hooks in attempts that were not recorded before.
func writeHealth(ctx context.Context, tx *sql.Tx, facts []fact) error {
	list := healthOf(facts)
	if len(list) == 0 {
		return nil
	}
	n := len(list)
	hooks, tenants, classes := make([]string, n), make([]string, n), make([]string, n)
	since, failed, last := make([]*string, n), make([]*string, n), make([]*string, n)
	succeeded, failures := make([]*string, n), make([]int64, n)
	for i, h := range list {
		hooks[i], tenants[i], classes[i] = h.hook.String(), h.tenant, h.lastClass
		since[i], failed[i], last[i] = instant(h.failingSince), instant(h.lastFailed), instant(h.lastAt)
		failures[i], succeeded[i] = h.failures, instant(h.succeededAt)
	}
	_, err := tx.ExecContext(ctx, mergeHealth, pq.Array(hooks), pq.Array(tenants), pq.Array(since), pq.Array(failed),
		pq.Array(failures), pq.Array(classes), pq.Array(last), pq.Array(succeeded))
	if err != nil {
		return fmt.Errorf("merge health: %w", err)
	}
	return nil
}

// instant returns a Unix time in nanoseconds as a timestamp, or nil for 0.
func instant(nanos int64) *string {
	if nanos == 0 {
		return nil
	}
	text := time.Unix(0, nanos).UTC().Format(time.RFC3339Nano)
	return &text
}
