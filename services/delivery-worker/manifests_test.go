package deliveryworker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/proof"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// sent records deliveries to a hook of events published on the day.
func (w *world) sent(h webhook.Hook, day time.Time, states ...webhook.DeliveryState) {
	w.t.Helper()
	r := w.db.Ledger.NewRecorder()
	defer r.Close()
	var facts []*whispererv1.DeliveryFact
	for i, state := range states {
		at := day.Add(time.Duration(i+1) * time.Minute)
		id := webhook.DeliveryID(h.ID, fmt.Sprintf("%s-%d", day.Format(time.DateOnly), i))
		facts = append(facts, &whispererv1.DeliveryFact{
			DeliveryId: id[:], HookId: h.ID[:], Tenant: h.Tenant, EventId: fmt.Sprintf("%s-%d", day.Format(time.DateOnly), i), EventType: "order.created",
			PublishedAt: at.UnixNano(), At: at.UnixNano(), State: string(state), Attempts: 1, First: true,
		})
	}
	require.NoError(w.t, r.WriteFacts(w.t.Context(), []*whispererv1.LedgerBatch{{Worker: "test", Facts: facts}}))
}

// manifests returns the data of the hook.manifest events received at the path, by hook and day.
func (w *world) manifests(path string) map[string]map[string]any {
	w.t.Helper()
	told := map[string]map[string]any{}
	for _, q := range w.receiver.Got(path) {
		var body struct {
			Data map[string]any `json:"data"`
		}
		require.NoError(w.t, json.Unmarshal([]byte(q.Body), &body))
		key := fmt.Sprint(body.Data["hook_id"], " ", body.Data["from"])
		require.NotContains(w.t, told, key, "each day once")
		told[key] = body.Data
	}
	return told
}

func TestEachDayOfAHookIsToldOnceWithTheDigestOfItsManifest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day := time.Now().UTC().Add(-time.Hour).Truncate(24*time.Hour).AddDate(0, 0, -1)
	shop := w.hook("/shop", func(h *webhook.Hook) { h.EventTypes = []string{"package.created"} })
	idle := w.hook("/idle", func(h *webhook.Hook) { h.EventTypes = []string{"package.created"} })
	late := w.hook("/late", func(h *webhook.Hook) { h.EventTypes = []string{"package.created"} })
	w.sent(shop, day, webhook.Delivered, webhook.Delivered, webhook.Dead)
	w.sent(shop, day.AddDate(0, 0, 1), webhook.Delivered)
	w.sent(late, day.AddDate(0, 0, -1), webhook.Delivered)
	require.NoError(t, w.db.History.NoteTold(t.Context(), late.ID, day.AddDate(0, 0, -2)), "no worker ran for a day")
	w.hook("/told", func(h *webhook.Hook) { h.EventTypes = []string{proof.EventType} })
	stop := w.run()
	w.run()
	w.receiver.Await(t, "/told", 2)
	stop() // the next housekeeper, which remembers nothing, does not publish it again
	next := w.hook("/next", func(h *webhook.Hook) { h.EventTypes = []string{"package.created"} })
	w.sent(next, day, webhook.Delivered)
	w.run()
	w.receiver.Await(t, "/told", 3)

	told := w.manifests("/told")
	require.Len(t, told, 3)
	require.NotContains(t, told, fmt.Sprint(idle.ID, " ", day.Format(time.RFC3339)))
	require.Contains(t, told, fmt.Sprint(late.ID, " ", day.AddDate(0, 0, -1).Format(time.RFC3339)))
	data := told[fmt.Sprint(shop.ID, " ", day.Format(time.RFC3339))]
	r := store.TimeRange{From: day, To: day.AddDate(0, 0, 1)}
	summary, err := proof.Write(t.Context(), shop.ID, r, func(ctx context.Context, behind *store.Position, limit int) ([]store.Sent, error) {
		return w.db.History.ListSent(ctx, shop.Tenant, shop.ID, r, behind, limit)
	}, func([]byte) error { return nil })
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"hook_id": shop.ID.String(), "name": shop.Name, "from": r.From.Format(time.RFC3339), "to": r.To.Format(time.RFC3339), "count": 3.0,
		"states": map[string]any{"delivered": 2.0, "dead": 1.0}, "digest": summary.Digest,
		"path": fmt.Sprintf("/whisperer/hooks/%s/manifest/?from=%s&to=%s", shop.ID, url.QueryEscape(r.From.Format(time.RFC3339)), url.QueryEscape(r.To.Format(time.RFC3339))),
	}, data)
}
