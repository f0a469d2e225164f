package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
)

// HookOrder is the order of a list of hooks.
type HookOrder string

// The orders.
const (
	NewestHooks HookOrder = ""
	OldestHooks HookOrder = "oldest"
	HooksByName HookOrder = "name"
	// FailingHooksFirst lists the hooks that have been failing longest first, and those that do not fail last.
	FailingHooksFirst HookOrder = "failing"
	// LatestHooksFirst lists the hooks with the most recent attempts first.
	LatestHooksFirst HookOrder = "activity"
)

// HookKey is a position in a sorted list of hooks.
type HookKey struct {
	// Key is the value by which the list is sorted, as text.
	Key string
	ID  uuid.UUID
}

// HookPage selects a part of a sorted list: its beginning, or the part next to a position.
type HookPage struct {
	Limit int
	// After and Before are the positions after or before which the page lies. At most one of them is set.
	After, Before *HookKey
}

// SortedHook is a hook with its health and its position in the list.
type SortedHook struct {
	webhook.Hook

	// LastAttemptAt is zero if there was no attempt.
	LastAttemptAt time.Time
	// FailingSince is when the first failure without a later success was; zero if the hook does not fail.
	FailingSince time.Time
	Failures     int
	LastClass    webhook.ErrorClass
	Key          HookKey
}

type sortedHookRow struct {
	hookRow

	LastAttemptAt sql.NullTime `db:"last_attempt_at"`
	FailingSince  sql.NullTime `db:"failing_since"`
	Failures      int          `db:"failures"`
	LastClass     string       `db:"last_class"`
	Key           string       `db:"key"`
}

func (r *sortedHookRow) sorted(ring *seal.Ring) SortedHook {
	s := SortedHook{Hook: r.shown(ring), Failures: r.Failures, LastClass: webhook.ErrorClass(r.LastClass), Key: HookKey{Key: r.Key, ID: r.ID}}
	if r.LastAttemptAt.Valid {
		s.LastAttemptAt = r.LastAttemptAt.Time.UTC()
	}
	if r.FailingSince.Valid {
		s.FailingSince = r.FailingSince.Time.UTC()
	}
	return s
}

// hookKey is an order in SQL: the expression to sort by, its conversion to text and back, and the direction.
type hookKey struct {
	expression, text, value string
	descending              bool
}

func (o HookOrder) key() hookKey {
	// sort by the time itself, which is fastest; as text it is exact in microseconds
	const never = "'2200-01-01Z'::timestamptz"
	moment := func(expression string, descending bool) hookKey {
		return hookKey{
			expression: expression, text: "(extract(epoch FROM key) * 1000000)::bigint::text", descending: descending,
			value: "'epoch'::timestamptz + $%d::text::bigint * interval '1 microsecond'",
		}
	}
	switch o {
	case HooksByName:
		return hookKey{
			expression: `lower(COALESCE(NULLIF(k.name, ''), regexp_replace(k.target_url, '^https?://', '')))`, text: "key", value: "$%d::text",
		}
	case FailingHooksFirst:
		return moment("COALESCE(CASE k.status WHEN 'active' THEN h.failing_since END, "+never+")", false)
	case LatestHooksFirst:
		return moment("COALESCE(h.last_attempt_at, 'epoch')", true)
	default: // an index serves this
		return moment("k.created_at", o != OldestHooks)
	}
}

// ListSorted lists a tenant's hooks in the given order. more reports that there are further hooks in the direction of the page.
func (d *HookStore) ListSorted(ctx context.Context, tenant string, f HookFilter, order HookOrder, page HookPage) (list []SortedHook, more bool, err error) {
	key := order.key()
	where, args := f.where(tenant)
	descending, place := key.descending, page.After
	if page.Before != nil {
		descending, place = !descending, page.Before
	}
	compare, direction := ">", "ASC"
	if descending {
		compare, direction = "<", "DESC"
	}
	beyond := "true"
	if place != nil {
		args = append(args, place.Key, place.ID)
		beyond = fmt.Sprintf("(key, id) %s ("+key.value+", $%d)", compare, len(args)-1, len(args))
	}
	args = append(args, page.Limit+1)
	// the inner query reads only what it needs to find the page
	query := fmt.Sprintf(`
		SELECT %s, %s AS key, last_attempt_at, failing_since, COALESCE(failures, 0) AS failures, COALESCE(last_class, '') AS last_class
		FROM (
			SELECT id, key FROM (
				SELECT k.*, %s AS key FROM hooks k LEFT JOIN hook_health h ON h.hook_id = k.id WHERE k.tenant = $1
			) hooks WHERE %s AND %s ORDER BY hooks.key %[6]s, id %[6]s LIMIT $%[7]d
		) page JOIN hooks USING (id)
		LEFT JOIN (SELECT hook_id, last_attempt_at, failing_since, failures, last_class FROM hook_health) h ON hook_id = id
		ORDER BY page.key %[6]s, id %[6]s`, hookColumns, key.text, key.expression, where, beyond, direction, len(args))
	var rows []sortedHookRow
	if err := d.db.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, false, translate(fmt.Errorf("list hooks by %s: %w", order, err))
	}
	if more = len(rows) > page.Limit; more {
		rows = rows[:page.Limit]
	}
	if page.Before != nil {
		slices.Reverse(rows)
	}
	list = make([]SortedHook, len(rows))
	for i := range rows {
		list[i] = rows[i].sorted(d.ring)
	}
	return list, more, nil
}
