package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// byState returns a tenant's signing keys of an algorithm, by state.
func byState(t *testing.T, db *store.DB, tenant, algorithm string) map[httpsig.State]httpsig.Key {
	t.Helper()
	list, err := db.Access.SigningKeys(t.Context(), tenant)
	require.NoError(t, err)
	keys := map[httpsig.State]httpsig.Key{}
	for _, k := range list {
		if k.Algorithm == algorithm {
			keys[k.State] = k
		}
	}
	return keys
}

func TestEachTenantHasSigningKeysOfItsOwnAndRotatesThem(t *testing.T) {
	t.Parallel()
	s := testenv.OpenStore(t)
	s.MakeTenant(t, "acme")
	plain := testenv.Plain(t, s.URL)
	var made sync.WaitGroup
	for i := range 4 { // several instances create them at once
		made.Go(func() {
			if _, err := s.Access.EnsureSigningKeys(t.Context(), store.Actor(fmt.Sprint("test ", i)), "acme"); err != nil {
				t.Error(err)
			}
		})
	}
	made.Wait()
	created, err := s.Access.EnsureSigningKeys(t.Context(), "test", "acme")
	require.NoError(t, err)
	require.False(t, created)
	_, err = s.Access.EnsureSigningKeys(t.Context(), "test", "nobody")
	require.ErrorIs(t, err, webhook.ErrNotFound)
	list, err := s.Access.SigningKeys(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, list, 4)
	require.Empty(t, byState(t, s.DB, webhook.DefaultTenant, webhook.ECDSAP256), "another tenant's")

	before := byState(t, s.DB, "acme", webhook.ECDSAP256)
	var early *store.EarlyRotationError
	require.ErrorAs(t, s.Access.RotateSigningKeys(t.Context(), "test", "acme", store.Rotation{}), &early)
	require.WithinDuration(t, time.Now().Add(httpsig.CacheAge), early.At, time.Minute)
	age := func(by string) {
		_, err := plain.ExecContext(t.Context(), `UPDATE signing_keys SET created_at = created_at - $1::interval, published_until = published_until - $1::interval`, by)
		require.NoError(t, err)
	}
	age("16 minutes")
	require.NoError(t, s.Access.RotateSigningKeys(t.Context(), "test", "acme", store.Rotation{Algorithm: webhook.ECDSAP256}))
	after := byState(t, s.DB, "acme", webhook.ECDSAP256)
	require.Equal(t, before[httpsig.Next].ID, after[httpsig.Current].ID)
	require.Equal(t, before[httpsig.Current].ID, after[httpsig.Previous].ID)
	previous, current := after[httpsig.Previous], after[httpsig.Current]
	require.False(t, previous.CanSign(), "its private half is gone")
	require.True(t, current.CanSign())
	require.Len(t, byState(t, s.DB, "acme", webhook.Ed25519), 2, "the other algorithm's stay")
	age("25 hours")
	require.NotContains(t, byState(t, s.DB, "acme", webhook.ECDSAP256), httpsig.Previous, "not published for ever")
	require.NoError(t, s.Access.RotateSigningKeys(t.Context(), "test", "acme", store.Rotation{Algorithm: webhook.ECDSAP256}))
	var rows int
	require.NoError(t, plain.QueryRowContext(t.Context(), `SELECT count(*) FROM signing_keys WHERE algorithm = $1`, webhook.ECDSAP256).Scan(&rows))
	require.Equal(t, 3, rows, "nor kept")
	log, _, err := s.Access.ListAudit(t.Context(), "acme", store.AuditFilter{Kind: "signing_key"}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, log, 6)
	require.Equal(t, "signing_key.rotated", log[0].Action)
}

func TestAWatchKnowsSigningKeysOfAllTenants(t *testing.T) {
	t.Parallel()
	s := testenv.OpenStore(t)
	s.MakeTenant(t, "acme")
	_, err := s.Access.EnsureSigningKeys(t.Context(), "test", "acme")
	require.NoError(t, err)
	ring := &httpsig.Ring{}
	watch, err := s.Hooks.Watch(store.WatchOptions{Keys: ring, Log: zap.NewNop()})
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() { watch.Run(t.Context()) })
	t.Cleanup(running.Wait)
	<-watch.Loaded()
	signs := func(tenant string) string {
		require.NoError(t, watch.Refresh(t.Context()))
		k, err := ring.Signer(tenant, webhook.Ed25519)
		if err != nil {
			return ""
		}
		return k.ID
	}
	first := signs("acme")
	require.NotEmpty(t, first)
	require.Empty(t, signs(webhook.DefaultTenant))
	_, err = s.Access.EnsureSigningKeys(t.Context(), "test", webhook.DefaultTenant)
	require.NoError(t, err)
	require.NotEmpty(t, signs(webhook.DefaultTenant))
	require.NoError(t, s.Access.RotateSigningKeys(t.Context(), "test", "acme", store.Rotation{Revoke: true}))
	require.NotEqual(t, first, signs("acme"))
	_, err = testenv.Plain(t, s.URL).ExecContext(t.Context(), `DELETE FROM signing_keys WHERE tenant = 'acme'`)
	require.NoError(t, err)
	require.Empty(t, signs("acme"))
}

func TestSigningKeysAreSealedAnewOrReplacedWhereTheyCannotBeOpened(t *testing.T) {
	t.Parallel()
	database := testenv.Postgres(t)
	open := func(keys string) *store.DB {
		ring, err := seal.ParseRing(keys)
		require.NoError(t, err)
		db, err := store.Open(database, 2, ring)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		return db
	}
	old, current, lost := seal.NewKey(), seal.NewKey(), seal.NewKey()
	_, err := open(old).Access.EnsureSigningKeys(t.Context(), "test", webhook.DefaultTenant)
	require.NoError(t, err)
	keys, err := open(current + "," + old).Access.SealedKeys(t.Context())
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Equal(t, []any{4, false, true}, []any{keys[0].SigningKeys, keys[0].Current, keys[0].Known})
	_, err = open(current+","+old).Access.Reseal(t.Context(), "test", func(int) {})
	require.NoError(t, err)
	db := open(current)
	before := byState(t, db, webhook.DefaultTenant, webhook.Ed25519)
	sealed := before[httpsig.Current]
	require.True(t, sealed.CanSign())

	stranger := open(lost)
	_, err = stranger.Access.Reseal(t.Context(), "test", func(int) {})
	require.ErrorContains(t, err, "signing key "+sealed.ID)
	shut := byState(t, stranger, webhook.DefaultTenant, webhook.Ed25519)[httpsig.Current]
	require.False(t, shut.CanSign())
	require.ErrorIs(t, stranger.Access.RotateSigningKeys(t.Context(), "test", webhook.DefaultTenant, store.Rotation{}), store.ErrNextKey)
	require.NoError(t, stranger.Access.RotateSigningKeys(t.Context(), "test", webhook.DefaultTenant, store.Rotation{Revoke: true}))
	fresh := byState(t, stranger, webhook.DefaultTenant, webhook.Ed25519)
	for _, state := range []httpsig.State{httpsig.Current, httpsig.Next} {
		k := fresh[state]
		require.True(t, k.CanSign())
		require.NotEqual(t, before[state].ID, k.ID)
	}
}
