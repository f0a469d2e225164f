package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// endedSpan is how long before the hook was disabled an event may have been published whose delivery ended because of that.
	endedSpan = webhook.MaxRetrySpan + 24*time.Hour
	// obeyed is longer than workers need to learn that a hook was enabled or disabled.
	obeyed = 10 * time.Second
)

// Recovery is what a hook missed while it was last disabled.
type Recovery struct {
	// From and To bound the time for which the hook was disabled. Both are zero if it never was; To is zero while it is.
	From, To time.Time
	// Replay is the replay that makes up for it, and Missed the number of its deliveries, as returned by CountReplay.
	Replay Replay
	Missed int
}

// FindRecovery counts what the hook missed: deliveries that are dead because it was disabled, deliveries whose 410 response
// disabled it, and events without a delivery from that time. What was replayed since is not counted. The error is
// webhook.ErrNotFound if the tenant has no such hook.
func (d *JobStore) FindRecovery(ctx context.Context, tenant string, hook uuid.UUID) (Recovery, error) {
	var row struct {
		From  *time.Time `db:"disabled_from"`
		To    *time.Time `db:"disabled_to"`
		First *time.Time `db:"first"`
	}
	err := d.db.GetContext(ctx, &row, `
		SELECT disabled_from, disabled_to, (
			SELECT min(d.published_at) FROM deliveries d WHERE d.hook_id = h.id AND d.state = 'dead'
			AND (d.reason = $3 OR d.reason = $5 AND d.updated_at > h.disabled_from - $6 * interval '1 second')
			AND d.published_at BETWEEN h.disabled_from - $4 * interval '1 second' AND h.disabled_from
		) AS first FROM hooks h WHERE tenant = $1 AND id = $2`, tenant, hook, string(webhook.ReasonHookDisabled), int(endedSpan.Seconds()),
		string(webhook.ReasonGone), int(obeyed.Seconds()))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Recovery{}, fmt.Errorf("hook %s: %w", hook, webhook.ErrNotFound)
	case err != nil:
		return Recovery{}, translate(fmt.Errorf("find what hook %s missed: %w", hook, err))
	case row.From == nil:
		return Recovery{}, nil
	}
	r := Recovery{From: row.From.UTC(), Replay: Replay{
		Tenant: tenant, HookID: hook, States: []webhook.DeliveryState{webhook.Dead}, IncludeMissing: true,
	}}
	r.Replay.Range = TimeRange{From: r.From, To: time.Now().UTC().Add(obeyed)}
	if row.To != nil {
		r.To = row.To.UTC()
		r.Replay.Range.To = r.To.Add(obeyed)
	}
	if row.First != nil {
		r.Replay.Range.From = row.First.UTC()
	}
	r.Missed, err = d.CountReplay(ctx, r.Replay)
	return r, err
}
