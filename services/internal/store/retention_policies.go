package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// RetentionPolicy says for how many days a tenant keeps the payloads of an event type, or of the types that match a pattern.
type RetentionPolicy struct {
	Tenant    string    `db:"tenant"`
	EventType string    `db:"event_type"`
	Days      int       `db:"days"`
	CreatedAt time.Time `db:"created_at"`
	ErasedTo  time.Time `db:"erased_to"`
}

const (
	// forgetExpired is how long erased_events remembers an event that was erased by a retention policy. Facts and messages
	// about it are never later than that.
	forgetExpired = webhook.MaxRetrySpan + 24*time.Hour
	// recordedLate is how long after its publication an event may be recorded and still be found by MarkExpired.
	recordedLate = time.Hour
)

// List returns a tenant's policies by event type, or those of all tenants if tenant is empty.
func (d *RetentionStore) List(ctx context.Context, tenant string) (list []RetentionPolicy, err error) {
	err = d.db.SelectContext(ctx, &list, `
		SELECT tenant, event_type, days, created_at, erased_to FROM payload_retention WHERE $1 = '' OR tenant = $1 ORDER BY tenant, event_type`, tenant)
	if err != nil {
		return nil, translate(fmt.Errorf("list retention policies: %w", err))
	}
	for i := range list {
		list[i].CreatedAt, list[i].ErasedTo = list[i].CreatedAt.UTC(), list[i].ErasedTo.UTC()
	}
	return list, nil
}

// Set stores the retention in days for an event type or pattern, or removes it if days is 0. A tenant has at most most
// policies.
func (d *RetentionStore) Set(ctx context.Context, actor Actor, tenant, eventType string, days, most int) error {
	return d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		entry := audited{tenant: tenant, action: "retention.changed", subject: eventType, detail: map[string]any{"days": days}}
		if days == 0 {
			result, err := tx.ExecContext(ctx, `DELETE FROM payload_retention WHERE tenant = $1 AND event_type = $2`, tenant, eventType)
			if err != nil {
				return audited{}, fmt.Errorf("remove retention policy: %w", err)
			}
			if n, err := result.RowsAffected(); err != nil || n == 0 {
				return audited{}, err
			}
			entry.action, entry.detail = "retention.removed", nil
			return entry, nil
		}
		var n int
		err := tx.GetContext(ctx, &n, `SELECT count(*) FROM payload_retention WHERE tenant = $1 AND event_type <> $2`, tenant, eventType)
		switch {
		case err != nil:
			return audited{}, fmt.Errorf("count retention policies: %w", err)
		case n >= most:
			return audited{}, invalid("/event_type", fmt.Sprintf("is one too many: a tenant has at most %d policies", most))
		}
		_, err = tx.ExecContext(ctx, `
			INSERT INTO payload_retention (tenant, event_type, days) VALUES ($1, $2, $3)
			ON CONFLICT (tenant, event_type) DO UPDATE SET days = excluded.days`, tenant, eventType, days)
		if err != nil {
			return audited{}, fmt.Errorf("set retention policy: %w", err)
		}
		return entry, nil
	})
}

// MarkExpired marks the next events to be erased whose retention by the policy has expired, at most MaxErased, and returns
// their number.
func (d *RetentionStore) MarkExpired(ctx context.Context, p *RetentionPolicy, now time.Time) (n int, err error) {
	before := now.AddDate(0, 0, -p.Days)
	c := &clauses{}
	c.add("tenant = %s", p.Tenant)
	c.published("published_at", TimeRange{From: p.ErasedTo.Add(-recordedLate), To: before})
	c.fixed("erased_at IS NULL")
	c.wantsType("type", []string{p.EventType})
	err = d.bounded(ctx, countTime, &PayloadFilter{}, func(tx *sqlx.Tx) error {
		var rows []struct {
			ID string    `db:"id"`
			At time.Time `db:"published_at"`
		}
		err := tx.SelectContext(ctx, &rows, `SELECT id, published_at FROM events WHERE `+c.where()+
			` ORDER BY published_at, seq LIMIT `+c.arg(MaxErased), c.args...)
		if err != nil {
			return fmt.Errorf("look for expired payloads: %w", err)
		}
		keys := make([]EventKey, len(rows))
		for i, r := range rows {
			keys[i] = EventKey{p.Tenant, r.ID}
		}
		to := before
		if n = len(rows); n == MaxErased {
			to = rows[n-1].At
		}
		if err := markErased(ctx, tx, nil, webhook.ErasedByRetention, keys); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE payload_retention SET erased_to = $3 WHERE tenant = $1 AND event_type = $2 AND days = $4`,
			p.Tenant, p.EventType, to, p.Days)
		if err == nil {
			p.ErasedTo = to
		}
		return err
	})
	return n, err
}

// ForgetExpired deletes records of erasures that no program needs any more. The events themselves say that they are erased.
func (d *RetentionStore) ForgetExpired(ctx context.Context) error {
	_, err := d.db.ExecContext(ctx, `
		DELETE FROM erased_events WHERE (tenant, event_id) IN (
			SELECT tenant, event_id FROM erased_events WHERE erasure IS NULL AND done_at < clock_timestamp() - $1 * interval '1 second' LIMIT 10000)`,
		int(forgetExpired.Seconds()))
	if err != nil {
		return translate(fmt.Errorf("forget expired payloads: %w", err))
	}
	return nil
}
