package deliver_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/deliver"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/limiter"
)

// told is a fact, with the callback that reports it as stored.
type told struct {
	fact   *whispererv1.DeliveryFact
	stored func()
}

// surroundings are fakes of a deliverer's collaborators that record its calls.
type surroundings struct {
	facts chan told
	sent  chan int // number of earlier attempts, for each request
}

func (s *surroundings) Fact(f *whispererv1.DeliveryFact, stored func()) { s.facts <- told{f, stored} }

func (s *surroundings) Send(_ context.Context, due *webhook.Due, _ *envelope.Bodies) (*whispererv1.AttemptFact, webhook.Result, bool) {
	s.sent <- due.Attempts
	return &whispererv1.AttemptFact{}, webhook.Result{Status: 200}, false
}

func (*surroundings) SendBatch(context.Context, []*webhook.Due, []*envelope.Bodies) ([]*whispererv1.AttemptFact, []webhook.Result, bool) {
	panic("nothing is sent in batches")
}

func (*surroundings) Time(ours time.Time) time.Time { return ours }

func (*surroundings) Stopped(time.Time) bool { return false }

func (*surroundings) Attempted(*webhook.Due, webhook.Result, webhook.DeliveryState, time.Duration, time.Duration) {
}

func (*surroundings) Parked(webhook.Reason) {}
func (*surroundings) Batched()              {}

func deliverer(ctx context.Context) (*deliver.Deliverer, *surroundings) {
	s := &surroundings{facts: make(chan told, 10), sent: make(chan int, 10)}
	return deliver.New(ctx, deliver.Deps{
		Sender: s, Enter: func(e limiter.Attempt) { go func() { _ = e.Run() }() }, Clock: s, Facts: s, Observer: s, Log: zap.NewNop(),
		Erased:   func(*webhook.Event) bool { return false },
		Stale:    func() bool { return false },
		Schedule: func(context.Context, time.Time, *whispererv1.Retry) error { return nil },
	}), s
}

func interrupted() webhook.Due {
	return webhook.Due{
		ID: uuid.New(), Unknown: true, Hook: &webhook.Hook{ID: uuid.New()},
		Event: &webhook.Event{ID: "e-1", Tenant: "default", Type: "order.created", PublishedAt: time.Now()},
	}
}

func TestAnAttemptIsMadeAfterTheUnknownOneBeforeItIsDurable(t *testing.T) {
	t.Parallel()
	d, s := deliverer(t.Context())
	settled := make(chan error, 1)
	d.Deliver(interrupted(), nil, func(err error) { settled <- err }, nil)
	unknown := <-s.facts
	require.Equal(t, string(webhook.Unknown), unknown.fact.GetAttempt().GetOutcome())
	require.Never(t, func() bool { return len(s.sent) > 0 }, 200*time.Millisecond, 10*time.Millisecond,
		"a worker that dies of this attempt leaves word of the one before it")
	unknown.stored()
	require.Equal(t, 1, <-s.sent)
	second := <-s.facts
	require.EqualValues(t, 2, second.fact.GetAttempts())
	require.Empty(t, settled)
	second.stored()
	require.NoError(t, <-settled)
}

// Without this fact, the next attempt would reuse the number of one that the receiver may already have.
func TestADeliveryThatIsParkedTellsOfTheUnknownAttemptBefore(t *testing.T) {
	t.Parallel()
	d, s := deliverer(t.Context())
	d.Enter = func(a limiter.Attempt) { a.Park(webhook.ReasonConcurrency) }
	d.Deliver(interrupted(), nil, func(error) {}, nil)
	parked := (<-s.facts).fact
	require.Equal(t, string(webhook.Parked), parked.GetState())
	require.EqualValues(t, 1, parked.GetAttempts())
	require.EqualValues(t, 1, parked.GetAttempt().GetNumber())
	require.Equal(t, string(webhook.Unknown), parked.GetAttempt().GetOutcome())

	ordered := interrupted()
	ordered.Hook.Config.Ordering = webhook.OrderHook
	d.Deliver(ordered, nil, func(error) {}, nil)
	parked = (<-s.facts).fact
	require.Zero(t, parked.GetAttempts(), "its first attempt is made from the queue")
	require.Nil(t, parked.GetAttempt())
}

func TestAWorkerThatEndsDoesNotWaitForWordOfAnUnknownAttempt(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancel(t.Context())
	d, s := deliverer(ctx)
	settled := make(chan error, 1)
	d.Deliver(interrupted(), nil, func(err error) { settled <- err }, nil)
	<-s.facts
	end()
	require.ErrorIs(t, <-settled, deliver.ErrNotSettled)
	require.Empty(t, s.sent)
}
