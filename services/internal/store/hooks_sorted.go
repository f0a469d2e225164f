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

// HookOrder is what a list of hooks is sorted by.
type HookOrder string

// The orders.
const (
	NewestHooks HookOrder = ""
	OldestHooks HookOrder = "oldest"
	HooksByName HookOrder = "name"
	// FailingHooksFirst begins with those that have failed longest; those that do not fail come last.
	FailingHooksFirst HookOrder = "failing"
	// LatestHooksFirst begins with those whose last attempt was latest.
	LatestHooksFirst HookOrder = "activity"
)

// HookKey is a place in a sorted list of hooks.
type HookKey struct {
	// Key is what the hook is sorted by, as text.
	Key string
	ID  uuid.UUID
}

// HookPage says which part of a sorted list is wanted: its beginning, or what comes next to a place.
type HookPage struct {
	Limit int
	// After and Before are what the page comes right after or right before; at most one of them is set.
	After, Before *HookKey
}

// SortedHook is a hook with how it fares and its place in the list.
type SortedHook struct {
	webhook.Hook

	// LastAttemptAt is zero where there was none.
	LastAttemptAt time.Time
	// FailingSince is when the first failure without a success after it was; zero where the hook does not fail.
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

// hookKey is an order as SQL: what is sorted by, how that is written as text, how the text becomes it again, and whether
// it descends.
type hookKey struct {
	expression, text, value string
	descending              bool
}

func (o HookOrder) key() hookKey {
	// a time is sorted by as it is, which costs least, and written as microseconds, which are exact until never
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
	default: // there is an index of this
		return moment("k.created_at", o != OldestHooks)
	}
}

// ListSorted lists a tenant's hooks in an order. more says that there are others beyond the page, in the direction that
// the page was asked for.
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
	// only what the page is found by is read of all hooks
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
