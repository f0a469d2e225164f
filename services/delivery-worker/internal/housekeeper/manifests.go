package housekeeper

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/proof"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// manifestAfter is the time between the end of a day and the publication of its manifests. By then few of its deliveries
	// are in progress.
	manifestAfter = time.Hour
	// manifestDays is the number of past days for which missing manifests are still published, for example after days without a
	// worker.
	manifestDays = 7
	// manifestHooks is the maximum number of hooks that one query returns.
	manifestHooks = 100
	// manifestTime and manifestMost bound the time and the number of deliveries for computing a digest. Beyond them the event
	// has no digest.
	manifestTime = time.Minute
	manifestMost = 1_000_000
)

// manifests publishes yesterday's manifests, one for each hook that was sent something, for the tenants that have a hook for
// such events.
func (h *Housekeeper) manifests(ctx context.Context) error {
	yesterday := h.Bus.Time(time.Now()).UTC().Add(-manifestAfter).Truncate(24*time.Hour).AddDate(0, 0, -1)
	tenants, err := h.DB.Access.ListTenants(ctx)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if h.told[t.Name].Equal(yesterday) || !h.Wanted(t.Name, proof.EventType) {
			continue
		}
		for back := manifestDays - 1; back >= 0; back-- {
			if err := h.tellDay(ctx, t.Name, yesterday.AddDate(0, 0, -back), back > 0); err != nil {
				return err
			}
		}
		h.told[t.Name] = yesterday
	}
	return nil
}

// tellDay publishes the missing manifests of a tenant's hooks for a day. began excludes hooks that never had a manifest.
func (h *Housekeeper) tellDay(ctx context.Context, tenant string, day time.Time, began bool) error {
	caughtUp := false
	for {
		hooks, err := h.DB.History.FindUntold(ctx, tenant, day, proof.EventType, began, manifestHooks)
		if err != nil || len(hooks) == 0 {
			return err
		}
		if !caughtUp { // the facts about the day's last attempts may not be recorded yet
			if err := h.History.CatchUp(ctx); err != nil {
				return err
			}
			caughtUp = true
		}
		for _, hook := range hooks {
			if err := h.tellManifest(ctx, tenant, hook, day); err != nil {
				return err
			}
		}
	}
}

// tellManifest publishes a hook's manifest for a day. The event's id is derived from both, so that publishing it twice causes
// one event.
func (h *Housekeeper) tellManifest(ctx context.Context, tenant string, hook store.Untold, day time.Time) error {
	r := store.TimeRange{From: day, To: day.AddDate(0, 0, 1)}
	states, err := h.DB.History.CountSent(ctx, tenant, hook.ID, r)
	if err != nil {
		return err
	}
	count := 0
	for _, n := range states {
		count += n
	}
	query := url.Values{"from": {r.From.Format(time.RFC3339)}, "to": {r.To.Format(time.RFC3339)}}
	data := map[string]any{
		"hook_id": hook.ID, "name": hook.Name, "from": r.From, "to": r.To, "count": count, "states": states, "digest": nil,
		"path": fmt.Sprintf("/whisperer/hooks/%s/manifest/?%s", hook.ID, query.Encode()),
	}
	if count <= manifestMost {
		summary, err := daemon.Within(ctx, manifestTime, func(ctx context.Context) (api.ManifestSummary, error) {
			return proof.Write(ctx, hook.ID, r, func(ctx context.Context, behind *store.Position, limit int) ([]store.Sent, error) {
				return h.DB.History.ListSent(ctx, tenant, hook.ID, r, behind, limit)
			}, func([]byte) error { return nil })
		})
		switch {
		case err == nil:
			data["count"], data["states"], data["digest"] = summary.Count, summary.States, summary.Digest
		case ctx.Err() != nil:
			return err
		default:
			h.Log.Warn("failed to compute the digest of a manifest, published without it", zap.Stringer("hook_id", hook.ID), zap.Error(err))
		}
	}
	id := fmt.Sprintf("manifest:%s:%s", hook.ID, day.Format(time.DateOnly))
	if err := h.Announce(ctx, tenant, proof.EventType, id, "hook:"+hook.ID.String(), data); err != nil {
		return err
	}
	return h.DB.History.NoteTold(ctx, hook.ID, day)
}
