package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestNoCallWaitsForASilentDatabase(t *testing.T) {
	t.Parallel()
	direct := testenv.OpenStore(t)
	s := testenv.WayTo(t, direct.URL)
	db, err := store.Open(s.URL, 2, direct.Ring)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	r := db.Ledger.NewRecorder()
	t.Cleanup(r.Close)
	require.NoError(t, r.WriteEvents(t.Context(), nil))
	require.NoError(t, db.Ready(t.Context()))
	_, err = db.Ledger.SeenEvents(t.Context(), []store.Published{{EventKey: store.EventKey{Tenant: "default", ID: "e-1"}, At: noon}})
	require.NoError(t, err)
	s.Silence()

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

// The connection is closed properly although the deadline of the last call has long passed.
func TestAConnectionIsClosedWellAfterACallWithADeadline(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err := db.Access.ListTenants(ctx)
	require.NoError(t, err)
	<-time.After(4500 * time.Millisecond) // until the deadline and the grace have passed
	require.NoError(t, db.Close())
}

// A prepared statement keeps to the deadline of each call, not to that of the call that prepared it.
func TestAPreparedStatementOutlivesTheDeadlineOfItsFirstCall(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	r := recorder(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	require.NoError(t, r.WriteEvents(ctx, []webhook.Event{anEvent("e-1", 1, 0)}))
	<-time.After(4500 * time.Millisecond) // until the deadline and the grace have passed
	require.NoError(t, r.WriteEvents(t.Context(), []webhook.Event{anEvent("e-2", 2, time.Second)}))
}

// The locks of a program that is cut off in the middle of a transaction are released.
func TestWhoIsCutOffInATransactionKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	db := testenv.OpenStore(t)
	h := testenv.MakeHook(t, db.DB, "https://example.com/")
	s := testenv.WayTo(t, db.URL)
	cutOff, err := store.Open(s.URL, 2, db.Ring)
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
			s.Silence()
			close(locked)
		})
	}()
	<-locked
	require.Eventually(t, func() bool { return rename(db.DB, "new", func() {}) == nil }, 2*time.Minute, time.Millisecond)
	require.Error(t, <-ended)
	_ = cutOff.Close() // nothing answers
}

// The locks of a program that is cut off after the first of a statement's messages are released, too.
func TestWhoIsCutOffInTheMiddleOfAStatementKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	db := testenv.OpenStore(t)
	h := testenv.MakeHook(t, db.DB, "https://example.com/")
	cut := make(chan struct{})
	cutOff, err := store.Open(leading(t, db.URL, func(said []byte, to io.Writer) bool {
		if said[0] != 'P' || !bytes.Contains(said, []byte("INSERT INTO audit")) {
			return true
		}
		_, _ = to.Write(said[:1+binary.BigEndian.Uint32(said[1:])]) // Parse without its Sync
		close(cut)
		<-t.Context().Done()
		return false
	}), 2, db.Ring)
	require.NoError(t, err)
	rename := func(db *store.DB, name string) error {
		_, err := db.Hooks.Update(t.Context(), "test", h.Tenant, h.ID, nil, func(h *webhook.Hook) error {
			h.Name = name
			return nil
		})
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- rename(cutOff, "never") }()
	reached(t, cut)
	require.Eventually(t, func() bool { return rename(db.DB, "new") == nil }, 3*time.Minute, time.Millisecond)
	require.Error(t, <-ended)
	_ = cutOff.Close()
}
