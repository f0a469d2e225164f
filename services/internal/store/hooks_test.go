package store_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

const actor = store.Actor("test")

// open returns a database for the test, and a plain SQL connection to it.
func open(t *testing.T) (*store.DB, *sqlx.DB) {
	t.Helper()
	url := testenv.Postgres(t)
	ring, err := seal.ParseRing(seal.NewKey())
	require.NoError(t, err)
	db, err := store.Open(url, 8, ring)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	plain, err := sqlx.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, plain.Close()) })
	return db, plain
}

func fullHook(t *testing.T) webhook.Hook {
	t.Helper()
	config, err := webhook.ParseConfig(json.RawMessage(`{"b": 1.50, "a": "x", "auth": {"auth_type": "basic", "username": "u", "password": "canary-password"}}`))
	require.NoError(t, err)
	return webhook.Hook{
		Tenant: "default", Name: "n", EventTypes: []string{"order.created", "package.>"}, TargetURL: "https://example.com/a",
		NotificationType: webhook.NotificationREST, Secrets: []webhook.Secret{{Value: "canary-secret"}}, APIKey: "canary-key",
		Headers: map[string]string{"X-A": "canary-header"}, Callback: &webhook.Callback{URL: "https://example.com/done", On: []string{"dead"}},
		RetryConfig: json.RawMessage(`{"choice": "fixed", "kwargs": {"seconds": 60}}`), Config: config, Status: webhook.Paused,
	}
}

func simpleHook(n int) webhook.Hook {
	config, _ := webhook.ParseConfig(nil)
	return webhook.Hook{
		Tenant: "default", Name: fmt.Sprint(n), EventTypes: []string{"*"}, TargetURL: fmt.Sprintf("https://example.com/%d", n),
		NotificationType: webhook.NotificationREST, Config: config, Status: webhook.Active,
	}
}

const quota = 100

func TestAHookComesBackAsItWasStored(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	want := fullHook(t)
	created, err := db.Hooks.Create(t.Context(), actor, want, quota, store.IdempotencyKey{})
	require.NoError(t, err)
	require.Equal(t, int64(1), created.Version)
	require.WithinDuration(t, time.Now(), created.CreatedAt, time.Minute)
	require.Equal(t, time.UTC, created.CreatedAt.Location())
	got, err := db.Hooks.Get(t.Context(), "default", created.ID)
	require.NoError(t, err)
	require.Equal(t, created, got)
	require.JSONEq(t, string(want.RetryConfig), string(got.RetryConfig))
	want.ID, want.CreatedAt, want.ModifiedAt, want.Version, want.RetryConfig = got.ID, got.CreatedAt, got.ModifiedAt, 1, got.RetryConfig
	require.Equal(t, want, got)
}

