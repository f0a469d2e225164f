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
	// endedSpan is how long before a hook was disabled the events may be published whose deliveries that ended.
	endedSpan = webhook.MaxRetrySpan + 24*time.Hour
	// obeyed is more than it takes until workers know that a hook is enabled again, or that it is disabled.
	obeyed = 10 * time.Second
)

// Recovery is what a hook missed while it was disabled last.
type Recovery struct {
	// From and To are since and until when it was disabled; both are zero where it never was, To while it is.
	From, To time.Time
	// Replay makes up for it; Missed is how many deliveries that is, as CountReplay says.
	Replay Replay
	Missed int
}

// FindRecovery counts what the hook missed: deliveries that failed or were ended because it was disabled, those which disabled it
// because the receiver was gone, and events that caused none meanwhile. What was recovered is not missed any more. The error is webhook.ErrNotFound where the tenant has no
// such hook.
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
