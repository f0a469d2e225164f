package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/publisher"
)

const (
	// DefaultBatch is Options.Batch where that is zero.
	DefaultBatch = 500
	// batchBytes is how many bytes of bodies a batch has at most, or one body.
	batchBytes = 8 << 20
	// DefaultIdle is Options.Idle where that is zero.
	DefaultIdle = time.Second
	// busyPoll is how soon the outbox is looked at again while events come, and until none has come busyLooks times.
	busyPoll  = 50 * time.Millisecond
	busyLooks = 20
	// longestPause is how soon the relay tries again at last, while it fails.
	longestPause = time.Second
	// passTimeout bounds one pass, which is not cut short by the end of the program.
	passTimeout = 15 * time.Second
	// publishTimeout is its part for publishing: what is stored by then gets deleted.
	publishTimeout = 10 * time.Second
)

// Options are a Relay's. DB and Publisher are required.
type Options struct {
	// DB has the outbox in its search path. The relay uses one connection of it.
	DB *sql.DB
	// Publisher says where to, and whose events those are that name no tenant.
	Publisher *publisher.Publisher
	// Batch is how many events the relay holds in memory at most, up to 1,000. They have at most 8 MiB in all.
	Batch int
	// Idle is how often to look at an outbox that was empty for a second; until then it is every 50 ms.
	Idle time.Duration

	// What follows is called from Run, one at a time, and may be nil.

	// Published tells how many events were stored, and how long the first of them had waited.
	Published func(events int, waited time.Duration)
	// Rejected tells of an event that was moved to whisperer_outbox_rejected.
	Rejected func(Rejection)
	// Failed tells why a pass came to nothing; the relay tries again within a second.
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

// New makes a relay; Run starts it.
func New(o Options) *Relay {
	o.Idle = cmp.Or(o.Idle, DefaultIdle)
	o.Batch = min(cmp.Or(o.Batch, DefaultBatch), 1000)
	return &Relay{opts: o, wake: make(chan struct{}, 1)}
}

// Wake has the relay look at the outbox now. It is never necessary: call it after a commit in the same process, or when
// a LISTEN of the program's own was notified, where Options.Idle is too long to wait.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Run relays until ctx ends and what is under way is settled, which takes 15 s at most. Any number of relays, in any
// processes, can run on one outbox: one of them works, and within Options.Idle of its end another one does: half a
// minute, where it did not end but is frozen or cut off.
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

// Backlog is what waits in the outbox.
type Backlog struct {
	Events int64
	// Oldest is how long the first of them has waited; 0 where there is none.
	Oldest time.Duration
}

// Backlog counts what waits; for a gauge that is read every few seconds.
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
