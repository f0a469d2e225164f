package store_test

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// swallow is a way to the database that goes silent: what is sent into it afterwards is acknowledged, and lost.
type swallow struct {
	url    string
	silent chan struct{}
}

func newSwallow(t *testing.T, to string) *swallow {
	t.Helper()
	at, err := url.Parse(to)
	require.NoError(t, err)
	network, target := "tcp", at.Host
	if folder := at.Query().Get("host"); folder != "" {
		network, target = "unix", folder+"/.s.PGSQL."+cmp.Or(at.Query().Get("port"), at.Port(), "5432")
		query := at.Query()
		query.Del("host")
		query.Del("port")
		at.RawQuery = query.Encode()
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	at.Host = listener.Addr().String()
	s := &swallow{url: at.String(), silent: make(chan struct{})}
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = in.Close() })
			out, err := (&net.Dialer{}).DialContext(t.Context(), network, target)
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = out.Close() })
			go s.pipe(out, in)
			go s.pipe(in, out)
		}
	}()
	return s
}

func (s *swallow) pipe(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		select {
		case <-s.silent:
		default:
			_, _ = to.Write(buf[:n])
		}
	}
}

func TestNoCallWaitsForASilentDatabase(t *testing.T) {
	t.Parallel()
	direct := testenv.OpenStore(t)
	s := newSwallow(t, direct.URL)
	db, err := store.Open(s.url, 2, direct.Ring)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	r := db.Ledger.NewRecorder()
	t.Cleanup(r.Close)
	require.NoError(t, r.WriteEvents(t.Context(), nil))
	require.NoError(t, db.Ready(t.Context()))
	_, err = db.Ledger.SeenEvents(t.Context(), []store.Published{{EventKey: store.EventKey{Tenant: "default", ID: "e-1"}, At: noon}})
	require.NoError(t, err)
	close(s.silent)

	for name, call := range map[string]func(ctx context.Context) error{
		"a look-up": func(ctx context.Context) error {
			_, err := db.Ledger.SeenEvents(ctx, []store.Published{{EventKey: store.EventKey{Tenant: "default", ID: "e-1"}, At: noon}})
			return err
		},
		"a batch": func(ctx context.Context) error { return r.WriteEvents(ctx, []webhook.Event{anEvent("e-1", 1, 0)}) },
		"another lease": func(ctx context.Context) error {
			_, _, err := db.Leases.Acquire(ctx, "a", "b", time.Minute)
			return err
		},
		"a new transaction": func(ctx context.Context) error { return db.Ledger.EnsureDay(ctx, noon) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := call(ctx)
		require.Error(t, err, name)
		require.ErrorIs(t, err, store.ErrUnavailable, name)
		cancel()
	}
}

// Leave is taken of the server although the last call had to end long before.
func TestAConnectionIsClosedWellAfterACallWithADeadline(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err := db.Access.ListTenants(ctx)
	require.NoError(t, err)
	<-time.After(4500 * time.Millisecond) // the deadline, and what is granted beyond it
	require.NoError(t, db.Close())
}

// A program that is cut off in the middle of a transaction does not keep what it has locked.
func TestWhoIsCutOffInATransactionKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	db := testenv.OpenStore(t)
	h := testenv.MakeHook(t, db.DB, "https://example.com/")
	s := newSwallow(t, db.URL)
	cutOff, err := store.Open(s.url, 2, db.Ring)
	require.NoError(t, err)
	rename := func(db *store.DB, name string, before func()) error {
		_, err := db.Hooks.Update(t.Context(), "test", h.Tenant, h.ID, nil, func(h *webhook.Hook) error {
			before()
			h.Name = name
			return nil
		})
		return err
	}
	locked, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- rename(cutOff, "never", func() {
			close(s.silent)
			close(locked)
		})
	}()
	<-locked
	require.Eventually(t, func() bool { return rename(db.DB, "new", func() {}) == nil }, 2*time.Minute, time.Millisecond)
	require.Error(t, <-ended)
	_ = cutOff.Close() // nobody answers
}
