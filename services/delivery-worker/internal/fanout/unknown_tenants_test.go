package fanout_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// rejections returns the reason and the tenant of each rejected event.
func (s *stage) rejections() (of []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rejected {
		of = append(of, r.GetReason()+" "+r.GetTenant())
	}
	return of
}

// publishOf publishes one event of each tenant.
func (s *stage) publishOf(tenants ...string) {
	s.t.Helper()
	for _, tenant := range tenants {
		require.NoError(s.t, s.Bus.PublishEvents(s.t.Context(), []bus.Outgoing{{Tenant: tenant, Type: "order.created", Body: []byte(`1`)}}))
	}
}

func TestAnEventOfATenantThatIsNotKnownYetIsNotRejected(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hook("*")
	s.start(16)
	_, err := s.DB.Access.EnsureTenant(t.Context(), "test", "late")
	require.NoError(t, err)
	h := s.hook("*")
	s.hooks.Remove(h.ID)
	h.Tenant, h.TargetURL, h.NotificationType = "late", "http://example.com/", webhook.NotificationREST
	_, err = s.DB.Hooks.Create(t.Context(), "test", h, 10, store.IdempotencyKey{})
	require.NoError(t, err)
	s.publishOf("late", "nobody", "acme")
	require.Eventually(t, func() bool { return s.count() == 1 }, time.Minute, 5*time.Millisecond, "known tenants wait for nothing")
	require.Empty(t, s.rejections())
	require.Equal(t, "acme", s.delivered()[0].Event.Tenant)
	s.know()
	s.awaitSettled()
	require.Len(t, s.delivered(), 2)
	require.Equal(t, "late", s.delivered()[1].Event.Tenant)
	require.Equal(t, []string{"unknown_tenant nobody"}, s.rejections())
}

func TestEventsOfUnknownTenantsAreHandedBackWhereTheDatabaseCannotBeAsked(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hook("*")
	ring, err := seal.ParseRing(seal.NewKey())
	require.NoError(t, err)
	away, err := store.Open("postgres://u@127.0.0.1:1/x?sslmode=disable", 1, ring)
	require.NoError(t, err)
	t.Cleanup(func() { _ = away.Close() })
	knowing := s.watch
	s.watch, err = away.Hooks.Watch(store.WatchOptions{Hooks: added{s.hooks}, Log: zap.NewNop()})
	require.NoError(t, err)
	s.know()
	stop := s.start(16)
	s.publishOf("nobody", "acme")
	require.Eventually(t, func() bool { return s.count() == 1 }, time.Minute, 5*time.Millisecond)
	stop() // settles all events taken
	require.Empty(t, s.rejections())
	s.watch = knowing
	s.know()
	s.start(16)
	s.awaitSettled()
	require.Equal(t, []string{"unknown_tenant nobody"}, s.rejections())
}

// However many events of unknown tenants arrive, the database is queried only a few times a second.
func TestStrangersDoNotMakeTheDatabaseBusy(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.know()
	asked := &counting{Watch: s.watch}
	s.refresher = asked
	began := time.Now()
	s.start(16)
	for range 200 {
		s.publishOf("nobody")
	}
	s.awaitSettled()
	require.Len(t, s.rejections(), 200)
	require.LessOrEqual(t, asked.n, 1+int(time.Since(began)/(300*time.Millisecond)))
}

// counting counts the calls of Refresh, which are never concurrent.
type counting struct {
	*store.Watch
	n int
}

func (c *counting) Refresh(ctx context.Context) error {
	c.n++
	return c.Watch.Refresh(ctx)
}
