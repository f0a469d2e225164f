package retries

import (
	"bytes"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// FuzzRetry decodes arbitrary messages from the RETRIES stream: each is refused, or has a delivery, a hook and an event.
func FuzzRetry(f *testing.F) {
	id := bytes.Repeat([]byte{7}, 16)
	for _, retry := range []*whispererv1.Retry{
		{},
		{DeliveryId: id},
		{DeliveryId: id, HookId: id, PublishedAt: -1 << 63, EventSeq: 1<<64 - 1},
		{DeliveryId: id, HookId: id, Tenant: "acme", EventId: "1", Event: &whispererv1.Event{Id: "1", Type: "order.created", Data: []byte(`{`)}},
	} {
		data, err := proto.Marshal(retry)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		taken, err := read(&bus.Message{Data: data})
		if err != nil {
			return
		}
		require.Len(t, taken.retry.GetDeliveryId(), len(uuid.UUID{}))
		require.Equal(t, taken.retry.GetHookId(), taken.hook[:])
		require.Equal(t, taken.retry.GetPublishedAt(), taken.key.PublishedAt.UnixNano())
		if taken.retry.GetEvent() == nil {
			return
		}
		event, err := (&Retries{}).event(t.Context(), taken)
		require.NoError(t, err)
		require.Equal(t, taken.retry.GetTenant(), event.Tenant)
		require.True(t, event.PublishedAt.Equal(taken.key.PublishedAt))
	})
}
