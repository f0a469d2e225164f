package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/publisher"
)

const (
	// DefaultBatch is the default of Options.Batch.
	DefaultBatch = 500
	// batchBytes bounds the bodies of a batch in bytes, unless a single body is larger.
	batchBytes = 8 << 20
	// DefaultIdle is the default of Options.Idle.
	DefaultIdle = time.Second
	// busyPoll is the polling interval while events come, and until busyLooks polls in a row have found none.
	busyPoll  = 50 * time.Millisecond
	busyLooks = 20
	// longestPause is the longest pause between retries after failures.
	longestPause = time.Second
	// passTimeout bounds one pass, which continues even when the program ends.
	passTimeout = 15 * time.Second
	// publishTimeout is the part of it for publishing. What is stored by then is deleted.
	publishTimeout = 10 * time.Second
)

// Options configure a Relay. DB and Publisher are required.
type Options struct {
	// DB has the outbox in its search path. The relay uses one connection of it.
	DB *sql.DB
	// Publisher publishes the events; its tenant is used for events that name none.
	Publisher *publisher.Publisher
	// Batch is the maximum number of events that the relay holds in memory, up to 1,000. Together they have at most 8
	// MiB.
	Batch int
	// Idle is the polling interval once the outbox has been empty for a second; before that it is 50 ms.
	Idle time.Duration

	// The following functions are called from Run, one at a time, and may be nil.

	// Published reports how many events were stored, and how long the first of them had waited.
	Published func(events int, waited time.Duration)
	// Rejected reports an event that was moved to whisperer_outbox_rejected.
	Rejected func(Rejection)
	// Failed reports why a pass failed; the relay retries within a second.
	Failed func(error)
}

// Rejection is an event that can never be published.
type Rejection struct {
	Position         int64
	ID, Tenant, Type string
	// Reason is one sentence for people.
	Reason string
}

// Relay moves events from the outbox to NATS.
type Relay struct {
	opts Options
	wake chan struct{}
}

// New returns a relay; Run starts it.
func New(o Options) *Relay {
	o.Idle = cmp.Or(o.Idle, DefaultIdle)
	o.Batch = min(cmp.Or(o.Batch, DefaultBatch), 1000)
	return &Relay{opts: o, wake: make(chan struct{}, 1)}
}

// Wake makes the relay poll the outbox now. It is optional: call it if Options.Idle is too long to wait, after a
// commit in the same process, or when the program's own LISTEN was notified.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // it is about to poll anyway
	}
}

// Run relays events until ctx ends and the current pass is finished, which takes at most 15 s. Any number of relays,
// in any processes, can run on one outbox. One of them works. When it ends, another takes over within Options.Idle;
// if it is frozen or cut off, within half a minute.
func (r *Relay) Run(ctx context.Context) {
	empty, failures := 0, 0 // in a row
	for ctx.Err() == nil {
		done, err := r.pass(ctx)
		switch {
		case err != nil:
			if r.opts.Failed != nil {
				r.opts.Failed(err)
			}
			r.rest(ctx, min(busyPoll<<min(failures, 10), longestPause))
			failures++
			continue
		case done.took:
			empty = 0
		default:
			empty++
		}
		failures = 0
		switch {
		case done.full:
		case empty < busyLooks:
			r.rest(ctx, busyPoll)
		default:
			r.rest(ctx, r.opts.Idle)
		}
	}
}

func (r *Relay) rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-r.wake:
	case <-timer.C:
	}
}

// Backlog describes the events that wait in the outbox.
type Backlog struct {
	Events int64
	// Oldest is how long the first of them has waited, or 0 if there is none.
	Oldest time.Duration
}

// Backlog counts the events that wait, for a gauge that is read every few seconds.
func (r *Relay) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	var seconds float64
	err := r.opts.DB.QueryRowContext(ctx, `SELECT count(*), COALESCE(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
		FROM whisperer_outbox`).Scan(&b.Events, &seconds)
	if err != nil {
		return Backlog{}, wrap("count outbox", err)
	}
	b.Oldest = time.Duration(seconds * float64(time.Second))
	return b, nil
}
