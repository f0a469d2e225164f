package store_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// breaking leads to the database, and breaks a connection the moment that it says the word, while it is set.
func breaking(t *testing.T, database, word string, set *atomic.Bool) string {
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
			if err != nil || set.Load() && bytes.Contains(buffer[:n], []byte(word)) {
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
			case <-time.After(30 * time.Second):
				require.Fail(t, "it waits for ever")
			}
			broken.Store(false)
			write(t, recorder, batches...)
		})
	}
}

func TestADatabaseThatOnlyReadsIsUnavailableAndRefusesNothing(t *testing.T) {
	t.Parallel()
	database := testenv.Postgres(t)
	target, err := url.Parse(database)
	require.NoError(t, err)
	query := target.Query()
	query.Set("default_transaction_read_only", "on") // as a server that was demoted
	target.RawQuery = query.Encode()
	demoted, err := store.Open(target.String(), 2, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = demoted.Close() })
	recorder := demoted.Ledger.NewRecorder()
	t.Cleanup(recorder.Close)
	batches := []*whispererv1.LedgerBatch{batchOf(newDelivery().fact(webhook.Delivered, 1, 0, first))}
	require.ErrorIs(t, recorder.WriteFacts(t.Context(), batches), store.ErrUnavailable)
}
