package httpapi_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	deliveriesURL = "/whisperer/deliveries/"
	jobsURL       = "/whisperer/jobs/"
)

// recorded writes facts to the ledger, as a worker's recorder does.
func (w *world) recorded(t *testing.T, facts ...*whispererv1.DeliveryFact) {
	t.Helper()
	r := w.db.Ledger.NewRecorder()
	defer r.Close()
	require.NoError(t, r.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{{Worker: "w-1", Facts: facts}}))
}

// published writes events to the ledger.
func (w *world) published(t *testing.T, events ...webhook.Event) {
	t.Helper()
	r := w.db.Ledger.NewRecorder()
	defer r.Close()
	require.NoError(t, r.WriteEvents(t.Context(), events))
}

// newEvent returns an event of the default tenant that was published this long ago.
func newEvent(id string, seq uint64, eventType, entity string, ago time.Duration) webhook.Event {
	at := time.Now().Add(-ago).UTC().Truncate(time.Microsecond)
	return webhook.Event{
		ID: id, Tenant: webhook.DefaultTenant, Type: eventType, Time: at, PublishedAt: at, Seq: webhook.Sequence(seq), Entity: entity,
		Data: []byte(fmt.Sprintf(`{"n":%d.50}`, seq)),
	}
}

// newFact returns the fact of a delivery in a state, after one attempt with the HTTP status; status -1 means no
// attempt.
func newFact(hook uuid.UUID, e *webhook.Event, state webhook.DeliveryState, reason webhook.Reason, status int) *whispererv1.DeliveryFact {
	id := webhook.DeliveryID(hook, e.ID)
	f := &whispererv1.DeliveryFact{
		DeliveryId: id[:], HookId: hook[:], Tenant: e.Tenant, EventId: e.ID, EventType: e.Type, Entity: e.Entity, EventSeq: uint64(e.Seq),
		PublishedAt: e.PublishedAt.UnixNano(), State: string(state), Reason: string(reason), At: e.PublishedAt.Add(time.Second).UnixNano(),
	}
	if state == webhook.Waiting {
		f.NextAt = time.Now().Add(time.Hour).UnixNano()
	}
	if status < 0 {
		return f
	}
	f.Attempts, f.RoundAttempts, f.RoundStartedAt = 1, 1, e.PublishedAt.UnixNano()
	f.Attempt = &whispererv1.AttemptFact{
		Number: 1, StartedAt: e.PublishedAt.Add(10 * time.Millisecond).UnixNano(), Duration: int64(250 * time.Millisecond),
		Outcome: string(webhook.Succeeded), Status: uint32(status), Method: "POST", Url: "http://example.com/a", RequestSize: 12,
		RequestHeaders:  "Webhook-Id: " + id.String(),
		ResponseHeaders: "X-A: 1: 2\nX-A: ",
		ResponseBody:    []byte("thanks"), Dns: int64(time.Millisecond), FirstByte: int64(20 * time.Millisecond),
	}
	switch {
	case status == 0:
		f.Attempt.Outcome, f.Attempt.ErrorClass = string(webhook.Failed), string(webhook.ClassTimeout)
	case status >= 300:
		f.Attempt.Outcome, f.Attempt.ErrorClass = string(webhook.Failed), string(webhook.ClassStatus)
	}
	return f
}

// state returns what the ledger says about a delivery.
func (w *world) state(t *testing.T, hook uuid.UUID, e *webhook.Event) store.Recorded {
	t.Helper()
	id := webhook.DeliveryID(hook, e.ID)
	found, err := w.db.Ledger.Recorded(t.Context(), []store.DeliveryKey{{ID: id, PublishedAt: e.PublishedAt}})
	require.NoError(t, err)
	return found[id]
}

func (w *world) createHook(t *testing.T, body string, change ...with) uuid.UUID {
	t.Helper()
	id, err := uuid.Parse(w.create(t, body, change...)["id"].(string))
	require.NoError(t, err)
	return id
}

// field returns one field of each of a page's results.
func field(a *answer, name string) []string {
	list := []string{}
	results, _ := a.json["results"].([]any)
	for _, r := range results {
		list = append(list, fmt.Sprint(r.(map[string]any)[name]))
	}
	return list
}
