package store_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// breaking returns a URL of the database through a proxy that breaks a connection when the client sends the word, while set is
// true.
func breaking(t *testing.T, database, word string, set *atomic.Bool) string {
	t.Helper()
	return leading(t, database, func(said []byte, _ io.Writer) bool { return !set.Load() || !bytes.Contains(said, []byte(word)) })
}

// leading returns a URL of the database through a proxy that closes a connection when goesOn returns false for data from the
// client. goesOn may forward a part of the data.
func leading(t *testing.T, database string, goesOn func(said []byte, to io.Writer) bool) string {
	t.Helper()
	target, err := url.Parse(database)
	require.NoError(t, err)
	network, to, query := "tcp", target.Host, target.Query()
	if dir := query.Get("host"); dir != "" {
		network, to = "unix", filepath.Join(dir, ".s.PGSQL."+query.Get("port"))
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	query.Del("host")
	query.Del("port")
	target.Host, target.RawQuery = l.Addr().String(), query.Encode()
	carry := func(client net.Conn) {
		defer client.Close()
		server, err := (&net.Dialer{}).DialContext(t.Context(), network, to)
		if err != nil {
			return
		}
		defer server.Close()
		go func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		}()
		for buffer := make([]byte, 64<<10); ; {
			n, err := client.Read(buffer)
			if err != nil || !goesOn(buffer[:n], server) {
				return
			}
			if _, err := server.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go carry(conn)
		}
	}()
	return target.String()
}

func TestARecorderWhoseConnectionBreaksGoesOnWithAnother(t *testing.T) {
	t.Parallel()
	for name, word := range map[string]string{
		"as it begins":  "BEGIN",
		"as it copies":  "COPY ",
		"as it commits": "COMMIT",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			db, err := store.Open(breaking(t, testenv.Postgres(t), word, &broken), 2, nil)
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			recorder := db.Ledger.NewRecorder()
			t.Cleanup(recorder.Close)
			batches := []*whispererv1.LedgerBatch{batchOf(newDelivery().fact(webhook.Delivered, 1, 0, first))}
			broken.Store(true)
			answer := make(chan error, 1)
			go func() { answer <- recorder.WriteFacts(t.Context(), batches) }()
			select {
			case err = <-answer:
				require.ErrorIs(t, err, store.ErrUnavailable)
			case <-time.After(2 * time.Minute):
				require.Fail(t, "it waits for ever")
			}
			broken.Store(false)
			write(t, recorder, batches...)
		})
	}
}

// A session that is cut off in a transaction blocks others only for a while, even if neither side's network notices, because a
// proxy between them keeps both connections open.
func TestAProgramThatIsCutOffInATransactionLetsOthersGoOn(t *testing.T) {
	t.Parallel()
	for name, word := range map[string]string{
		"between statements":      "COPY attempts",
		"in the middle of a COPY": "cut-off-here",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := testenv.Postgres(t)
			cut := make(chan struct{})
			away, err := store.Open(leading(t, database, func(said []byte, _ io.Writer) bool {
				if bytes.Contains(said, []byte(word)) {
					close(cut)
					<-t.Context().Done()
				}
				return true
			}), 2, nil)
			require.NoError(t, err)
			t.Cleanup(func() { _ = away.Close() })
			there, err := store.Open(database, 2, nil)
			require.NoError(t, err)
			t.Cleanup(func() { _ = there.Close() })
			facts := batchOf(newDelivery().fact(webhook.Delivered, 1, 0, first, answered(200)))
			facts.Worker = "cut-off-here"
			lost := recorder(t, away)
			var ended sync.WaitGroup
			ended.Go(func() { _ = lost.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{facts}) })
			t.Cleanup(ended.Wait)
			reached(t, cut)
			other := recorder(t, there)
			require.Eventually(t, func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second)
				defer cancel()
				return other.WriteFacts(ctx, []*whispererv1.LedgerBatch{facts}) == nil
			}, 2*time.Minute, time.Millisecond)
		})
	}
}

func TestADatabaseThatOnlyReadsIsUnavailableAndRefusesNothing(t *testing.T) {
	t.Parallel()
	database := testenv.Postgres(t)
	target, err := url.Parse(database)
	require.NoError(t, err)
	query := target.Query()
	query.Set("default_transaction_read_only", "on") // as on a server that was demoted
	target.RawQuery = query.Encode()
	demoted, err := store.Open(target.String(), 2, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = demoted.Close() })
	recorder := demoted.Ledger.NewRecorder()
	t.Cleanup(recorder.Close)
	batches := []*whispererv1.LedgerBatch{batchOf(newDelivery().fact(webhook.Delivered, 1, 0, first))}
	require.ErrorIs(t, recorder.WriteFacts(t.Context(), batches), store.ErrUnavailable)
}
