package natsd_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/natsd"
)

// rotten is the number of messages in the stream of these tests; they fill two blocks.
const rotten = 12_000

// filled creates a stream with the given number of replicas and fills it.
func filled(t *testing.T, nc *nats.Conn, replicas int) {
	t.Helper()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	require.Eventually(t, func() bool { // a new cluster needs some seconds
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "ROT", Subjects: []string{"rot.>"}, Replicas: replicas})
		return err == nil
	}, time.Minute, 100*time.Millisecond)
	for i := range rotten {
		_, err := js.PublishAsync("rot.x", fmt.Appendf(nil, "%d %01000d", i+1, 0), jetstream.WithStallWait(time.Minute))
		require.NoError(t, err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(2 * time.Minute):
		require.Fail(t, "not published")
	}
}

// flip changes one bit in the middle of the oldest block of the stream.
func flip(t *testing.T, store string) {
	t.Helper()
	var block string
	require.NoError(t, filepath.WalkDir(store, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, "/ROT/msgs/1.blk") {
			block = path
		}
		return err
	}))
	content, err := os.ReadFile(block)
	require.NoError(t, err)
	content[len(content)/2] ^= 1
	require.NoError(t, os.WriteFile(block, content, 0o600))
}

// missing reads all messages one by one, and counts those that the server does not return unchanged.
func missing(t *testing.T, nc *nats.Conn) (n int) {
	t.Helper()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	var stream jetstream.Stream
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		stream, err = js.Stream(ctx, "ROT")
		return err == nil
	}, time.Minute, 100*time.Millisecond)
	for i := range uint64(rotten) {
		msg, err := stream.GetMsg(t.Context(), i+1)
		for deadline := time.Now().Add(time.Minute); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound); { // while there is no leader
			require.True(t, time.Now().Before(deadline), "message %d: %v", i+1, err)
			<-time.After(50 * time.Millisecond)
			msg, err = stream.GetMsg(t.Context(), i+1)
		}
		if err != nil || !strings.HasPrefix(string(msg.Data), fmt.Sprintf("%d ", i+1)) {
			n++
		}
	}
	return n
}

func dial(t *testing.T, urls ...string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func TestABitThatFlipsOnTheOnlyNodeLosesMessages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, natsd.Options{StoreDir: dir, Port: natsd.RandomPort})
	filled(t, dial(t, first.ClientURL()), 1)
	require.NoError(t, first.Shutdown(t.Context()))
	flip(t, dir)
	again, err := first.Again(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, again.Shutdown(context.Background())) })
	// The server starts without complaint and reports the same number of messages. Only reading the message reveals
	// the damage.
	require.Equal(t, 1, missing(t, dial(t, again.ClientURL())))
}

func TestABitThatFlipsOnOneOfThreeNodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nodes, err := natsd.StartCluster(t.Context(), natsd.Options{StoreDir: dir}, 3)
	require.NoError(t, err)
	urls := []string{nodes[0].ClientURL(), nodes[1].ClientURL(), nodes[2].ClientURL()}
	t.Cleanup(func() {
		for _, n := range nodes {
			require.NoError(t, n.Shutdown(context.Background()))
		}
	})
	filled(t, dial(t, urls...), 3)
	require.NoError(t, nodes[0].Shutdown(t.Context()))
	flip(t, filepath.Join(dir, "whisperer-1"))
	nodes[0], err = nodes[0].Again(t.Context())
	require.NoError(t, err)
	nc := dial(t, nodes[1].ClientURL())
	require.Zero(t, missing(t, nc), "another node leads, and has it")
	lead(t, nc, "whisperer-1")
	require.Equal(t, 1, missing(t, nc), "where the rotten node leads, its message is gone for whoever reads")
	lead(t, nc, "whisperer-2")
	require.Zero(t, missing(t, nc), "nothing was taken from the others")
}

// lead makes a node the leader of the stream.
func lead(t *testing.T, nc *nats.Conn, name string) {
	t.Helper()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		stream, err := js.Stream(t.Context(), "ROT")
		if err != nil {
			return false
		}
		if info := stream.CachedInfo(); info.Cluster != nil && info.Cluster.Leader == name {
			return true
		}
		_, _ = nc.Request("$JS.API.STREAM.LEADER.STEPDOWN.ROT", []byte(`{"placement":{"preferred":"`+name+`"}}`), 5*time.Second)
		return false
	}, 2*time.Minute, time.Second)
}
