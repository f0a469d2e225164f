package client_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestAManifestIsReadToItsEndOrNotAtAll(t *testing.T) {
	t.Parallel()
	line := func(n int) string {
		return fmt.Sprintf(`{"webhook_id":"0190a5a0-0000-7000-8000-%012d","sequence":%d,"event_id":"e","event_type":"order.created","state":"delivered","digest":null}`+"\n", n, n)
	}
	lines := line(1) + line(2)
	digest := sha256.Sum256([]byte(lines))
	summary := `{"type":"hook.manifest","count":2,"states":{"delivered":2},"digest":"` + hex.EncodeToString(digest[:]) + `"}`
	key, err := signature.ParseKey("secret")
	require.NoError(t, err)
	now := time.Now()
	end := fmt.Sprintf(`{"summary":%q,"webhook-id":"m","webhook-timestamp":"%d","webhook-signature":%q}`+"\n", summary, now.Unix(),
		signature.Sign("m", now, []byte(summary), []signature.Key{key}))
	for name, test := range map[string]struct{ body, wrong string }{
		"whole":             {lines + end, ""},
		"nothing":           {"", "breaks off after 0 lines"},
		"without its end":   {lines, "breaks off after 2 lines"},
		"half a line":       {line(1) + line(2)[:30], "not complete: read line 2"},
		"a line is missing": {line(1) + end, "it has 1 lines"},
		"a line twice":      {line(1) + line(1) + line(2) + end, "it has 3 lines"},
		"another line":      {line(1) + line(3) + end, "it has 2 lines"},
		"it says why":       {lines + `{"error":"This cannot be done now."}`, "This cannot be done now."},
		"no JSON":           {"<html>", "last line cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(test.body)) })
			taken := 0
			m, err := c.Hooks.Manifest(t.Context(), uuid.New(), time.Time{}, time.Time{}, func(*api.ManifestLine) error { taken++; return nil })
			if test.wrong != "" {
				require.ErrorContains(t, err, test.wrong)
				return
			}
			require.NoError(t, err)
			require.Equal(t, 2, taken)
			require.Equal(t, 2, m.States[webhook.Delivered])
			for secret, good := range map[string]bool{"secret": true, "another": false} {
				verifier, err := signature.ParseVerifyKey(secret)
				require.NoError(t, err)
				require.Equal(t, good, m.Verify([]signature.VerifyKey{verifier}, now, time.Minute) == nil, secret)
			}
		})
	}
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	_, err = c.Hooks.Manifest(t.Context(), uuid.New(), time.Time{}, time.Time{}, func(*api.ManifestLine) error { return nil })
	require.ErrorIs(t, err, webhook.ErrNotFound)
	c = serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("x", 2<<20))) })
	_, err = c.Hooks.Manifest(t.Context(), uuid.New(), time.Time{}, time.Time{}, func(*api.ManifestLine) error { return nil })
	require.ErrorIs(t, err, client.ErrIncomplete, "a line without an end")
}
