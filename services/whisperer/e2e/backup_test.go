package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/localpg"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// drill is a system with its own PostgreSQL and NATS, which get lost. It has a hook that accepts everything, one that
// is paused, and one whose receiver fails.
type drill struct {
	*system

	server               *localpg.Server
	nats                 string
	good, paused, failed string
	mended               atomic.Bool
	programs             []*program
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	d := &drill{}
	var err error
	d.server, err = localpg.Start(t.Context(), localpg.Options{TCP: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.server.Stop(context.Background())) })
	d.nats = startNATS(t)
	_, err = store.Migrate(t.Context(), d.server.URL("postgres"))
	require.NoError(t, err)
	d.system = newSystemOn(t, d.server.URL("postgres"), d.nats)
	d.receiver.React(func(q testenv.Received) testenv.Answer {
		if q.Path == "/failed" && !d.mended.Load() {
			return testenv.Answer{Status: http.StatusServiceUnavailable}
		}
		return testenv.Answer{Status: http.StatusOK}
	})
	hook := func(path, status string) string {
		return d.hook(fmt.Sprintf(`{"event_type":"order.created","target_url":"%s/%s","secret_key":"%s","status":"%s",
			"retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":3}}}`, d.receiver.URL, path, secret, status))
	}
	d.good, d.paused, d.failed = hook("good", "active"), hook("paused", "paused"), hook("failed", "active")
	d.work()
	return d
}

func startNATS(t *testing.T) string {
	t.Helper()
	server, err := natsd.Start(t.Context(), natsd.Options{StoreDir: t.TempDir(), Port: natsd.RandomPort, MaxStore: 8 << 30})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Shutdown(context.Background())) })
	return server.ClientURL()
}

// work starts a worker without a circuit breaker, so that failed deliveries wait for their retry.
func (d *drill) work(env ...string) {
	d.t.Helper()
	d.programs = append(d.programs, d.start("delivery-worker", append(env, "WHISPERER_BREAKER_ATTEMPTS=100000")...))
}

// outage is the minimum length of the outage: workers ask the ledger about events that are older than 15 s.
const outage = 16 * time.Second

// die ends the worker as a power failure does, and returns when people would have noticed.
func (d *drill) die() {
	defer func() { <-time.After(outage) }()
	for _, p := range d.programs {
		p.signal(syscall.SIGKILL)
		<-p.ended
	}
	d.programs = nil
}

// run runs one of PostgreSQL's programs.
func (d *drill) run(name string, args ...string) {
	d.t.Helper()
	bin, err := localpg.Find(d.t.Context())
	require.NoError(d.t, err)
	printed, err := exec.CommandContext(d.t.Context(), filepath.Join(bin, name), args...).CombinedOutput()
	require.NoError(d.t, err, string(printed))
}

// traffic publishes events until stop is called, which returns the ids that were acknowledged, and when.
func (d *drill) traffic(prefix string) (stop func() map[string]time.Time) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.t.Context()))
	acked := map[string]time.Time{}
	var open sync.WaitGroup
	open.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			id := fmt.Sprintf("%s-%d", prefix, n)
			if d.publish(context.WithoutCancel(ctx), `{"event_id":"`+id+`","data":{"n":`+fmt.Sprint(n)+`}}`) == nil {
				acked[id] = time.Now()
			}
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Millisecond):
			}
		}
	})
	return func() map[string]time.Time {
		cancel()
		open.Wait()
		return acked
	}
}

// before publishes events and returns when they are delivered, parked and waiting, and the ledger has recorded that.
func (d *drill) before(n int) []string {
	d.t.Helper()
	var ids []string
	for id := range d.load(n) {
		ids = append(ids, id)
	}
	d.await(d.good, ids, webhook.Delivered)
	d.await(d.paused, ids, webhook.Parked)
	d.await(d.failed, ids, webhook.Waiting)
	require.Eventually(d.t, func() bool { // events are recorded separately from their deliveries
		lag, err := d.bus.Lag(d.t.Context(), bus.EventRecorder)
		return err == nil && lag.Pending+lag.InFlight == 0
	}, 2*time.Minute, 10*time.Millisecond)
	return ids
}

func (d *drill) await(hook string, ids []string, state webhook.DeliveryState) {
	d.t.Helper()
	want := map[string]webhook.DeliveryState{}
	for _, id := range ids {
		want[id] = state
	}
	d.awaitRecorded(hook, want, 0)
}

