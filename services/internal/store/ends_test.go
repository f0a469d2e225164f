package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Which deliveries end follows from the hook's row alone, whatever the caller believes.
func TestDeliveriesEndByWhatTheRowOfTheirHookSays(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	set := func(status string) func(id uuid.UUID) {
		return func(id uuid.UUID) { plain.MustExec(`UPDATE hooks SET status = $2 WHERE id = $1`, id, status) }
	}
	for name, test := range map[string]struct {
		change          func(id uuid.UUID)
		hook, callback  webhook.Reason
		parked, waiting webhook.DeliveryState
	}{
		"active":   {set("active"), "", "", webhook.Parked, webhook.Waiting},
		"paused":   {set("paused"), "", "", webhook.Parked, webhook.Waiting},
		"disabled": {set("disabled"), webhook.ReasonHookDisabled, "", webhook.Dead, webhook.Waiting},
		"without a callback any more": {
			func(id uuid.UUID) { plain.MustExec(`UPDATE hooks SET callback = NULL WHERE id = $1`, id) },
			"", webhook.ReasonHookDeleted, webhook.Parked, webhook.Waiting,
		},
		"deleted": {
			func(id uuid.UUID) { plain.MustExec(`DELETE FROM hooks WHERE id = $1`, id) },
			webhook.ReasonHookDeleted, webhook.ReasonHookDeleted, webhook.Cancelled, webhook.Cancelled,
		},
	} {
		h := simpleHook(1)
		h.Name, h.TargetURL = name, h.TargetURL+"/"+name
		h.Callback = &webhook.Callback{URL: "https://example.com/callback"}
		h, err := db.Hooks.Create(t.Context(), actor, h, quota, store.IdempotencyKey{})
		require.NoError(t, err)
		carrier := webhook.CallbackHookID(h.ID)
		states := func(hook uuid.UUID) []webhook.DeliveryState {
			var list []webhook.DeliveryState
			require.NoError(t, plain.Select(&list, `SELECT state FROM deliveries WHERE hook_id = $1 ORDER BY event_id`, hook))
			return list
		}
		var facts []*whispererv1.DeliveryFact
		for hook, eventType := range map[uuid.UUID]string{h.ID: "order.created", carrier: webhook.CallbackType(h.ID)} {
			for id, state := range map[string]webhook.DeliveryState{"1": webhook.Delivered, "2": webhook.Parked, "3": webhook.Waiting} {
				delivery := webhook.DeliveryID(hook, id)
				facts = append(facts, &whispererv1.DeliveryFact{
					DeliveryId: delivery[:], HookId: hook[:], Tenant: h.Tenant, EventId: id, EventType: eventType,
					PublishedAt: noon.UnixNano(), State: string(state), At: time.Now().UnixNano(), First: true,
				})
			}
		}
		require.NoError(t, recorder(t, db).WriteFacts(t.Context(), []*whispererv1.LedgerBatch{{Facts: facts}}))
		test.change(h.ID)
		for hook, reason := range map[uuid.UUID]webhook.Reason{h.ID: test.hook, carrier: test.callback} {
			var n int64
			for more := true; more; { // one delivery at a time
				ended, err := db.Queue.EndDeliveries(t.Context(), hook, 1)
				require.NoError(t, err)
				require.Equal(t, reason, ended.Reason, name)
				n += ended.N
				more = ended.N > 0
			}
			want := []webhook.DeliveryState{webhook.Delivered, test.parked, test.waiting}
			if hook == carrier {
				want = []webhook.DeliveryState{webhook.Delivered, webhook.Parked, webhook.Waiting}
				if reason == webhook.ReasonHookDeleted {
					want = []webhook.DeliveryState{webhook.Delivered, webhook.Cancelled, webhook.Cancelled}
				}
			}
			require.Equal(t, want, states(hook), name)
		}
	}
}