func TestSecretsAreSealedAtRest(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	created, err := db.Hooks.Create(t.Context(), actor, fullHook(t), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	_, err = db.Hooks.Update(t.Context(), actor, "default", created.ID, nil, func(h *webhook.Hook) error {
		h.APIKey = "canary-key-2"
		return nil
	})
	require.NoError(t, err)
	for _, table := range []string{"hooks", "audit"} {
		var text string
		require.NoError(t, plain.Get(&text, `SELECT string_agg(t::text, '') FROM `+table+` t`))
		require.NotEmpty(t, text)
		require.NotContains(t, text, "canary")
		require.NotContains(t, text, fmt.Sprintf("%x", "canary"))
	}
	other := simpleHook(1)
	stored, err := db.Hooks.Create(t.Context(), actor, other, quota, store.IdempotencyKey{})
	require.NoError(t, err)
	_, err = plain.Exec(`UPDATE hooks SET (sealed, sealed_key_id) = (SELECT sealed, sealed_key_id FROM hooks WHERE id = $1) WHERE id = $2`, created.ID, stored.ID)
	require.NoError(t, err)
	_, err = db.Hooks.Get(t.Context(), "default", stored.ID)
	require.Error(t, err, "a box that was copied to another hook does not open")
}

func TestHooksOfAnotherTenantAreNotFound(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	_, err := db.Access.EnsureTenant(t.Context(), actor, "other")
	require.NoError(t, err)
	h, err := db.Hooks.Create(t.Context(), actor, simpleHook(1), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	_, err = db.Hooks.Get(t.Context(), "other", h.ID)
	require.ErrorIs(t, err, webhook.ErrNotFound)
	_, err = db.Hooks.Update(t.Context(), actor, "other", h.ID, nil, func(*webhook.Hook) error { return nil })
	require.ErrorIs(t, err, webhook.ErrNotFound)
	require.ErrorIs(t, db.Hooks.Delete(t.Context(), actor, "other", h.ID, nil), webhook.ErrNotFound)
	list, _, err := db.Hooks.List(t.Context(), "other", store.HookFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, list)
	nobody := simpleHook(1)
	nobody.Tenant = "nobody"
	_, err = db.Hooks.Create(t.Context(), actor, nobody, quota, store.IdempotencyKey{})
	require.ErrorIs(t, err, webhook.ErrNotFound)
}

func TestTheSameTargetAndTypesConflict(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	first, err := db.Hooks.Create(t.Context(), actor, simpleHook(1), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	second, err := db.Hooks.Create(t.Context(), actor, simpleHook(2), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	var conflict *webhook.ConflictError
	_, err = db.Hooks.Create(t.Context(), actor, simpleHook(1), quota, store.IdempotencyKey{})
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, first.ID, conflict.ID)
	_, err = db.Hooks.Update(t.Context(), actor, "default", second.ID, nil, func(h *webhook.Hook) error {
		h.TargetURL = first.TargetURL
		return nil
	})
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, first.ID, conflict.ID)
}

func TestTheQuotaHoldsForConcurrentCreations(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	var wait sync.WaitGroup
	errs := make([]error, 12)
	for i := range errs {
		wait.Go(func() { _, errs[i] = db.Hooks.Create(t.Context(), actor, simpleHook(i), 5, store.IdempotencyKey{}) })
	}
	wait.Wait()
	refused := 0
	for _, err := range errs {
		if err != nil {
			require.ErrorIs(t, err, store.ErrQuota)
			refused++
		}
	}
	require.Equal(t, len(errs)-5, refused)
}

func TestOneKeyMakesOneHook(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	key := store.IdempotencyKey{Key: "k", Fingerprint: sha256.Sum256([]byte("a"))}
	var wait sync.WaitGroup
	ids := make([]uuid.UUID, 8)
	for i := range ids {
		wait.Go(func() {
			if h, err := db.Hooks.Create(t.Context(), actor, simpleHook(1), quota, key); err == nil {
				ids[i] = h.ID
			}
		})
	}
	wait.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
		require.NotEqual(t, uuid.Nil, id)
	}
	other := store.IdempotencyKey{Key: "k", Fingerprint: sha256.Sum256([]byte("b"))}
	_, err := db.Hooks.Create(t.Context(), actor, simpleHook(2), quota, other)
	require.ErrorIs(t, err, store.ErrKeyReused)

	_, err = plain.Exec(`UPDATE idempotency_keys SET created_at = now() - interval '25 hours'`)
	require.NoError(t, err)
	_, err = db.Hooks.Create(t.Context(), actor, simpleHook(2), quota, other)
	require.NoError(t, err, "a key is forgotten after a day")
}

func TestUpdateCountsVersionsAndChecksThem(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	h, err := db.Hooks.Create(t.Context(), actor, fullHook(t), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	update := func(version store.IfVersion, edit func(*webhook.Hook) error) (webhook.Hook, error) {
		return db.Hooks.Update(t.Context(), actor, "default", h.ID, version, edit)
	}
	nothing := func(*webhook.Hook) error { return nil }
	same, err := update(nil, nothing)
	require.NoError(t, err)
	require.Equal(t, h, same)
	rename := func(h *webhook.Hook) error {
		h.Name, h.Tenant, h.ID, h.Version = "m", "other", uuid.New(), 77
		return nil
	}
	renamed, err := update(store.IfVersion{1}, rename)
	require.NoError(t, err)
	require.Equal(t, "m", renamed.Name)
	require.Equal(t, h.ID, renamed.ID)
	require.Equal(t, "default", renamed.Tenant)
	require.Equal(t, int64(2), renamed.Version)
	require.Equal(t, h.Secrets, renamed.Secrets)
	_, err = update(store.IfVersion{1, 3}, nothing)
	require.ErrorIs(t, err, webhook.ErrVersion)
	refusal := errors.New("refused")
	_, err = update(nil, func(h *webhook.Hook) error { h.Name = "x"; return refusal })
	require.ErrorIs(t, err, refusal)
	got, err := db.Hooks.Get(t.Context(), "default", h.ID)
	require.NoError(t, err)
	require.Equal(t, renamed, got)
	require.ErrorIs(t, db.Hooks.Delete(t.Context(), actor, "default", h.ID, store.IfVersion{1}), webhook.ErrVersion)
	require.NoError(t, db.Hooks.Delete(t.Context(), actor, "default", h.ID, store.IfVersion{2}))
}

func TestConcurrentUpdatesDoNotLoseOne(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	h, err := db.Hooks.Create(t.Context(), actor, simpleHook(0), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	var wait sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		wait.Go(func() {
			_, errs[i] = db.Hooks.Update(t.Context(), actor, "default", h.ID, nil, func(h *webhook.Hook) error {
				h.Name += "x"
				return nil
			})
		})
	}
	wait.Wait()
	require.NoError(t, errors.Join(errs...))
	got, err := db.Hooks.Get(t.Context(), "default", h.ID)
	require.NoError(t, err)
	require.Equal(t, "0xxxxxxxxxx", got.Name)
	require.Equal(t, int64(11), got.Version)
}

func TestDisableHook(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	h, err := db.Hooks.Create(t.Context(), actor, simpleHook(1), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	for _, want := range []bool{true, false} {
		disabled, err := db.Hooks.Disable(t.Context(), actor, h.ID, nil, "gone")
		require.NoError(t, err)
		require.Equal(t, want, disabled)
	}
	disabled, err := db.Hooks.Disable(t.Context(), actor, uuid.New(), nil, "gone")
	require.NoError(t, err)
	require.False(t, disabled)
	got, err := db.Hooks.Get(t.Context(), "default", h.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Disabled, got.Status)
	require.Equal(t, "gone", got.DisabledReason)
	require.Equal(t, int64(2), got.Version)
}

// A response counts against the version of the hook with which the request was made, not against a version that a person has
// saved since.
func TestAHookThatWasEditedIsNotDisabledForWhatItWasBefore(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	h, err := db.Hooks.Create(t.Context(), actor, simpleHook(1), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	edited, err := db.Hooks.Update(t.Context(), actor, "default", h.ID, nil, func(h *webhook.Hook) error { h.TargetURL += "/new"; return nil })
	require.NoError(t, err)
	disabled, err := db.Hooks.Disable(t.Context(), actor, h.ID, store.IfVersion{h.Version}, "gone")
	require.NoError(t, err)
	require.False(t, disabled)
	disabled, err = db.Hooks.Disable(t.Context(), actor, h.ID, store.IfVersion{edited.Version}, "gone")
	require.NoError(t, err)
	require.True(t, disabled)
}

func TestChangesAreAudited(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	h, err := db.Hooks.Create(t.Context(), actor, simpleHook(1), quota, store.IdempotencyKey{})
	require.NoError(t, err)
	set := func(status webhook.HookStatus) {
		_, err := db.Hooks.Update(t.Context(), "token x", "default", h.ID, nil, func(h *webhook.Hook) error { h.Status = status; return nil })
		require.NoError(t, err)
	}
	set(webhook.Paused)
	set(webhook.Paused)
	set(webhook.Active)
	require.NoError(t, db.Hooks.Delete(t.Context(), actor, "default", h.ID, nil))
	log, _, err := db.Access.ListAudit(t.Context(), "default", store.AuditFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	var actions []string
	for _, e := range log {
		require.Equal(t, h.ID.String(), e.Subject)
		actions = append(actions, string(e.Actor)+" "+e.Action)
	}
	require.Equal(t, []string{"test hook.deleted", "token x hook.resumed", "token x hook.paused", "test hook.created"}, actions)
	require.JSONEq(t, `{"fields": ["status"]}`, string(log[1].Detail))
}
