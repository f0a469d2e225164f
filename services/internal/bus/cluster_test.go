package bus_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
)

// TestMoreThanARequestAsksForComesOnceFromCopiedConsumers has more messages wait than one request asks for. A server
// with replicated consumers may report a request as complete before it has sent all messages that belong to it.
func TestMoreThanARequestAsksForComesOnceFromCopiedConsumers(t *testing.T) {
	t.Parallel()
	nodes, err := natsd.StartCluster(t.Context(), natsd.Options{StoreDir: t.TempDir(), Durability: natsd.Fast, MaxStore: 1 << 30}, 3)
	require.NoError(t, err)
	urls := make([]string, len(nodes))
	for i, node := range nodes {
		urls[i] = node.ClientURL()
		t.Cleanup(func() { _ = node.Shutdown(context.WithoutCancel(t.Context())) })
	}
	b, err := bus.Connect(t.Context(), bus.Options{URL: strings.Join(urls, ","), Name: t.Name(), Replicas: 3, OMSMaxBytes: 1 << 26, Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.Eventually(t, func() bool { return b.Streams().Ensure(t.Context()) == nil }, 2*time.Minute, 200*time.Millisecond)
	const all = 300
	require.Eventually(t, func() bool { return b.PublishEvents(t.Context(), manyEvents("e", all)) == nil }, time.Minute, 100*time.Millisecond)
	sub, err := b.Subscribe(t.Context(), bus.Fanout, bus.Room{Messages: 16})
	require.NoError(t, err)
	t.Cleanup(sub.Stop)
	var batch []bus.Message
	for taken := 0; taken < all; taken += len(batch) {
		batch, _ = sub.TakeBatch(t.Context(), batch, all)
		for i := range batch {
			require.False(t, batch[i].Redelivered(), "message %d was sent to a request that was given up", batch[i].Seq)
		}
		sub.Ack(batch)
	}
}
