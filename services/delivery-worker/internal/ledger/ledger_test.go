package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/ledger"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// gate is the real bus, with a gate in front of it. It can lose the answers to publications.
type gate struct {
	*bus.Bus
	open chan struct{} // each publication takes a token; all pass if it is nil
	lose atomic.Int64  // number of publications whose answer gets lost after the batch was stored

	mu    sync.Mutex
	calls []call
}

type call struct {
	id    string
	facts int
}

var errLost = errors.New("the answer got lost")

func (g *gate) PublishFacts(ctx context.Context, id string, batch *whispererv1.LedgerBatch) error {
	g.mu.Lock()
	g.calls = append(g.calls, call{id, len(batch.GetFacts())})
	g.mu.Unlock()
	if g.open != nil {
		select {
		case <-g.open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := g.Bus.PublishFacts(ctx, id, batch); err != nil {
		return err
	}
	if g.lose.Add(-1) >= 0 {
		return errLost
	}
	return nil
}

func (g *gate) sizes() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	sizes := make([]int, len(g.calls))
	for i, c := range g.calls {
		sizes[i] = c.facts
	}
	return sizes
}

// run runs a writer until the test ends.
func run(t *testing.T, g *gate) *ledger.Writer {
	t.Helper()
	w := ledger.NewWriter(g, "w-1", zap.NewNop())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return w
}

func numbered(n int) *whispererv1.DeliveryFact {
	return &whispererv1.DeliveryFact{Tenant: "acme", EventId: fmt.Sprint(n), State: string(webhook.Parked)}
}

// batches reads the batches in the stream.
func batches(t *testing.T, b *bus.Bus) []*whispererv1.LedgerBatch {
	t.Helper()
	lag, err := b.Lag(t.Context(), bus.FactRecorder)
	require.NoError(t, err)
	sub, err := b.Subscribe(t.Context(), bus.FactRecorder, bus.Room{Messages: 64})
	require.NoError(t, err)
	defer sub.Stop()
	var list []*whispererv1.LedgerBatch
	for uint64(len(list)) < lag.Last {
		messages, ok := sub.TakeBatch(t.Context(), nil, 64)
		require.True(t, ok)
		for i := range messages {
			batch := &whispererv1.LedgerBatch{}
			require.NoError(t, proto.Unmarshal(messages[i].Data, batch))
			require.NoError(t, messages[i].Ack())
			list = append(list, batch)
		}
	}
	return list
}

func TestALoneFactLeavesAtOnce(t *testing.T) {
	t.Parallel()
	g := &gate{Bus: testenv.Bus(t)}
	w := run(t, g)
	for n := range 5 {
		stored := make(chan struct{})
		started := time.Now()
		w.Fact(numbered(n), func() { close(stored) })
		<-stored
		require.Less(t, time.Since(started), 30*time.Second)
	}
	require.Equal(t, []int{1, 1, 1, 1, 1}, g.sizes())
	list := batches(t, g.Bus)
	require.Equal(t, "w-1", list[0].GetWorker())
}

func TestBatchesGrowWhileTheOneBeforeIsUnderWay(t *testing.T) {
	t.Parallel()
	g := &gate{Bus: testenv.Bus(t), open: make(chan struct{})}
	w := run(t, g)
	var stored sync.WaitGroup
	stored.Add(5001)
	w.Fact(numbered(0), stored.Done)
	require.Eventually(t, func() bool { return len(g.sizes()) == 1 }, time.Minute, time.Millisecond)
	for n := 1; n <= 5000; n++ {
		w.Fact(numbered(n), stored.Done)
	}
	close(g.open)
	stored.Wait()
	require.Equal(t, []int{1, 2000, 2000, 1000}, g.sizes())
	n := 0
	for _, batch := range batches(t, g.Bus) {
		for _, f := range batch.GetFacts() {
			require.Equal(t, fmt.Sprint(n), f.GetEventId())
			n++
		}
	}
	require.Equal(t, 5001, n)
}

func TestBatchesFitIntoAMessage(t *testing.T) {
	t.Parallel()
	g := &gate{Bus: testenv.Bus(t), open: make(chan struct{})}
	w := run(t, g)
	var stored sync.WaitGroup
	stored.Add(103)
	large := func(n, size int) *whispererv1.DeliveryFact {
		f := numbered(n)
		f.Attempt = &whispererv1.AttemptFact{
			ResponseBody: make([]byte, size), RequestHeaders: "X-A: v",
		}
		return f
	}
	w.Fact(numbered(0), stored.Done)
	require.Eventually(t, func() bool { return len(g.sizes()) == 1 }, time.Minute, time.Millisecond)
	for n := range 100 {
		w.Fact(large(n, 16<<10), stored.Done)
	}
	w.Fact(large(0, 700<<10), stored.Done) // larger than a batch by itself
	w.Rejected(&whispererv1.RejectedEvent{Raw: make([]byte, 64<<10), Headers: []*whispererv1.Header{{Name: "X-A", Value: "v"}}}, stored.Done)
	close(g.open)
	stored.Wait()
	facts, rejected := 0, 0
	for _, batch := range batches(t, g.Bus) {
		require.True(t, proto.Size(batch) <= 512<<10 || len(batch.GetFacts()) == 1, "%d facts of %d bytes", len(batch.GetFacts()), proto.Size(batch))
		facts += len(batch.GetFacts())
		rejected += len(batch.GetRejected())
	}
	require.Equal(t, 102, facts)
	require.Equal(t, 1, rejected)
}

// Stale facts of one tenant with the same snapshot are merged into one entry of a batch.
func TestOldKnowledgeIsToldOnceABatch(t *testing.T) {
	t.Parallel()
	g := &gate{Bus: testenv.Bus(t), open: make(chan struct{})}
	w := run(t, g)
	var stored sync.WaitGroup
	stored.Add(5)
	w.Fact(numbered(0), stored.Done)
	require.Eventually(t, func() bool { return len(g.sizes()) == 1 }, time.Minute, time.Millisecond)
	w.Stale(&whispererv1.StaleFanout{Tenant: "acme", Snapshot: "1:7:", Since: 3}, stored.Done)
	w.Stale(&whispererv1.StaleFanout{Tenant: "acme", Snapshot: "1:7:", Since: 2}, stored.Done)
	w.Stale(&whispererv1.StaleFanout{Tenant: "acme", Snapshot: "1:8:", Since: 4}, stored.Done)
	w.Stale(&whispererv1.StaleFanout{Tenant: "other", Snapshot: "1:7:", Since: 1}, stored.Done)
	close(g.open)
	stored.Wait()
	var told []string
	for _, batch := range batches(t, g.Bus) {
		for _, s := range batch.GetStale() {
			told = append(told, fmt.Sprint(s.GetTenant(), " ", s.GetSnapshot(), " ", s.GetSince()))
		}
	}
	require.Equal(t, []string{"acme 1:7: 2", "acme 1:8: 4", "other 1:7: 1"}, told)
}

func TestABatchWhoseAnswerGotLostIsStoredOnce(t *testing.T) {
	t.Parallel()
	g := &gate{Bus: testenv.Bus(t)}
	g.lose.Store(2)
	w := run(t, g)
	calls := make(chan struct{}, 10)
	w.Fact(numbered(1), func() { calls <- struct{}{} })
	<-calls
	require.Equal(t, []int{1, 1, 1}, g.sizes())
	require.Equal(t, g.calls[0].id, g.calls[2].id, "by which the stream tells that it is the same")
	w.Fact(numbered(2), func() { calls <- struct{}{} })
	<-calls
	require.NotEqual(t, g.calls[0].id, g.calls[3].id)
	list := batches(t, g.Bus)
	require.Len(t, list, 2)
	require.Empty(t, calls, "each was told once")
}

func TestFactsOfManyAreAllStoredAndEachOnesInOrder(t *testing.T) {
	t.Parallel()
	g := &gate{Bus: testenv.Bus(t)}
	g.lose.Store(1)
	w := run(t, g)
	const tellers, each = 8, 500
	var stored sync.WaitGroup
	stored.Add(tellers * each)
	for teller := range tellers {
		go func() {
			for n := range each {
				f := numbered(n)
				f.Tenant = fmt.Sprint(teller)
				w.Fact(f, stored.Done)
			}
		}()
	}
	stored.Wait()
	next := map[string]int{}
	for _, batch := range batches(t, g.Bus) {
		for _, f := range batch.GetFacts() {
			require.Equal(t, fmt.Sprint(next[f.GetTenant()]), f.GetEventId())
			next[f.GetTenant()]++
		}
	}
	require.Len(t, next, tellers)
	for _, n := range next {
		require.Equal(t, each, n)
	}
}

func TestAWriterThatIsStoppedTellsNoLies(t *testing.T) {
	t.Parallel()
	g := &gate{Bus: testenv.Bus(t), open: make(chan struct{})}
	w := ledger.NewWriter(g, "w-1", zap.NewNop())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx)
	}()
	var stored atomic.Int64
	w.Fact(numbered(1), func() { stored.Add(1) })
	require.Eventually(t, func() bool { return len(g.sizes()) == 1 }, time.Minute, time.Millisecond)
	w.Fact(numbered(2), func() { stored.Add(1) })
	cancel()
	<-ended
	require.Zero(t, stored.Load())
	require.Empty(t, batches(t, g.Bus))
}

