package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// inside is a server that nothing may be sent to; it counts requests.
func inside(t *testing.T) (url string, came *atomic.Int32) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.2:0")
	require.NoError(t, err)
	came = &atomic.Int32{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String(), came
}

// guarded returns hooks that would lead inside, one for each field with a URL, with the pointer of the expected
// error.
func guarded(inside, outside string) map[string]string {
	hook := func(target, more string) string {
		return fmt.Sprintf(`{"event_type":"*","target_url":"%s","retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1},"max_retries":1}%s}`, target, more)
	}
	return map[string]string{
		"/target_url":            hook(inside+"/target", ""),
		"/callback/url":          hook(outside+"/callback", `,"callback":{"url":"`+inside+`/callback"}`),
		"/config/auth/url":       hook(outside+"/login", `,"config":{"auth":{"auth_type":"token","url":"`+inside+`/login","username":"u","password":"p"}}`),
		"/config/auth/token_url": hook(outside+"/oauth", `,"config":{"auth":{"auth_type":"oauth2","token_url":"`+inside+`/oauth","client_id":"c","client_secret":"s"}}`),
	}
}

func TestNoURLLeadsInsideHoweverItGotThere(t *testing.T) {
	t.Parallel()
	s := newSystem(t) // its API allows all of 127.0.0.0/8, as if the rules had been different when the hooks were saved
	forbidden, came := inside(t)
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, forbidden+"/redirected", http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(outside.Close)
	const strict = "WHISPERER_EGRESS_ALLOW=127.0.0.1/32"

	address := freeAddress(t)
	s.start("subscription-api", "WHISPERER_LISTEN="+address, strict)
	for pointer, body := range guarded(forbidden, outside.URL) {
		status, text := ask(t, http.MethodPost, "http://"+address+"/whisperer/hooks/", s.token, body)
		require.Equal(t, http.StatusUnprocessableEntity, status, pointer)
		require.Contains(t, text, `"pointer":"`+pointer+`"`)
	}

	classes := map[string]webhook.ErrorClass{
		"/target_url": webhook.ClassForbidden, "/callback/url": "", "/config/auth/url": webhook.ClassAuth, "/config/auth/token_url": webhook.ClassAuth,
	}
	called, want := "", map[string]webhook.ErrorClass{}
	for pointer, body := range guarded(forbidden, outside.URL) {
		id := s.hook(body)
		if want[id] = classes[pointer]; pointer == "/callback/url" {
			called = id
		}
	}
	written := s.hook(`{"event_type":"*","target_url":"` + outside.URL + `/written","retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1},"max_retries":1}}`)
	want[written] = webhook.ClassForbidden
	redirected := s.hook(`{"event_type":"*","target_url":"` + outside.URL + `/redirect","retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1},"max_retries":1}}`)
	want[redirected] = webhook.ClassRedirect
	_, err := s.plain().ExecContext(t.Context(), `UPDATE hooks SET target_url = $2 WHERE id = $1`, written, forbidden+"/sql")
	require.NoError(t, err)

	s.start("delivery-worker", strict)
	require.NoError(t, s.publish(t.Context(), `{"event_id":"e-1","data":1}`))
	for id, class := range want {
		require.Eventually(t, func() bool {
			d, _, err := s.db.History.GetDelivery(t.Context(), webhook.DefaultTenant, webhook.DeliveryID(uuid.MustParse(id), "e-1"))
			return err == nil && (d.State == webhook.Delivered || d.State == webhook.Dead) && d.LastError == class
		}, 2*time.Minute, 50*time.Millisecond, "%s: %q", id, class)
	}
	delivered := webhook.DeliveryID(uuid.MustParse(called), "e-1")
	callback := webhook.DeliveryID(webhook.CallbackHookID(uuid.MustParse(called)), fmt.Sprintf("%scallback:%s:1:%s", webhook.ReservedIDPrefix, delivered, webhook.Delivered))
	require.Eventually(t, func() bool {
		d, _, err := s.db.History.GetDelivery(t.Context(), webhook.DefaultTenant, callback)
		return err == nil && d.LastError == webhook.ClassForbidden
	}, 2*time.Minute, 50*time.Millisecond, "a callback is a delivery like any other")
	require.Zero(t, came.Load(), "nobody has even connected")
}