// goOn starts everything on a database and a NATS, with the previous master key and token, and removes what kept
// deliveries from being made.
func (d *drill) goOn(database, nats string) {
	d.t.Helper()
	d.env = append(slices.Clip(d.env), "WHISPERER_DATABASE_URL="+database, "WHISPERER_NATS_URL="+nats) // the last setting of a variable counts
	ring, err := seal.ParseRing(d.masterKey)
	require.NoError(d.t, err)
	d.db, err = store.Open(database, 4, ring)
	require.NoError(d.t, err)
	db := d.db
	d.t.Cleanup(func() { _ = db.Close() })
	d.bus, err = bus.Connect(d.t.Context(), bus.Options{URL: nats, Name: "test", Log: zap.NewNop()})
	require.NoError(d.t, err)
	d.t.Cleanup(d.bus.Close)
	address := freeAddress(d.t)
	d.api = "http://" + address
	d.start("subscription-api", "WHISPERER_LISTEN="+address)
	d.work("WHISPERER_SWEEP_AFTER=2s", "WHISPERER_HOUSEKEEP_EVERY=1s") // it soon looks for deliveries that are in no place
	d.mended.Store(true)
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.api+"/whisperer/hooks/"+d.paused+"/resume/", nil)
	require.NoError(d.t, err)
	req.Header.Set("Authorization", "Token "+d.token) // the backup contains it, too
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	require.NoError(d.t, err)
	defer res.Body.Close()
	require.Equal(d.t, http.StatusOK, res.StatusCode)
}

// allArrive requires every event to be delivered to every hook.
func (d *drill) allArrive(ids []string) {
	d.t.Helper()
	for _, hook := range []string{d.good, d.paused, d.failed} {
		d.await(hook, ids, webhook.Delivered)
	}
	came := map[string]bool{}
	for _, q := range d.receiver.All() {
		came[q.Path+eventID(q)] = true
	}
	for _, path := range []string{"/good", "/paused", "/failed"} {
		for _, id := range ids {
			require.True(d.t, came[path+id], "%s did not reach %s", id, path)
		}
	}
}

// onlyOnce requires each of the events to have arrived once at the hook that accepts everything.
func (d *drill) onlyOnce(ids []string) {
	d.t.Helper()
	times := map[string]int{}
	for _, q := range d.receiver.All() {
		if q.Path == "/good" {
			times[eventID(q)]++
		}
	}
	for _, id := range ids {
		require.Equal(d.t, 1, times[id], "%s was recorded before the backup", id)
	}
}

func keys(acked map[string]time.Time, until time.Time) []string {
	var ids []string
	for id, at := range acked {
		if at.Before(until) {
			ids = append(ids, id)
		}
	}
	return ids
}

// setAside makes PostgreSQL refuse to record one event, which a worker then sets aside.
func (d *drill) setAside(id string) {
	d.t.Helper()
	_, err := d.plain().ExecContext(d.t.Context(), `ALTER TABLE events ADD CONSTRAINT events_refused CHECK (id <> '`+id+`') NOT VALID`)
	require.NoError(d.t, err)
	require.NoError(d.t, d.publish(d.t.Context(), `{"event_id":"`+id+`","data":{"n":1}}`))
	n := 0
	require.Eventually(d.t, func() bool { // the event is only set aside after another one was recorded
		n++
		require.NoError(d.t, d.publish(d.t.Context(), fmt.Sprintf(`{"event_id":"beside-%s-%d","data":{"n":1}}`, id, n)))
		aside, err := d.bus.Aside().Count(d.t.Context())
		return err == nil && aside == 1
	}, 2*time.Minute, 200*time.Millisecond, "it is set aside")
}

// putBack removes the cause, and makes the API put back what was set aside.
func (d *drill) putBack(id string) {
	d.t.Helper()
	_, err := d.plain().ExecContext(d.t.Context(), `ALTER TABLE events DROP CONSTRAINT events_refused`)
	require.NoError(d.t, err)
	status, text := ask(d.t, http.MethodPost, d.api+"/whisperer/ledger/set-aside/put-back/", d.token, `{"all":true}`)
	require.Equal(d.t, http.StatusOK, status, text)
	require.Contains(d.t, text, `"stay":0`)
	require.NotContains(d.t, text, `"put_back":0`)
	_, err = d.db.History.FindEvent(d.t.Context(), webhook.DefaultTenant, id)
	require.NoError(d.t, err, "it is in the ledger")
	n, err := d.bus.Aside().Count(d.t.Context())
	require.NoError(d.t, err)
	require.Zero(d.t, n)
}

