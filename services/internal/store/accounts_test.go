package store_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestATokenIsStoredAsAHashAlone(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	secret, made, err := db.Access.CreateToken(t.Context(), actor, store.NewToken{Name: "ci", Tenant: "default", Role: store.Editor})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(secret, "wsp_"))
	require.GreaterOrEqual(t, len(secret), 30)
	got, err := db.Access.Authenticate(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, made, got)
	var text string
	require.NoError(t, plain.Get(&text, `SELECT string_agg(t::text, '') FROM api_tokens t`))
	require.NotContains(t, text, secret)
	log, _, err := db.Access.ListAudit(t.Context(), "default", store.AuditFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, "token.created", log[0].Action)
	require.NotContains(t, string(log[0].Detail), secret)
}

func TestUnknownRevokedAndExpiredTokensAreTheSame(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	revoked, token, err := db.Access.CreateToken(t.Context(), actor, store.NewToken{Name: "r", Role: store.Admin})
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, db.Access.RevokeToken(t.Context(), actor, "", token.ID))
	}
	expires := time.Now().Add(2 * time.Second)
	expired, _, err := db.Access.CreateToken(t.Context(), actor, store.NewToken{Name: "e", Role: store.Admin, ExpiresAt: expires})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := db.Access.Authenticate(t.Context(), expired)
		return err != nil
	}, time.Minute, 10*time.Millisecond)
	for _, secret := range []string{revoked, expired, "", "nope", strings.Repeat("x", 10_000), "a\x00b"} {
		_, err := db.Access.Authenticate(t.Context(), secret)
		require.ErrorIs(t, err, webhook.ErrNotFound)
		require.EqualError(t, err, "token: not found")
	}
}

func TestTokensThatBreakARule(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	for pointer, n := range map[string]store.NewToken{
		"/name":         {Role: store.Viewer},
		"/role":         {Name: "a", Role: "root"},
		"/tenant":       {Name: "a", Role: store.Viewer, Tenant: "nobody"},
		"/expires_date": {Name: "a", Role: store.Viewer, ExpiresAt: time.Now().Add(-time.Second)},
	} {
		_, _, err := db.Access.CreateToken(t.Context(), actor, n)
		var invalid *webhook.ValidationError
		require.ErrorAs(t, err, &invalid, pointer)
		require.Equal(t, pointer, invalid.Fields[0].Pointer)
	}
}

func TestTokensAreListedAndRevokedByTenant(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	_, mine, err := db.Access.CreateToken(t.Context(), actor, store.NewToken{Name: "mine", Tenant: "default", Role: store.Viewer})
	require.NoError(t, err)
	_, operators, err := db.Access.CreateToken(t.Context(), actor, store.NewToken{Name: "operator", Role: store.Viewer})
	require.NoError(t, err)
	list, err := db.Access.ListTokens(t.Context(), "default")
	require.NoError(t, err)
	require.Equal(t, []store.Token{mine}, list)
	all, err := db.Access.ListTokens(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, []store.Token{operators, mine}, all)
	require.ErrorIs(t, db.Access.RevokeToken(t.Context(), actor, "default", operators.ID), webhook.ErrNotFound)
	require.ErrorIs(t, db.Access.RevokeToken(t.Context(), actor, "", uuid.New()), webhook.ErrNotFound)
}

func TestRoles(t *testing.T) {
	t.Parallel()
	require.True(t, store.Admin.Covers(store.Viewer))
	require.True(t, store.Editor.Covers(store.Editor))
	require.False(t, store.Viewer.Covers(store.Editor))
	require.False(t, store.Role("root").Covers("root"))
	require.False(t, store.Role("").Covers(store.Viewer))
}

func TestEnsureTenant(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	for _, want := range []bool{true, false} {
		created, err := db.Access.EnsureTenant(t.Context(), actor, "acme")
		require.NoError(t, err)
		require.Equal(t, want, created)
	}
	list, err := db.Access.ListTenants(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "acme", list[0].Name)
	there, err := db.Access.TenantExists(t.Context(), "acme")
	require.NoError(t, err)
	require.True(t, there)
	there, err = db.Access.TenantExists(t.Context(), "nobody")
	require.NoError(t, err)
	require.False(t, there)
	_, err = db.Access.EnsureTenant(t.Context(), actor, "Not A Name")
	require.ErrorIs(t, err, webhook.ErrInvalid)
}

func TestEventTypesAreATenantsOwn(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	_, err := db.Access.EnsureTenant(t.Context(), actor, "other")
	require.NoError(t, err)
	declared := store.EventType{
		Name: "kiosk.opened", Description: "d", Schema: json.RawMessage(`{"type": "object"}`), Example: json.RawMessage(`{"b":1, "a":2.50}`),
	}
	for _, want := range []bool{true, false} {
		created, err := db.Types.Declare(t.Context(), actor, "default", declared)
		require.NoError(t, err)
		require.Equal(t, want, created)
	}
	list, err := db.Types.List(t.Context(), "default")
	require.NoError(t, err)
	require.Len(t, list, 1)
	declared.CreatedAt, declared.Settings = list[0].CreatedAt, list[0].Settings
	require.Equal(t, declared, list[0])
	require.Equal(t, webhook.SchemaOff, list[0].Settings.Check)
	require.False(t, *list[0].Settings.Deprecated)
	list, err = db.Types.List(t.Context(), "other")
	require.NoError(t, err)
	require.Empty(t, list)
	require.ErrorIs(t, db.Types.Remove(t.Context(), actor, "other", "kiosk.opened"), webhook.ErrNotFound)
	deprecated := true
	now, err := db.Types.Set(t.Context(), actor, "default", "kiosk.opened", store.EventTypeSettings{Deprecated: &deprecated})
	require.NoError(t, err)
	require.Equal(t, store.EventTypeSettings{Check: webhook.SchemaOff, Deprecated: &deprecated}, now)
	now, err = db.Types.Set(t.Context(), actor, "default", "kiosk.opened", store.EventTypeSettings{Check: webhook.SchemaWarn})
	require.NoError(t, err)
	require.Equal(t, store.EventTypeSettings{Check: webhook.SchemaWarn, Deprecated: &deprecated}, now)
	_, err = db.Types.Set(t.Context(), actor, "nobody", "kiosk.opened", now)
	require.ErrorIs(t, err, webhook.ErrNotFound)
	require.NoError(t, db.Types.Remove(t.Context(), actor, "default", "kiosk.opened"))
	settings, err := db.Types.Settings(t.Context(), "default")
	require.NoError(t, err)
	require.Empty(t, settings)
	_, err = db.Types.Declare(t.Context(), actor, "nobody", declared)
	require.ErrorIs(t, err, webhook.ErrNotFound)
}

func TestADatabaseThatDoesNotAnswerIsUnavailable(t *testing.T) {
	t.Parallel()
	ring, err := seal.ParseRing(seal.NewKey())
	require.NoError(t, err)
	away, err := store.Open("postgres://u@127.0.0.1:1/x?sslmode=disable", 1, ring)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, away.Close()) })
	_, err = away.Hooks.Get(t.Context(), "default", uuid.New())
	require.ErrorIs(t, err, store.ErrUnavailable)
	_, err = away.Access.EnsureTenant(t.Context(), actor, "acme")
	require.ErrorIs(t, err, store.ErrUnavailable)

	db, _ := open(t)
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, err = db.Access.ListTenants(late)
	require.ErrorIs(t, err, store.ErrUnavailable)
}
