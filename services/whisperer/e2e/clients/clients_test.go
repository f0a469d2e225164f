// Package clients_test checks what Whisperer serves with other software: client generators and linters for its
// documents, verifiers of signatures, and CloudEvents SDKs and a NATS client for its deliveries and subjects. They
// come from their registries, in the versions that testdata pins.
package clients_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/standalone"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// delivery is a request as the receiver got it, in the form that the foreign programs read.
type delivery struct {
	// Secret is the secret that the libraries get, Raw says that it is the secret's bytes, and Refused that it is the
	// wrong one.
	Secret  string            `json:"secret"`
	Raw     bool              `json:"raw"`
	Refused bool              `json:"refused"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`

	header http.Header
}

// prefixed is a secret in the format of Standard Webhooks.
const prefixed = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// world is a running system and a receiver.
type world struct {
	url, token, nats, database string
	api                        *client.Client
	receiver                   *testenv.Receiver
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{nats: testenv.NATS(t), database: testenv.EmptyPostgres(t), receiver: testenv.NewReceiver(t)}
	w.receiver.Answer("/fails-once", testenv.Answer{Status: http.StatusServiceUnavailable}, testenv.Answer{})

	data := filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- standalone.Run(ctx, standalone.Options{
			Data: data, DatabaseURL: w.database, NATSURL: w.nats, AnyPort: true, Speed: 1, Version: "test", Program: "whisperer", Out: io.Discard,
		})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	require.Eventually(t, func() bool {
		url, errURL := os.ReadFile(filepath.Join(data, "url"))
		token, errToken := os.ReadFile(filepath.Join(data, "token"))
		w.url, w.token = strings.TrimSpace(string(url)), strings.TrimSpace(string(token))
		return errURL == nil && errToken == nil && w.url != "" && w.token != ""
	}, patience, 20*time.Millisecond, "the system did not start")
	var err error
	w.api, err = client.New(client.Options{URL: w.url, Token: w.token})
	require.NoError(t, err)
	return w
}

// environ returns the environment for the foreign programs.
func (w *world) environ() []string {
	return []string{"WHISPERER_URL=" + w.url, "WHISPERER_TOKEN=" + w.token, "RECEIVER=" + w.receiver.URL, "NATS_URL=" + w.nats}
}

// get reads a public page of the API.
func (w *world) get(t *testing.T, path string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+path, nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, string(body))
	return body
}

// call calls the API for what the client has no method for.
func (w *world) call(t *testing.T, method, path string, in any) map[string]any {
	t.Helper()
	body, err := json.Marshal(in)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), method, w.url+"/whisperer/"+path, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Token "+w.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Less(t, res.StatusCode, 300, "%s", answer)
	var out map[string]any
	require.NoError(t, json.Unmarshal(answer, &out))
	return out
}

// hook creates a hook that targets a path of the receiver, for the events of one entity. Concurrent tests use
// different entities, so none gets another's events.
func (w *world) hook(t *testing.T, entity, path, format, secret string, also ...map[string]any) string {
	t.Helper()
	config := map[string]any{"format": format, "filter": fmt.Sprintf("event.entity == %q", entity)}
	for _, keys := range also {
		maps.Copy(config, keys)
	}
	id, ok := w.call(t, http.MethodPost, "hooks/", map[string]any{
		"target_url": w.receiver.URL + path, "event_type": "order.created", "secret_key": secret,
		"config": config,
	})["id"].(string)
	require.True(t, ok)
	return id
}

// await returns the first n requests to the path.
func (w *world) await(t *testing.T, path string, n int) []delivery {
	t.Helper()
	var list []delivery
	for _, q := range w.receiver.Await(t, path, n)[:n] {
		d := delivery{Headers: map[string]string{}, Body: q.Body, Method: q.Method, URL: q.URL, header: q.Header}
		for name := range q.Header {
			d.Headers[strings.ToLower(name)] = q.Header.Get(name)
		}
		list = append(list, d)
	}
	return list
}

// order returns the catalogue's example of order.created.
func (w *world) order(t *testing.T) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(w.call(t, http.MethodGet, "event-types/order.created/", nil)["example"])
	require.NoError(t, err)
	return raw
}

func TestForeignSoftwareWorksWithWhatIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := newNode(t)
	n.write("openapi.json", bytes.Replace(w.get(t, "/whisperer/openapi.json"), []byte(`"servers":[{"url":"/"}]`), fmt.Appendf(nil, `"servers":[{"url":%q}]`, w.url), 1))
	require.Contains(t, n.read("openapi.json"), w.url, "the document names its server")
	n.write("asyncapi.json", w.get(t, "/whisperer/asyncapi.json"))
	n.run(nil, nil, "redocly", "lint", "--config", "redocly.yaml", "openapi.json")
	n.run(nil, nil, "openapi-typescript", "openapi.json", "--output", "openapi.ts")
	for _, bad := range []string{"Record<string, undefined>", ": Record<string, never> |"} {
		require.NotContains(t, n.read("openapi.ts"), bad)
	}
	n.run(nil, nil, "orval", "--config", "./orval.config.cjs")
	n.run(nil, nil, "tsc", "--project", "tsconfig.json")

	t.Run("client of openapi-typescript", func(t *testing.T) {
		t.Parallel()
		require.Contains(t, n.node(t, w.environ(), nil, "life-openapi-fetch.js"), "ok: a problem has its type")
	})
	t.Run("client of orval", func(t *testing.T) {
		t.Parallel()
		require.Contains(t, n.node(t, w.environ(), nil, "life-orval.js"), "ok: a problem has its type")
	})
	t.Run("client of oapi-codegen, and CloudEvents by Go", func(t *testing.T) {
		t.Parallel()
		w.hook(t, "go:1", "/go-cloudevents", "cloudevents", prefixed)
		w.publish(t, "go:1", "of-go")
		out := goProgram(t, n.read("openapi.json"), w.environ(), lines(t, w.await(t, "/go-cloudevents", 1)))
		require.Contains(t, out, "ok: a problem has its type")
		require.Regexp(t, `event: of-go order\.created \d+ \d{16}`, out)
	})
	t.Run("publishing as AsyncAPI says", func(t *testing.T) {
		t.Parallel()
		w.hook(t, "nats:1", "/nats", "oms", prefixed)
		subjects := strings.Fields(n.node(t, nil, nil, "asyncapi.js"))
		require.Contains(t, subjects, "oms.{tenant}.order.created")
		require.NotContains(t, strings.Join(subjects, " "), "hook.disabled", "nobody else may publish that")
		subject := strings.Replace("oms.{tenant}.order.created", "{tenant}", "default", 1)
		n.node(t, w.environ(), nil, "publish.js", subject, string(w.order(t)))
		ids := map[string]bool{}
		for _, d := range w.await(t, "/nats", 3) {
			ids[d.Headers["x-whisperer-event-id"]] = true
		}
		require.Equal(t, map[string]bool{"nats-envelope": true, "nats-structured|/shop": true, "nats-binary|/shop": true}, ids)
	})
	t.Run("verifiers of vendors", func(t *testing.T) {
		t.Parallel()
		var list []delivery
		presets := []string{"github", "shopify", "stripe"}
		for _, preset := range presets {
			w.hook(t, "vendors:1", "/"+preset, "oms", "a secret of "+preset, map[string]any{"signature": map[string]any{"preset": preset}})
		}
		w.publish(t, "vendors:1", "of-vendors")
		for _, preset := range presets {
			d := w.await(t, "/"+preset, 1)[0]
			d.Secret = "a secret of " + preset
			list = append(list, d)
		}
		require.Equal(t, "verified x-hub-signature-256\nverified x-shopify-hmac-sha256\nverified stripe-signature\n", n.node(t, nil, lines(t, list), "schemes.js"))
	})
	t.Run("verifiers and a receiver with generated types", func(t *testing.T) {
		t.Parallel()
		list := w.verified(t)
		require.Regexp(t, `order \d+ \w+ [1-9]\d*`, n.node(t, nil, lines(t, list), "receive.js"))
	})
}

// publish publishes an order.
func (w *world) publish(t *testing.T, entity, id string) {
	t.Helper()
	w.call(t, http.MethodPost, "events/", map[string]any{"event_id": id, "event_type": "order.created", "entity": entity, "data": w.order(t)})
}

// publishUntil publishes one event after the other until is returns true for the nth, and returns n.
func (w *world) publishUntil(t *testing.T, entity string, is func(n int) bool) int {
	t.Helper()
	for began, n := time.Now(), 1; ; n++ {
		w.publish(t, entity, fmt.Sprintf("%s-%d", entity, n))
		if is(n) {
			return n
		}
		require.Less(t, time.Since(began), patience)
	}
}

// signatures counts the signatures of a delivery.
func signatures(d delivery) int { return len(strings.Fields(d.Headers["webhook-signature"])) }

