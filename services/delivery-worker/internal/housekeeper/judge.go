package housekeeper

import (
	"context"
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Disable holds the conditions for disabling a failing hook: all attempts for After have failed, there were at least
// MinFailures of them, and they span at least MinSpan.
type Disable struct {
	After       time.Duration
	MinFailures int
	MinSpan     time.Duration
}

// reachWindow is the period that the guard against mass failures looks at, and massHooks the minimum number of hooks for which
// it decides.
const (
	reachWindow = 5 * time.Minute
	massHooks   = 4
)

// Operational event types; see the catalogue.
const (
	typeFailing   = "hook.failing"
	typeDisabled  = "hook.disabled"
	typeRecovered = "hook.recovered"
)

// judge warns of hooks that have been failing for long, disables those that have been failing for too long, and announces those
// that recovered.
func (h *Housekeeper) judge(ctx context.Context) error {
	now := h.Bus.Time(time.Now()) // a local clock that is far ahead must not disable hooks
	tried, unreachable, err := h.DB.Health.CountReach(ctx, now.Add(-reachWindow))
	if err != nil {
		return err
	}
	if tried >= massHooks && 2*unreachable > tried {
		h.ours = now
		h.Log.Error("most hooks are unreachable: assuming a network problem here, disabling none", zap.Int("hooks", tried), zap.Int("unreachable", unreachable))
		return nil
	}
	list, err := h.DB.Health.ListFailing(ctx, now.Add(-h.Disable.After/2))
	if err != nil {
		return err
	}
	for _, f := range list {
		if err := h.judgeHook(ctx, f, now); err != nil {
			return fmt.Errorf("hook %s: %w", f.HookID, err)
		}
	}
	return nil
}

func (h *Housekeeper) judgeHook(ctx context.Context, f store.Failing, now time.Time) error {
	if f.Since == nil {
		if err := h.announce(ctx, typeRecovered, f, now, nil); err != nil {
			return err
		}
		return h.DB.Health.NoteWarning(ctx, actor, f, 0)
	}
	percent := int(100 * now.Sub(*f.Since) / h.Disable.After)
	// While hooks recover one after another from a fault on our side, those that are still failing look as if it were the
	// receivers' fault.
	theirs := h.ours.IsZero() || f.LastFailureAt.After(h.ours.Add(reachWindow))
	if percent >= 100 && theirs && f.Failures >= h.Disable.MinFailures && f.LastFailureAt.Sub(*f.Since) >= h.Disable.MinSpan {
		reason := fmt.Sprintf("Every attempt since %s failed (%d of them, the last with %s).", f.Since.UTC().Format(time.RFC3339), f.Failures, f.LastClass)
		if err := h.announce(ctx, typeDisabled, f, now, map[string]any{"reason": reason}); err != nil {
			return err
		}
		_, err := h.DB.Hooks.Disable(ctx, actor, f.HookID, store.IfVersion{f.Version}, reason)
		return err
	}
	for _, step := range []int{90, 70, 50} {
		if percent < step {
			continue
		}
		if f.Warned >= step {
			return nil
		}
		if err := h.announce(ctx, typeFailing, f, now, map[string]any{"percent": step}); err != nil {
			return err
		}
		return h.DB.Health.NoteWarning(ctx, actor, f, step)
	}
	return nil
}

// actor is the name in the audit log.
const actor store.Actor = "delivery-worker"

// announce publishes an operational event about the hook. The id of a failing or disabled event is derived from its contents,
// so that publishing it twice causes one event.
func (h *Housekeeper) announce(ctx context.Context, eventType string, f store.Failing, now time.Time, extra map[string]any) error {
	data := map[string]any{
		"hook_id": f.HookID, "name": f.Name, "target_url": f.URL, "failures": f.Failures, "last_error": f.LastClass, "at": now.UTC(),
	}
	id := fmt.Sprintf("%s:%s:%d", eventType[len("hook."):], f.HookID, now.UnixMilli())
	if f.Since != nil {
		data["failing_since"] = f.Since.UTC()
		id = fmt.Sprintf("%s:%s:%d:%v", eventType[len("hook."):], f.HookID, f.Since.UnixMilli(), extra["percent"])
	}
	maps.Copy(data, extra)
	return h.Announce(ctx, f.Tenant, eventType, id, "hook:"+f.HookID.String(), data)
}
