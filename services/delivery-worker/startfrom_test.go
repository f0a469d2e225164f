package deliveryworker_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// past is a world with a hook that starts from a time in the past.
type past struct {
	*world
	plain *sql.DB
	hook  webhook.Hook
	want  []string
}

// newPast publishes events, has them recorded as if they were some minutes old, and then creates an ordered hook that wants
// them.
func newPast(t *testing.T, ordering string, n int) *past {
	p := &past{world: newWorld(t)}
	var err error
	p.plain, err = sql.Open("postgres", p.config.DatabaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.plain.Close() })
	stop := p.run()
	p.publishNumbered("old", n)
	stop()
	p.change(`UPDATE events SET published_at = published_at - interval '5 minutes'`)
	p.hook = p.world.hook("/a", func(h *webhook.Hook) {
		h.Config = config(t, `{"ordering":"`+ordering+`","start_from":"PT1H"}`)
	})
	p.run() // the worker knows the hook now
	return p
}

func (p *past) change(statement string) {
	p.t.Helper()
	_, err := p.plain.ExecContext(p.t.Context(), `SELECT whisperer_ensure_day((now() - interval '1 hour')::date)`)
	require.NoError(p.t, err)
	_, err = p.plain.ExecContext(p.t.Context(), statement)
	require.NoError(p.t, err)
}

// publishNumbered publishes n events of one entity and waits until they are recorded.
func (p *past) publishNumbered(name string, n int) {
	p.t.Helper()
	for i := range n {
		id := fmt.Sprintf("%s-%03d", name, i)
		p.publish("order.created", `{"event_id":"`+id+`","entity":"order:1","data":{}}`)
		p.want = append(p.want, id)
	}
	p.eventRecorded(p.want[len(p.want)-1])
	require.Eventually(p.t, func() bool {
		var there int
		require.NoError(p.t, p.plain.QueryRowContext(p.t.Context(), `SELECT count(*) FROM events`).Scan(&there))
		return there == len(p.want)
	}, 2*time.Minute, 10*time.Millisecond)
}

// work runs one batch of the job, as the API does when it is due.
func (p *past) work() {
	p.t.Helper()
	p.change(`UPDATE jobs SET next_at = now()`)
	_, err := p.db.Jobs.RunBatch(p.t.Context(), func(h *webhook.Hook) func(*webhook.Event) bool { return h.Matches })
	require.NoError(p.t, err)
}

func (p *past) job() store.Job {
	p.t.Helper()
	list, _, err := p.db.Jobs.List(p.t.Context(), webhook.DefaultTenant, p.hook.ID, store.Page{Limit: 10})
	require.NoError(p.t, err)
	require.Len(p.t, list, 1)
	return list[0]
}

func (p *past) got() []string {
	var ids []string
	for _, q := range p.receiver.Got("/a") {
		ids = append(ids, q.Header.Get("X-Whisperer-Event-Id"))
	}
	return ids
}

func (p *past) finish() {
	p.t.Helper()
	p.change(`UPDATE jobs SET to_at = now() - interval '90 seconds'`) // instead of waiting until that time is past
	for p.job().State == store.JobRunning {
		p.work()
	}
	require.Equal(p.t, store.JobCompleted, p.job().State)
}

func TestAnOrderedHookGetsThePastFirstAndThenWhatIsNew(t *testing.T) {
	t.Parallel()
	for _, ordering := range []string{"hook", "entity"} {
		t.Run(ordering, func(t *testing.T) {
			t.Parallel()
			p := newPast(t, ordering, 150)
			p.publishNumbered("new", 30)
			first := webhook.DeliveryID(p.hook.ID, "new-000")
			require.Eventually(t, func() bool {
				d, _, err := p.db.History.GetDelivery(t.Context(), webhook.DefaultTenant, first)
				return err == nil && d.State == webhook.Parked
			}, 2*time.Minute, 10*time.Millisecond)
			p.work()
			require.Eventually(t, func() bool { return len(p.got()) >= 100 }, 2*time.Minute, 10*time.Millisecond)
			require.Equal(t, p.want[:100], p.got(), "what is new waits for the rest of the past")
			p.finish()
			require.Eventually(t, func() bool { return len(p.got()) >= len(p.want) }, 2*time.Minute, 10*time.Millisecond)
			require.Equal(t, p.want, p.got())
		})
	}
}

func TestAnOrderedHookGetsThePastOfAStreamThatWasLost(t *testing.T) {
	t.Parallel()
	p := newPast(t, "hook", 20)
	p.change(`UPDATE events SET seq = seq + 1000000`)
	p.publishNumbered("new", 5)
	p.finish()
	require.Eventually(t, func() bool { return len(p.got()) >= len(p.want) }, 2*time.Minute, 10*time.Millisecond)
	require.Equal(t, p.want, p.got())
}

func TestAJobThatIsCancelledHoldsNothingBack(t *testing.T) {
	t.Parallel()
	p := newPast(t, "hook", 5)
	p.publishNumbered("new", 5)
	_, err := p.db.Jobs.SetState(context.WithoutCancel(t.Context()), "test", webhook.DefaultTenant, p.job().ID, store.JobCancelled)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(p.got()) >= 5 }, 2*time.Minute, 10*time.Millisecond)
	require.Equal(t, p.want[5:], p.got())
}
