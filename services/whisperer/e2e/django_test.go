package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/django"
)

// djangoDump is the output of `manage.py dumpdata whisperer`: two hooks, and history, which is ignored.
const djangoDump = `[
{"model": "whisperer.webhook", "pk": 61, "fields": {"created_date": "2021-03-04T05:06:07.089Z", "modified_date": "2022-01-02T03:04:05Z",
 "user": 7, "target_url": "%[1]s/packages", "is_active": true, "secret_key": "s3cret", "event_type": "package-created", "callback": null,
 "retry_countdown_config": {"choice": "linear", "kwargs": {"base": 60, "limit": 600}}, "additional_headers": {"X-Shop": "12"},
 "config": {"channel_id": 12, "auth": {"auth_type": "basic", "username": "erp", "password": "pässword"}}}},
{"model": "whisperer.webhook", "pk": 62, "fields": {"created_date": "2021-03-04T05:06:08Z", "modified_date": "2021-03-04T05:06:08Z",
 "user": 8, "target_url": "%[1]s/off", "is_active": false, "secret_key": null, "event_type": "package-created", "callback": null,
 "retry_countdown_config": {}, "additional_headers": {}, "config": {}}},
{"model": "whisperer.webhookevent", "pk": 1, "fields": {"uuid": "da81e851-3982-4c61-87dd-1e58a7d3f971", "webhook": 61, "delivered": true}}
]`

func TestAReceiverOfTheDjangoApplicationGoesOnAfterTheImport(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	got := make(chan string, 10)
	// As it was written for Django: the old signature, the header, basic authentication, the old body.
	old := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("s3cret"))
		mac.Write(body)
		signed := r.Header.Get("X-Whisperer-Signature") == "sha256="+hex.EncodeToString(mac.Sum(nil))
		user, password, _ := r.BasicAuth()
		got <- fmt.Sprintln(r.URL.Path, signed, r.Header.Get("X-Shop"), user, password == "pässword", r.Header.Get("Content-Type"), string(body))
	}))
	t.Cleanup(old.Close)
	dump := filepath.Join(t.TempDir(), "dump.json")
	require.NoError(t, os.WriteFile(dump, fmt.Appendf(nil, djangoDump, old.URL), 0o600))
	s.start("delivery-worker")
	for _, want := range []string{"2 imported, 0 unchanged", "0 imported, 2 unchanged"} {
		command := exec.CommandContext(t.Context(), filepath.Join(binaries, "whisperer"), "import-django", "--format", "whisperer", dump)
		command.Env = s.env
		printed, err := command.CombinedOutput()
		require.NoError(t, err, string(printed))
		require.Contains(t, string(printed), want)
	}
	require.NoError(t, s.bus.PublishEvents(t.Context(), []bus.Outgoing{{
		Tenant: webhook.DefaultTenant, Type: "package.created", Body: []byte(`{"event_id":"p-61","data":{"id":61,"price":1.50}}`),
	}}))
	select {
	case request := <-got:
		require.Equal(t, `/packages true 12 erp true application/json {"event":{"type":"package.created","uuid":"p-61"},"data":{"id":61,"price":1.50}}`+"\n", request)
	case <-time.After(2 * time.Minute):
		require.Fail(t, "the imported hook gets nothing")
	}
	s.awaitRecorded(django.HookID(webhook.DefaultTenant, "61").String(), map[string]webhook.DeliveryState{"p-61": webhook.Delivered}, 1)
}
