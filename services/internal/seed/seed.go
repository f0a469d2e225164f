// Package seed fills a database with a month of generated history for tests and benchmarks of look-ups.
package seed

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Options say how much history to generate.
type Options struct {
	// Hooks and Attempts are approximate totals over all tenants.
	Hooks, Attempts int
	// EventTypes are assigned to events in turn.
	EventTypes []string
	// Progress is called with the number of attempts so far; may be nil.
	Progress func(attempts int)
}

// seedDays is the number of days of the history, which ends now. seedAttempts is how many attempts an event causes.
const (
	seedDays     = 30
	seedAttempts = 3.05
)

// seedTenants returns the tenants, and how many of every 20 hooks and events belong to each.
func seedTenants() map[string]int {
	return map[string]int{webhook.DefaultTenant: 16, "north": 3, "south": 1}
}

// History fills an empty database, to which both handles lead, with a month of generated history. It returns the
// hooks of the default tenant, the busiest one first. That one gets 23 of 100 deliveries, and the others get fewer
// and fewer. One in 40 hooks has been failing for the whole month. Activity is spread evenly over the days.
func History(ctx context.Context, stored *store.DB, db *sql.DB, o Options) ([]uuid.UUID, error) {
	hooks := map[string][]uuid.UUID{}
	for tenant, share := range seedTenants() {
		var err error
		if hooks[tenant], err = seedHooks(ctx, stored, db, tenant, max(o.Hooks*share/20, 4)); err != nil {
			return nil, err
		}
	}
	perDay := max(int(float64(o.Attempts)/seedAttempts/seedDays), 20) + 1
	now := time.Now().UTC().Truncate(time.Second)
	attempts := 0
	for n := seedDays; n >= 0; n-- { // the first and the last day are partial
		day := now.Truncate(24*time.Hour).AddDate(0, 0, -n)
		got, err := seedOne(ctx, db, o.EventTypes, hooks, seedDay{n: seedDays - n, day: day, now: now, events: perDay})
		if err != nil {
			return nil, fmt.Errorf("seed history of %s: %w", day.Format(time.DateOnly), err)
		}
		if attempts += got; o.Progress != nil {
			o.Progress(attempts)
		}
	}
	if _, err := db.ExecContext(ctx, `VACUUM ANALYZE`); err != nil {
		return nil, fmt.Errorf("analyze seeded history: %w", err)
	}
	return hooks[webhook.DefaultTenant], nil
}

func seedHooks(ctx context.Context, stored *store.DB, db *sql.DB, tenant string, n int) ([]uuid.UUID, error) {
	if _, err := stored.Access.EnsureTenant(ctx, "seed", tenant); err != nil {
		return nil, err
	}
	config, err := webhook.ParseConfig(nil)
	if err != nil {
		return nil, fmt.Errorf("make configuration: %w", err)
	}
	list := make([]webhook.Hook, n)
	for i := range list {
		list[i] = webhook.Hook{
			Name: fmt.Sprintf("Shop %05d", i), TargetURL: fmt.Sprintf("https://%s-%05d.example.com/webhooks", tenant, i),
			EventTypes:       []string{"order.>", "package.>", "shipment.>", "stock_location.>", "transfer.>"},
			NotificationType: webhook.NotificationREST, Config: config, Status: webhook.Active,
		}
	}
	ids, err := stored.Hooks.CreateMany(ctx, "seed", tenant, list, n)
	if err != nil {
		return nil, err
	}
	for _, query := range []string{seedHealth, seedBacklogs} {
		if _, err := db.ExecContext(ctx, query, tenant, arrayOf(ids)); err != nil {
			return nil, fmt.Errorf("seed health of hooks: %w", err)
		}
	}
	return ids, nil
}

// seedDay is the nth day of the history.
type seedDay struct {
	n        int
	day, now time.Time
	events   int
}

func seedOne(ctx context.Context, db *sql.DB, types []string, hooks map[string][]uuid.UUID, day seedDay) (attempts int, err error) {
	if _, err := db.ExecContext(ctx, `SELECT whisperer_ensure_day($1::date)`, day.day.Format(time.DateOnly)); err != nil {
		return 0, err
	}
	begin, end := day.now.AddDate(0, 0, -seedDays), day.now
	if _, err := db.ExecContext(ctx, seedEvents, day.day, day.n, day.events, begin, end, array(types)); err != nil {
		return 0, err
	}
	for tenant, ids := range hooks {
		if _, err := db.ExecContext(ctx, seedDeliveries, day.day, tenant, arrayOf(ids), day.now); err != nil {
			return 0, err
		}
	}
	done, err := db.ExecContext(ctx, seedAttemptRows, day.day)
	if err != nil {
		return 0, err
	}
	rows, err := done.RowsAffected()
	if err != nil {
		return 0, err
	}
	_, err = db.ExecContext(ctx, seedRejected, day.day, day.events/1000+1, begin, end)
	return int(rows), err
}

// Sample returns the keys of up to n random deliveries of a tenant in the last week. attempts is the total number of
// attempts in the history.
func Sample(ctx context.Context, db *sql.DB, tenant string, attempts, n int) ([]webhook.Delivery, error) {
	percent := min(100, 100*200*float64(n)/float64(max(attempts, 1)))
	rows, err := db.QueryContext(ctx, `
		SELECT id, hook_id, event_id, event_type, entity, published_at FROM deliveries TABLESAMPLE SYSTEM ($2)
		WHERE tenant = $1 AND published_at > now() - interval '7 days' ORDER BY random() LIMIT $3`, tenant, percent, n)
	if err != nil {
		return nil, fmt.Errorf("sample deliveries: %w", err)
	}
	defer rows.Close()
	var list []webhook.Delivery
	for rows.Next() {
		d := webhook.Delivery{Tenant: tenant}
		if err := rows.Scan(&d.ID, &d.HookID, &d.EventID, &d.EventType, &d.Entity, &d.PublishedAt); err != nil {
			return nil, fmt.Errorf("sample deliveries: %w", err)
		}
		list = append(list, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sample deliveries: %w", err)
	}
	return list, nil
}

// array formats texts without commas and quotes as a PostgreSQL array.
func array(list []string) string { return "{" + strings.Join(list, ",") + "}" }

func arrayOf(ids []uuid.UUID) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return array(texts)
}
