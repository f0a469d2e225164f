package console_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestSigningKeysAreShownAndRotatedByAdmins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	editor := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "editor", Role: store.Editor, Tenant: "default"}))
	require.Contains(t, editor.get(t, "/console/signing-keys/").text, "There are no keys yet")
	require.Equal(t, http.StatusForbidden, editor.post(t, "/console/signing-keys/rotate").status)

	admin := w.signIn(t, w.operator)
	require.Equal(t, http.StatusSeeOther, admin.post(t, "/console/signing-keys/rotate").status)
	a := admin.get(t, "/console/signing-keys/")
	require.Contains(t, a.text, w.url+"/.well-known/whisperer/default/jwks.json")
	keys, err := w.db.Access.SigningKeys(t.Context(), "default")
	require.NoError(t, err)
	require.Len(t, keys, 4)
	for _, k := range keys {
		require.Contains(t, a.text, k.ID)
	}
	early := admin.post(t, "/console/signing-keys/rotate")
	require.Equal(t, http.StatusUnprocessableEntity, early.status)
	require.Contains(t, early.text, "was published too recently")
	require.Equal(t, http.StatusSeeOther, admin.post(t, "/console/signing-keys/rotate", "revoke", "yes").status)
	after, err := w.db.Access.SigningKeys(t.Context(), "default")
	require.NoError(t, err)
	require.Len(t, after, 4, "the keys before are gone")
	require.Contains(t, editor.get(t, "/console/signing-keys/").text, after[0].ID)
	require.NotContains(t, editor.get(t, "/console/signing-keys/").text, "Rotate")
}
