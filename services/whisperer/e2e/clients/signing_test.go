package clients_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

var keyID = regexp.MustCompile(`;created=(\d+);keyid="([^"]+)"`)

// signingKeys returns the keys that the API lists, by algorithm and state.
func (w *world) signingKeys(t *testing.T) map[string]api.SigningKey {
	t.Helper()
	found := map[string]api.SigningKey{}
	for k, err := range w.api.SigningKeys.List(t.Context()) {
		require.NoError(t, err)
		require.True(t, k.Usable)
		found[k.Algorithm+" "+k.State] = k
	}
	return found
}

// published returns the ids of the keys that receivers can fetch.
func (w *world) published(t *testing.T) []string {
	t.Helper()
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	require.NoError(t, json.Unmarshal(w.get(t, "/.well-known/whisperer/default/jwks.json"), &set))
	ids := make([]string, len(set.Keys))
	for i, k := range set.Keys {
		ids[i] = k["kid"]
		require.NotContains(t, k, "d", "no private half")
	}
	return ids
}

// TestMessageSignaturesAreVerifiedFromTheKeySet has receivers without a shared secret verify requests across
// rotations of the keys.
func TestMessageSignaturesAreVerifiedFromTheKeySet(t *testing.T) {
	t.Parallel()
	const entity, ecdsa, ed25519 = "messages:1", "ecdsa-p256-sha256", "ed25519"
	w := newWorld(t)
	n := newNode(t)
	n.run(nil, nil, "tsc", "--project", "tsconfig.json", "--noCheck", "--isolatedModules")
	answer, err := http.Get(w.url + "/.well-known/whisperer/default/jwks.json") //nolint:noctx // a test
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusNotFound, answer.StatusCode, "there are none before they are needed")
	require.Equal(t, "no-store", answer.Header.Get("Cache-Control"))

	for path, algorithm := range map[string]string{"/rfc9421/ec?a=1&b=%2F": ecdsa, "/rfc9421/ed?a=1": ed25519} {
		w.hook(t, entity, path, "oms", "", map[string]any{"signature": map[string]any{"preset": "rfc9421", "algorithm": algorithm}})
	}
	w.call(t, http.MethodPost, "hooks/", map[string]any{
		"target_url": w.receiver.URL + "/fails-once", "event_type": "order.created", "retry_countdown_config": map[string]any{"choice": "fixed", "kwargs": map[string]any{"seconds": 1}},
		"config": map[string]any{"filter": `event.entity == "` + entity + `"`, "signature": map[string]any{"preset": "rfc9421"}},
	})
	before := w.signingKeys(t)
	require.Len(t, before, 4, "one that signs and one that will, by each algorithm")

	paths := []string{"/rfc9421/ec", "/rfc9421/ed"}
	signedBy := func(list []delivery) []string {
		ids := make([]string, len(list))
		for i, d := range list {
			require.Empty(t, d.Headers["webhook-signature"], "there is no secret to sign with")
			ids[i] = keyID.FindStringSubmatch(d.Headers["signature-input"])[2]
		}
		return ids
	}
	verify := func(list []delivery) string {
		return n.node(t, []string{"JWKS_URL=" + before[ecdsa+" current"].JWKSURL}, lines(t, list), "signatures.js")
	}
	w.publish(t, entity, "signed-1")
	first := []delivery{w.await(t, paths[0], 1)[0], w.await(t, paths[1], 1)[0]}
	require.Equal(t, []string{before[ecdsa+" current"].ID, before[ed25519+" current"].ID}, signedBy(first))
	require.Equal(t, ecdsa+" "+before[ecdsa+" current"].ID+"\n"+ed25519+" "+before[ed25519+" current"].ID+"\n", verify(first))

	retried := w.await(t, "/fails-once", 2)
	require.Equal(t, retried[0].Headers["webhook-id"], retried[1].Headers["webhook-id"])
	created := func(d delivery) string { return keyID.FindStringSubmatch(d.Headers["signature-input"])[1] }
	require.Less(t, created(retried[0]), created(retried[1]), "a retry is signed anew")
	require.Equal(t, retried[1].Headers["webhook-timestamp"], created(retried[1]))
	require.NotEqual(t, retried[0].Headers["signature"], retried[1].Headers["signature"])

	t.Log("a rotation waits until every receiver may know the next key")
	_, err = w.api.SigningKeys.Rotate(t.Context(), client.KeyRotation{})
	require.ErrorContains(t, err, "/revoke is needed: the next ecdsa-p256-sha256 key was published too recently")
	_, err = w.api.SigningKeys.Rotate(t.Context(), client.KeyRotation{Algorithm: "rsa"})
	require.ErrorContains(t, err, "/algorithm must be ecdsa-p256-sha256 or ed25519")
	require.Equal(t, before, w.signingKeys(t))
	_, err = testenv.Plain(t, w.database).ExecContext(t.Context(), `UPDATE signing_keys SET created_at = created_at - interval '20 minutes'`)
	require.NoError(t, err)
	_, err = w.api.SigningKeys.Rotate(t.Context(), client.KeyRotation{})
	require.NoError(t, err)
	after := w.signingKeys(t)
	require.Len(t, after, 6)
	for _, algorithm := range []string{ecdsa, ed25519} {
		require.Equal(t, before[algorithm+" next"].ID, after[algorithm+" current"].ID)
		require.Equal(t, before[algorithm+" current"].ID, after[algorithm+" previous"].ID)
		require.InDelta(t, 24*time.Hour, time.Until(*after[algorithm+" previous"].PublishedUntil), float64(time.Minute))
	}
	rotated := w.publishUntil(t, entity, func(n int) bool { // workers know it within a second
		return signedBy(w.await(t, paths[0], n+1))[n] == after[ecdsa+" current"].ID && signedBy(w.await(t, paths[1], n+1))[n] == after[ed25519+" current"].ID
	})
	latest := []delivery{w.await(t, paths[0], rotated+1)[rotated], w.await(t, paths[1], rotated+1)[rotated]}
	require.Len(t, strings.Fields(verify(append(first, latest...))), 8, "what was signed before verifies still")
	require.Len(t, w.published(t), 6)

	t.Log("a key that somebody else may have is dropped at once")
	_, err = w.api.SigningKeys.Rotate(t.Context(), client.KeyRotation{Algorithm: ed25519, Revoke: true})
	require.NoError(t, err)
	ids := w.published(t)
	require.NotContains(t, ids, after[ed25519+" current"].ID)
	require.NotContains(t, ids, after[ed25519+" previous"].ID)
	require.Contains(t, ids, after[ecdsa+" previous"].ID, "the other algorithm's stay")
	ours, err := client.New(client.Options{URL: w.url, Token: w.token, Tenant: "default"})
	require.NoError(t, err)
	var actions []string
	for e, err := range ours.Audit.List(t.Context(), client.AuditFilter{Kind: "signing_key"}) {
		require.NoError(t, err)
		actions = append(actions, e.Action)
	}
	require.Len(t, actions, 4+2+1, "%v", actions)
}