// books is a reader with its ledger, and the recorder that writes that ledger.
type books struct {
	t        *testing.T
	bus      *bus.Bus
	reader   *ledger.Reader
	recorder *store.Recorder
	sub      *bus.Subscription
}

func newBooks(t *testing.T) *books {
	t.Helper()
	db := testenv.OpenStore(t)
	b := &books{t: t, bus: testenv.Bus(t), recorder: db.Ledger.NewRecorder()}
	t.Cleanup(b.recorder.Close)
	b.reader = ledger.NewReader(db.Ledger, db.History, b.bus)
	var err error
	b.sub, err = b.bus.Subscribe(t.Context(), bus.FactRecorder, bus.Room{Messages: 16})
	require.NoError(t, err)
	t.Cleanup(b.sub.Stop)
	return b
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// tell publishes a fact about a new delivery.
func (b *books) tell() store.DeliveryKey {
	hook, id := uuid.New(), uuid.New()
	require.NoError(b.t, b.bus.PublishFacts(b.t.Context(), uuid.NewString(), &whispererv1.LedgerBatch{Facts: []*whispererv1.DeliveryFact{{
		DeliveryId: id[:], HookId: hook[:], Tenant: "default", EventId: "e", EventType: "order.created", PublishedAt: noon.UnixNano(),
		State: string(webhook.Delivered), Attempts: 1, At: noon.UnixNano(),
	}}}))
	return store.DeliveryKey{ID: id, PublishedAt: noon}
}

// record writes and acks the oldest batch.
func (b *books) record() {
	messages, ok := b.sub.TakeBatch(b.t.Context(), nil, 1)
	require.True(b.t, ok)
	batch := &whispererv1.LedgerBatch{}
	require.NoError(b.t, proto.Unmarshal(messages[0].Data, batch))
	require.NoError(b.t, b.recorder.WriteFacts(b.t.Context(), []*whispererv1.LedgerBatch{batch}))
	require.NoError(b.t, messages[0].Ack())
}

type certainty struct {
	recorded map[uuid.UUID]store.Recorded
	err      error
}

func (b *books) ask(keys ...store.DeliveryKey) <-chan certainty {
	answer := make(chan certainty, 1)
	go func() {
		recorded, err := b.reader.Certain(b.t.Context(), keys)
		answer <- certainty{recorded, err}
	}()
	return answer
}

func TestWhatTheLedgerSaysIsCertain(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	recorded, err := b.reader.Certain(t.Context(), []store.DeliveryKey{{ID: uuid.New(), PublishedAt: noon}})
	require.NoError(t, err, "an empty ledger is certain")
	require.Empty(t, recorded)

	first := b.tell()
	earlier := b.ask(first)
	require.Never(t, func() bool { return len(earlier) > 0 }, 300*time.Millisecond, 10*time.Millisecond, "the recorder is behind")
	second := b.tell()
	later := b.ask(second)
	require.Never(t, func() bool { return len(later) > 0 }, 100*time.Millisecond, 10*time.Millisecond)
	b.record()
	answer := <-earlier
	require.NoError(t, answer.err)
	require.Equal(t, webhook.Delivered, answer.recorded[first.ID].State)
	require.Never(t, func() bool { return len(later) > 0 }, 300*time.Millisecond, 10*time.Millisecond,
		"who asks while another is answered gets no older an answer")
	b.record()
	answer = <-later
	require.NoError(t, answer.err)
	require.Equal(t, webhook.Delivered, answer.recorded[second.ID].State)
}

func TestALedgerThatStaysBehindCannotBeAsked(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	key := b.tell()
	started := time.Now()
	_, err := b.reader.Certain(t.Context(), []store.DeliveryKey{key})
	require.ErrorIs(t, err, ledger.ErrBehind)
	require.Less(t, time.Since(started), 30*time.Second)
	recorded, err := b.reader.Now(t.Context(), []store.DeliveryKey{key})
	require.NoError(t, err)
	require.Empty(t, recorded)
	b.record()
	recorded, err = b.reader.Certain(t.Context(), []store.DeliveryKey{key})
	require.NoError(t, err)
	require.Len(t, recorded, 1)
}

func TestManyCanAskAtOnce(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	var keys []store.DeliveryKey
	var answers []<-chan certainty
	for range 10 {
		keys = append(keys, b.tell())
		for range 5 {
			answers = append(answers, b.ask(keys...))
		}
	}
	for range keys {
		b.record()
	}
	for i, answer := range answers {
		got := <-answer
		require.NoError(t, got.err)
		require.Len(t, got.recorded, i/5+1)
	}
}
