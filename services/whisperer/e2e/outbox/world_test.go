package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/publisher"
	"github.com/whisperer-oms/whisperer/pkg/publisher/outbox"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// patience is how long something may take to come true on a busy machine.
const patience = 2 * time.Minute

// world is a program's database with an outbox, and a nats-server that can be stopped.
type world struct {
	t    *testing.T
	db   *sql.DB
	bus  *bus.Bus // of the observer
	url  string
	dir  string
	port int
	stop func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, db: testenv.DB(t), dir: t.TempDir(), port: natsd.RandomPort}
	_, err := w.db.ExecContext(t.Context(), outbox.Schema)
	require.NoError(t, err)
	w.startNATS()
	t.Cleanup(func() { w.stop() })
	w.bus, err = bus.Connect(t.Context(), bus.Options{URL: w.url, Name: "test", OMSMaxBytes: 256 << 20, Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(w.bus.Close)
	require.NoError(t, w.bus.Streams().Ensure(t.Context()))
	return w
}

// startNATS starts the server, with the same port and store each time.
func (w *world) startNATS() {
	w.t.Helper()
	s, err := natsd.Start(context.Background(), natsd.Options{StoreDir: w.dir, Port: w.port})
	require.NoError(w.t, err)
	w.url = s.ClientURL()
	u, err := url.Parse(w.url)
	require.NoError(w.t, err)
	w.port, err = strconv.Atoi(u.Port())
	require.NoError(w.t, err)
	w.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(w.t, s.Shutdown(ctx))
	})
}

// limit limits the size of the event log.
func (w *world) limit(size int64) {
	w.t.Helper()
	b, err := bus.Connect(w.t.Context(), bus.Options{URL: w.url, Name: "limit", OMSMaxBytes: size, Log: zap.NewNop()})
	require.NoError(w.t, err)
	defer b.Close()
	require.NoError(w.t, b.Streams().ApplySettings(w.t.Context()))
}

// relaying is a running relay, and what it reported.
type relaying struct {
	*outbox.Relay
	stop func()

	mu        sync.Mutex
	published int
	rejected  []outbox.Rejection
	failures  []error
}

// relay starts a relay; it is stopped at the end of the test at the latest.
func (w *world) relay(more ...func(*outbox.Options)) *relaying {
	w.t.Helper()
	p, err := publisher.New(w.t.Context(), publisher.Options{URL: w.url, Tenant: "acme", Name: "relay"})
	require.NoError(w.t, err)
	r := &relaying{}
	options := outbox.Options{
		DB: w.db, Publisher: p,
		Published: func(n int, _ time.Duration) { r.note(func() { r.published += n }) },
		Rejected:  func(x outbox.Rejection) { r.note(func() { r.rejected = append(r.rejected, x) }) },
		Failed:    func(err error) { r.note(func() { r.failures = append(r.failures, err) }) },
	}
	for _, change := range more {
		change(&options)
	}
	r.Relay = outbox.New(options)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		r.Run(ctx)
		close(ended)
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		p.Close()
	})
	w.t.Cleanup(r.stop)
	return r
}

func (r *relaying) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *relaying) failed() (n int) {
	r.note(func() { n = len(r.failures) })
	return n
}

func event(id string) publisher.Event {
	return publisher.Event{ID: id, Type: "order.created", Entity: "order:" + id, Data: map[string]string{"id": id}}
}

// write commits one transaction with these events.
func (w *world) write(ids ...string) {
	w.t.Helper()
	tx, err := w.db.BeginTx(w.t.Context(), nil)
	require.NoError(w.t, err)
	for _, id := range ids {
		require.NoError(w.t, outbox.Write(w.t.Context(), tx, event(id)))
	}
	require.NoError(w.t, tx.Commit())
}

// drained waits until the outbox is empty.
func (w *world) drained() {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.count("whisperer_outbox") == 0 }, patience, 20*time.Millisecond)
}

// empties reports whether the outbox becomes empty within the time.
func (w *world) empties(within time.Duration) bool {
	w.t.Helper()
	for until := time.Now().Add(within); time.Now().Before(until); {
		if w.count("whisperer_outbox") == 0 {
			return true
		}
	}
	return false
}

func (w *world) count(table string) (n int) {
	w.t.Helper()
	require.NoError(w.t, w.db.QueryRowContext(w.t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
	return n
}

// stream reads all stored events.
func (w *world) stream() []webhook.Event {
	w.t.Helper()
	lag, err := w.bus.Lag(w.t.Context(), bus.Fanout)
	require.NoError(w.t, err)
	var all []webhook.Event
	for i := range lag.Last {
		m, err := w.bus.Event(w.t.Context(), webhook.Sequence(i+1))
		require.NoError(w.t, err)
		e, err := envelope.Decode(m)
		require.NoError(w.t, err)
		all = append(all, e)
	}
	return all
}

func ids(events []webhook.Event) []string {
	all := make([]string, len(events))
	for i := range events {
		all[i] = events[i].ID
	}
	return all
}

func numbers(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint("n", i))
	}
	return all
}