// verified makes deliveries to hooks with all kinds of secrets, and verifies those that Go's library can verify.
func (w *world) verified(t *testing.T) []delivery {
	t.Helper()
	const other, plain, entity = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "correct horse battery staple", "signed:1"
	w.hook(t, entity, "/prefixed", "oms", prefixed)
	w.hook(t, entity, "/plain", "oms", plain)
	w.hook(t, entity, "/cloudevents", "cloudevents", prefixed)
	w.call(t, http.MethodPost, "hooks/"+w.hook(t, entity, "/rotated", "oms", prefixed)+"/secret/rotate/", map[string]any{"secret_key": other})
	ed := w.hook(t, entity, "/ed25519", "oms", prefixed)
	public, ok := w.call(t, http.MethodPost, "hooks/"+ed+"/secret/rotate/", map[string]any{"algorithm": "ed25519"})["public_key"].(string)
	require.True(t, ok)
	n := w.publishUntil(t, entity, func(n int) bool { // a worker's knowledge of a hook may be a second old
		return signatures(w.await(t, "/rotated", n)[n-1]) == 2 && signatures(w.await(t, "/ed25519", n)[n-1]) == 2
	})

	var list []delivery
	add := func(path, secret string, change ...func(d *delivery)) {
		d := w.await(t, path, n)[n-1]
		d.Secret = secret
		for _, c := range change {
			c(&d)
		}
		list = append(list, d)
		var hook *standardwebhooks.Webhook
		var err error
		if d.Raw {
			hook, err = standardwebhooks.NewWebhookRaw([]byte(secret))
		} else {
			hook, err = standardwebhooks.NewWebhook(secret)
		}
		require.NoError(t, err)
		require.Equal(t, d.Refused, hook.Verify([]byte(d.Body), d.header) != nil, "%s with %s", path, secret)
	}
	refused := func(d *delivery) { d.Refused = true }
	add("/prefixed", prefixed)
	add("/prefixed", other, refused)
	add("/plain", plain, func(d *delivery) { d.Raw = true })
	add("/plain", base64.StdEncoding.EncodeToString([]byte(plain)))
	add("/plain", "whsec_"+base64.StdEncoding.EncodeToString([]byte(plain)))
	add("/cloudevents", prefixed)
	add("/rotated", prefixed)
	add("/rotated", other)
	add("/ed25519", prefixed) // until the old secret expires; the libraries skip v1a
	require.Contains(t, list[len(list)-1].Headers["webhook-signature"], "v1a,")
	key, err := signature.ParseVerifyKey(public)
	require.NoError(t, err)
	last := list[len(list)-1]
	require.NoError(t, signature.Verify(last.header, []byte(last.Body), []signature.VerifyKey{key}, time.Now(), time.Minute))

	documented := deliveryHeaders(t, w.get(t, "/whisperer/openapi.json"))
	require.NotEmpty(t, documented)
	for name, required := range documented {
		require.True(t, !required || last.header.Get(name) != "", "%s is documented and was not sent", name)
	}
	for name := range last.header {
		_, there := documented[strings.ToLower(name)]
		require.True(t, there || !strings.HasPrefix(name, "X-Whisperer-") && !strings.HasPrefix(name, "Webhook-"), "%s is sent and not documented", name)
	}
	_, err = strconv.ParseInt(last.Headers["x-whisperer-sequence"], 10, 64)
	require.NoError(t, err)
	return list
}

// deliveryHeaders returns the document's headers of deliveries, in lower case, and whether they are always sent.
func deliveryHeaders(t *testing.T, document []byte) map[string]bool {
	t.Helper()
	var doc struct {
		Webhooks map[string]struct {
			Post struct {
				Parameters []struct {
					Name     string `json:"name"`
					Required bool   `json:"required"`
				} `json:"parameters"`
			} `json:"post"`
		} `json:"webhooks"`
	}
	require.NoError(t, json.Unmarshal(document, &doc))
	headers := map[string]bool{}
	for _, p := range doc.Webhooks["order.created"].Post.Parameters {
		headers[strings.ToLower(p.Name)] = p.Required
	}
	return headers
}

// lines encodes deliveries, one per line.
func lines(t *testing.T, list []delivery) []byte {
	t.Helper()
	var out bytes.Buffer
	for i := range list {
		require.NoError(t, json.NewEncoder(&out).Encode(&list[i]))
	}
	return out.Bytes()
}

// TestTheLockNamesNoRegistry makes sure that the lock file works with any registry: whoever generates it may use one
// of their own.
func TestTheLockNamesNoRegistry(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/npm/package-lock.json")
	require.NoError(t, err)
	defer f.Close()
	resolved := regexp.MustCompile(`"resolved": "(https?://[^/"]+)`)
	for text := bufio.NewScanner(f); text.Scan(); {
		if m := resolved.FindStringSubmatch(text.Text()); m != nil {
			require.Equal(t, "https://registry.npmjs.org", m[1])
		}
	}
}
