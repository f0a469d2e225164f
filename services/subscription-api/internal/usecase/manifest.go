package usecase

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/proof"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// manifestDay is the default length of a manifest's range.
	manifestDay = 24 * time.Hour
	// manifestPageTime bounds the look-up of one page.
	manifestPageTime = 10 * time.Second
)

// Manifest lists what was sent to a hook; Write streams it.
type Manifest struct {
	cases  *core
	caller Caller
	hook   webhook.Hook
	when   store.TimeRange // of the events' publication
}

// ManifestRange completes the range of a manifest. By default it ends a minute ago, when everything is recorded, and
// begins a day before its end.
func ManifestRange(r store.TimeRange, now time.Time) store.TimeRange {
	if r.To.IsZero() {
		r.To = now.Add(-store.Settled)
	}
	if r.From.IsZero() {
		r.From = r.To.Add(-manifestDay)
	}
	return r
}

// NewManifest prepares the manifest of a hook for a range that has both ends. The errors are webhook.ErrNotFound and
// *store.UnreadableError.
func (s *Deliveries) NewManifest(ctx context.Context, c *Caller, hook uuid.UUID, r store.TimeRange) (*Manifest, error) {
	h, err := s.hooks.Get(ctx, c.Tenant, hook)
	return &Manifest{cases: s.core, caller: *c, hook: h, when: r}, err
}

// Write passes the lines to emit, page by page, and returns the last line. No database connection is held while emit
// runs, and the caller's share of look-ups is taken for each page anew.
func (m *Manifest) Write(ctx context.Context, emit func(lines []byte) error) (api.ManifestEnd, error) {
	summary, err := proof.Write(ctx, m.hook.ID, m.when, m.page, emit)
	if err != nil {
		return api.ManifestEnd{}, err
	}
	return proof.End(&m.hook, &summary, time.Now())
}

func (m *Manifest) page(ctx context.Context, behind *store.Position, limit int) ([]store.Sent, error) {
	release, err := m.cases.waitForShare(ctx, &m.caller)
	if err != nil {
		return nil, err
	}
	defer release()
	return daemon.Within(ctx, manifestPageTime, func(ctx context.Context) ([]store.Sent, error) {
		return m.cases.History.ListSent(ctx, m.caller.Tenant, m.hook.ID, m.when, behind, limit)
	})
}