func TestABackupUnderTrafficIsRestoredAndLosesNothing(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	before := d.before(100)
	d.setAside("refused")
	const own = webhook.ReservedIDPrefix + "rehearsal"
	told := d.hook(fmt.Sprintf(`{"event_type":"delivery.dead","target_url":"%s/own","secret_key":"%s","status":"paused"}`, d.receiver.URL, secret))
	stop := d.traffic("during")

	// The backup: PostgreSQL first, so that the event log contains everything that the ledger knows.
	dump := filepath.Join(t.TempDir(), "whisperer.dump")
	d.run("pg_dump", "--format=custom", "--file="+dump, d.server.URL("postgres"))
	require.NoError(t, d.bus.PublishOwn(t.Context(), bus.Outgoing{Tenant: webhook.DefaultTenant, Type: "delivery.dead", ID: own, Body: []byte(`{"event_id":"` + own + `","data":{}}`)}))
	var streams []testenv.StreamBackup
	began := time.Now()
	for _, name := range []string{bus.StreamRetries, bus.StreamLedger, bus.StreamAside, bus.StreamOwn, bus.StreamOMS} {
		streams = append(streams, testenv.BackUpStream(t, d.nats, name))
	}

	acked := stop()
	require.NotEmpty(t, keys(acked, began), "nothing was published while the backup was made")
	d.die() // and everything is lost

	database, nats := d.server.URL("restored"), startNATS(t)
	d.run("createdb", "--maintenance-db="+d.server.URL("postgres"), "restored")
	d.run("pg_restore", "--dbname="+database, dump)
	for _, s := range streams {
		testenv.RestoreStream(t, nats, s)
	}
	d.goOn(database, nats)
	d.allArrive(slices.Concat(before, keys(acked, began)))
	d.onlyOnce(before)
	status, text := ask(t, http.MethodPost, d.api+"/whisperer/hooks/"+told+"/resume/", d.token, "")
	require.Equal(t, http.StatusOK, status, text)
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(d.receiver.All(), func(q testenv.Received) bool { return q.Path == "/own" && eventID(q) == own })
	}, 2*time.Minute, 50*time.Millisecond, "what Whisperer published itself is in its own stream alone")
	d.putBack("refused")
	extras(t, slices.DeleteFunc(d.receiver.All(), func(q testenv.Received) bool { return q.Path == "/failed" })) // the same ids with the same bytes
}

func TestAnOlderDatabaseIsBroughtUpToTheEventLog(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	before := d.before(100)
	dump := filepath.Join(t.TempDir(), "whisperer.dump")
	d.run("pg_dump", "--format=custom", "--file="+dump, d.server.URL("postgres"))
	acked := keys(func() map[string]time.Time {
		stop := d.traffic("since")
		require.Eventually(t, func() bool { return len(distinct(d.receiver.All())) > len(before)+50 }, 2*time.Minute, 10*time.Millisecond)
		return stop()
	}(), time.Now())
	d.await(d.paused, acked, webhook.Parked) // it is lost with the database and exists nowhere else
	d.die()

	database := d.server.URL("restored")
	d.run("createdb", "--maintenance-db="+d.server.URL("postgres"), "restored")
	d.run("pg_restore", "--dbname="+database, dump)
	for _, consumer := range []bus.Consumer{bus.Fanout, bus.EventRecorder} {
		for _, name := range d.bus.Streams().Durables(consumer) {
			testenv.RemoveConsumer(t, d.nats, bus.StreamOMS, name)
		}
	}
	d.goOn(database, d.nats)
	d.allArrive(slices.Concat(before, acked))
	d.onlyOnce(before)
}

func TestWithoutTheBackupOfNATSWhatIsPublishedAgainIsMadeUpFor(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	before := d.before(100)
	d.receiver.Delay(time.Minute) // so that these are in flight
	var lost []string
	for n := range 20 {
		id := fmt.Sprintf("lost-%d", n)
		require.NoError(t, d.publish(t.Context(), `{"event_id":"`+id+`","data":{"n":`+fmt.Sprint(n)+`}}`))
		lost = append(lost, id)
	}
	require.Eventually(t, func() bool { return d.receiver.InFlight() >= len(lost) }, 2*time.Minute, 10*time.Millisecond)
	d.die()
	d.receiver.Delay(0)

	nats := startNATS(t) // an empty one
	came := len(d.receiver.All())
	d.goOn(d.server.URL("postgres"), nats)
	// The sweep finds what was scheduled.
	require.Eventually(t, func() bool {
		found := map[string]bool{}
		for _, q := range d.receiver.All()[came:] {
			found[q.Path+eventID(q)] = true
		}
		return !slices.ContainsFunc(before, func(id string) bool { return !found["/failed"+id] })
	}, 2*time.Minute, 50*time.Millisecond)
	for _, id := range lost {
		require.NoError(t, d.publish(t.Context(), `{"event_id":"`+id+`","data":{"n":`+strings.TrimPrefix(id, "lost-")+`}}`))
	}
	d.allArrive(slices.Concat(before, lost))
	d.onlyOnce(before)
}
