package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestAManifestIsStreamedToItsSignedEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.createHook(t, `{"event_type":"order.created","target_url":"http://example.com/a","secret_key":"a secret of ours"}`)
	begin := time.Now().Add(-2 * time.Hour)
	const deliveries = 2500 // several pages
	facts := make([]*whispererv1.DeliveryFact, deliveries)
	for i := range facts {
		e := newEvent(fmt.Sprint("e-", i), uint64(i+1), "order.created", "order:1", time.Hour-time.Duration(i)*time.Millisecond)
		facts[i] = newFact(hook, &e, webhook.Delivered, "", 200)
		digest := sha256.Sum256(e.Data)
		facts[i].Attempt.BodyDigest = digest[:]
	}
	w.recorded(t, facts...)
	path := hooks + hook.String() + "/manifest/?from=" + begin.UTC().Format(time.RFC3339) + "&to=" + time.Now().UTC().Format(time.RFC3339Nano)
	a := w.call(t, http.MethodGet, path, "")
	require.Equal(t, http.StatusOK, a.status, "%s", a.text)
	require.Equal(t, "application/x-ndjson", a.header.Get("Content-Type"))

	text := []byte(a.text)
	cut := bytes.LastIndexByte(bytes.TrimSuffix(text, []byte("\n")), '\n') + 1
	lines, last := text[:cut], text[cut:]
	require.Equal(t, deliveries, bytes.Count(lines, []byte("\n")))
	for i, text := range bytes.Split(bytes.TrimSuffix(lines, []byte("\n")), []byte("\n")) {
		var line api.ManifestLine
		require.NoError(t, json.Unmarshal(text, &line))
		digest := sha256.Sum256([]byte(fmt.Sprintf(`{"n":%d.50}`, i+1)))
		told := hex.EncodeToString(digest[:])
		require.Equal(t, api.ManifestLine{
			WebhookID: webhook.DeliveryID(hook, fmt.Sprint("e-", i)), Sequence: uint64(i + 1), EventID: fmt.Sprint("e-", i), EventType: "order.created",
			State: webhook.Delivered, Digest: &told,
		}, line)
	}
	var end api.ManifestEnd
	require.NoError(t, json.Unmarshal(last, &end))
	var summary api.ManifestSummary
	require.NoError(t, json.Unmarshal([]byte(end.Summary), &summary))
	all := sha256.Sum256(lines)
	require.Equal(t, hex.EncodeToString(all[:]), summary.Digest)
	require.Equal(t, deliveries, summary.Count)
	key, err := signature.ParseVerifyKey("a secret of ours")
	require.NoError(t, err)
	header := http.Header{"Webhook-Id": {end.ID}, "Webhook-Timestamp": {end.Timestamp}, "Webhook-Signature": {end.Signature}}
	require.NoError(t, signature.Verify(header, []byte(end.Summary), []signature.VerifyKey{key}, time.Now(), time.Minute))
}

func TestAManifestIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.createHook(t, `{"event_type":"order.created","target_url":"http://example.com/a"}`)
	for name, test := range map[string]struct {
		query  string
		status int
		reason string
	}{
		"no time":           {"?from=yesterday", http.StatusBadRequest, `"from","detail":"must be a time`},
		"no zone":           {"?to=2026-01-01T00:00:00", http.StatusBadRequest, `"to","detail":"must be a time`},
		"too old":           {"?from=1890-01-01T00:00:00Z", http.StatusBadRequest, `"from","detail":"must be between`},
		"the wrong way":     {"?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", http.StatusBadRequest, `"from","detail":"must be before to`},
		"nothing":           {"?from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z", http.StatusBadRequest, `"from","detail":"must be before to`},
		"another parameter": {"?limit=3", http.StatusBadRequest, `"limit","detail":"is not a parameter`},
		"twice":             {"?to=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", http.StatusBadRequest, `"to","detail":"is there twice`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := w.call(t, http.MethodGet, hooks+hook.String()+"/manifest/"+test.query, "")
			require.Equal(t, test.status, a.status, "%s", a.text)
			require.Contains(t, a.text, test.reason)
		})
	}
	w.db.MakeTenant(t, "acme")
	theirs := w.db.MakeToken(t, store.NewToken{Name: "theirs", Tenant: "acme", Role: store.Admin})
	a := w.call(t, http.MethodGet, hooks+hook.String()+"/manifest/", "", token(theirs))
	require.Equal(t, http.StatusNotFound, a.status, "of another tenant")
	a = w.call(t, http.MethodGet, hooks+hook.String()+"/manifest/", "")
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.text, `{"summary":"{\"type\":\"hook.manifest\"`, "without a range it is of the last day, and empty here")
}
