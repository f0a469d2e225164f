package attempt_test

import (
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/attempt"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
)

const (
	oldSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// got is a request as the receiver saw it.
type got struct {
	http.Header
	method, body string
}

// receiver answers with the status and returns the requests it got.
func receiver(t *testing.T, status int) (url string, requests <-chan got) {
	t.Helper()
	c := make(chan got, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c <- got{r.Header.Clone(), r.Method, string(body)}
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		io.WriteString(w, "answered")
	}))
	t.Cleanup(s.Close)
	return s.URL, c
}

func newSender(t *testing.T, allow string) *attempt.Sender {
	t.Helper()
	policy, err := egress.ParsePolicy(allow, "")
	require.NoError(t, err)
	client := egress.NewClient(egress.Options{Policy: policy, Version: "1.2.3"})
	t.Cleanup(client.Close)
	return attempt.New(attempt.Options{Client: client, Version: "1.2.3"})
}

func due(t *testing.T, url, config string) *webhook.Due {
	t.Helper()
	c, err := webhook.ParseConfig([]byte(config))
	require.NoError(t, err)
	h := &webhook.Hook{ID: uuid.New(), Tenant: "acme", TargetURL: url, Config: c, Status: webhook.Active}
	d := webhook.FirstDue(h, &webhook.Event{
		ID: "e-1", Tenant: "acme", Type: "order.created", Time: time.Unix(0, 0), PublishedAt: time.Now(), Seq: webhook.SequenceIn(webhook.OMS, 1795973252411024), Data: []byte(`{"id":1}`),
	})
	return &d
}

func send(t *testing.T, s *attempt.Sender, d *webhook.Due) (*whispererv1.AttemptFact, webhook.Result) {
	t.Helper()
	attempt, result, cancelled := s.Send(t.Context(), d, envelope.NewBodies(d.Event))
	require.False(t, cancelled)
	return attempt, result
}

// recorded returns the value that the ledger has for a request header.
func recorded(a *whispererv1.AttemptFact, name string) string {
	for _, h := range webhook.ParseHeaderLines(a.GetRequestHeaders()) {
		if strings.EqualFold(h.Name, name) {
			return h.Value
		}
	}
	return ""
}

func TestAHooksOwnSignatureIsSentBesideStandardWebhooks(t *testing.T) {
	t.Parallel()
	url, requests := receiver(t, 200)
	d := due(t, url, `{"signature":{"preset":"stripe"}}`)
	d.Hook.Secrets = []webhook.Secret{{Value: "new"}, {Value: "old", ExpiresAt: time.Now().Add(time.Hour)}, {Value: "gone", ExpiresAt: time.Now().Add(-time.Hour)}}
	send(t, newSender(t, "127.0.0.1"), d)
	r := <-requests
	require.Regexp(t, `^v1,\S+ v1,\S+$`, r.Get("Webhook-Signature"))
	mac := hmac.New(sha256.New, []byte("old")) // during a rotation the receiver still has the old secret
	mac.Write([]byte(r.Get("Webhook-Timestamp") + "." + r.body))
	require.Equal(t, "t="+r.Get("Webhook-Timestamp")+",v1="+hex.EncodeToString(mac.Sum(nil)), r.Get("Stripe-Signature"))
}

func TestNothingIsSentUnsignedWithoutASigningKey(t *testing.T) {
	t.Parallel()
	url, requests := receiver(t, 200)
	policy, err := egress.ParsePolicy("127.0.0.1", "")
	require.NoError(t, err)
	client := egress.NewClient(egress.Options{Policy: policy})
	t.Cleanup(client.Close)
	keys := &httpsig.Ring{}
	s := attempt.New(attempt.Options{Client: client, Keys: keys})
	for _, algorithm := range webhook.MessageAlgorithms() {
		d := due(t, url, `{"signature":{"preset":"rfc9421","algorithm":"`+algorithm+`"}}`)
		d.Hook.Secrets = []webhook.Secret{{Value: "a secret does not do instead"}}
		a, result := send(t, s, d)
		require.Equal(t, webhook.ClassSigning, result.Class)
		require.Zero(t, a.GetRequestSize())
		require.Contains(t, a.GetError(), "no "+algorithm+" signing key yet")
		next := webhook.Decide(webhook.DefaultCountdown(), nil, webhook.Round{StartedAt: time.Now()}, result, time.Now(), 0)
		require.Equal(t, webhook.Waiting, next.State, "it is tried again")
		require.False(t, result.Class.Asked(), "no receiver is blamed for it")
	}
	require.Empty(t, requests)

	key, err := httpsig.Generate(webhook.ECDSAP256)
	require.NoError(t, err)
	key.Tenant, key.State = "acme", httpsig.Current
	keys.Replace([]httpsig.Key{key})
	_, result := send(t, s, due(t, url+"/a?b=c", `{"signature":{"preset":"rfc9421"}}`))
	require.True(t, result.Success())
	r := <-requests
	require.Contains(t, r.Get("Signature-Input"), ";created="+r.Get("Webhook-Timestamp")+`;keyid="`+key.ID+`"`)
	require.NotEmpty(t, r.Get("Signature"))
	require.NotEmpty(t, r.Get("Content-Digest"))
}

func TestARequestSaysWhatItIs(t *testing.T) {
	t.Parallel()
	url, requests := receiver(t, 200)
	d := due(t, url, ``)
	d.Attempts = 2
	attempt, result := send(t, newSender(t, "127.0.0.1"), d)
	r := <-requests
	require.Equal(t, "POST", r.method)
	require.JSONEq(t, `{"event_time":"1970-01-01T00:00:00Z","event_type":"order.created","current_context":{},"data":{"id":1}}`, r.body)
	for name, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "Whisperer/1.2.3", "Webhook-Id": d.ID.String(), "X-Whisperer-Event": "order.created",
		"X-Whisperer-Delivery": d.ID.String(), "X-Whisperer-Event-Id": "e-1", "X-Whisperer-Attempt": "3", "X-Whisperer-Sequence": "1795973252411024", "X-Whisperer-Replay": "",
		"Webhook-Signature": "", "X-Whisperer-Signature": "", "Authorization": "", "X-Api-Key": "", "Accept-Encoding": "",
	} {
		require.Equal(t, want, r.Get(name), name)
		require.Equal(t, want, recorded(attempt, name), name)
	}
	require.Regexp(t, `^\d{10}$`, r.Get("Webhook-Timestamp"))
	require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`, r.Get("Traceparent"))

	require.True(t, result.Success())
	require.EqualValues(t, 3, attempt.GetNumber())
	require.Equal(t, "succeeded", attempt.GetOutcome())
	require.EqualValues(t, 200, attempt.GetStatus())
	require.Equal(t, "POST "+url, attempt.GetMethod()+" "+attempt.GetUrl())
	require.Equal(t, "answered", string(attempt.GetResponseBody()))
	require.EqualValues(t, len(r.body), attempt.GetRequestSize())
	digest := sha256.Sum256([]byte(r.body))
	require.Equal(t, digest[:], attempt.GetBodyDigest())
	require.Positive(t, attempt.GetDuration())
	require.Empty(t, attempt.GetError())
	lines := webhook.ParseHeaderLines(attempt.GetRequestHeaders())
	byName := func(a, b webhook.Header) int { return strings.Compare(a.Name, b.Name) }
	require.True(t, slices.IsSortedFunc(lines, byName), "in an order that people can read: %v", lines)
}

// rawReceiver answers each request with 200 and returns the unparsed heads.
func rawReceiver(t *testing.T) (url string, heads <-chan string) {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	c := make(chan string, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 64<<10)
			n, _ := conn.Read(buf)
			c <- string(buf[:n])
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			conn.Close()
		}
	}()
	return "http://" + l.Addr().String(), c
}

func TestHeadersAreSentAsTheyAreSpeltAndTheIntegratorsComeFirst(t *testing.T) {
	t.Parallel()
	url, heads := rawReceiver(t)
	s := newSender(t, "127.0.0.1")
	d := due(t, url, `{"api_key_header":"X-KEY"}`)
	a, _ := send(t, s, d)
	head := <-heads
	require.Contains(t, head, "\r\nAccept: */*\r\n")
	require.Contains(t, head, "\r\nUser-Agent: Whisperer/1.2.3\r\n")
	require.Equal(t, "*/*", recorded(a, "Accept"))

	changed := *d.Hook
	changed.APIKey = "k"
	changed.Headers = map[string]string{"SOAPAction": "send", "ETag": "1", "accept": "text/xml", "USER-AGENT": "shop/2"}
	d.Hook = &changed
	a, _ = send(t, s, d)
	head = <-heads
	for _, line := range []string{"SOAPAction: send", "ETag: 1", "X-KEY: k", "accept: text/xml", "User-Agent: shop/2"} {
		require.Contains(t, head, "\r\n"+line+"\r\n")
	}
	require.NotContains(t, head, "Whisperer/")
	require.NotContains(t, head, "*/*")
	require.Equal(t, "[hidden]", recorded(a, "SOAPAction"))
	require.Equal(t, "[hidden]", recorded(a, "X-KEY"))
	require.Equal(t, "text/xml", recorded(a, "accept"), "no secret, and what people ask about")

	a, _ = send(t, s, due(t, url, `{"headers_from":{"accept":"event.type","USER-AGENT":"\"shop/3\"","authorization":"event.id"}}`))
	require.Equal(t, "[hidden]", recorded(a, "Authorization"), "in whatever spelling")
	head = <-heads
	require.Equal(t, 1, strings.Count(strings.ToLower(head), "\r\naccept: "), head)
	require.Contains(t, strings.ToLower(head), "\r\naccept: order.created\r\n")
	require.Equal(t, 1, strings.Count(head, "\r\nUser-Agent: "), head)
	require.Contains(t, head, "\r\nUser-Agent: shop/3\r\n")
}

func TestAReplayKeepsItsIDAndSaysSo(t *testing.T) {
	t.Parallel()
	url, requests := receiver(t, 200)
	s, d := newSender(t, "127.0.0.1"), due(t, url, ``)
	send(t, s, d)
	first := <-requests
	d.Replay, d.Attempts = true, 4
	send(t, s, d)
	again := <-requests
	require.Equal(t, "true", again.Get("X-Whisperer-Replay"))
	require.Equal(t, "5", again.Get("X-Whisperer-Attempt"))
	require.Equal(t, first.Get("Webhook-Id"), again.Get("Webhook-Id"))
	require.Equal(t, first.body, again.body)
}

func TestAFailureIsTold(t *testing.T) {
	t.Parallel()
	url, _ := receiver(t, 503)
	attempt, result := send(t, newSender(t, "127.0.0.1"), due(t, url, ``))
	require.Equal(t, webhook.Result{Status: 503, Class: webhook.ClassStatus, RetryAfter: 7 * time.Second}, result)
	require.Equal(t, "failed", attempt.GetOutcome())
	require.Equal(t, "http_status", attempt.GetErrorClass())
	require.NotEmpty(t, attempt.GetError())
	require.Equal(t, "answered", string(attempt.GetResponseBody()))
}

func TestSecretsSignUntilTheyExpire(t *testing.T) {
	t.Parallel()
	old, current := webhook.Secret{Value: oldSecret}, webhook.Secret{Value: newSecret}
	expiring := func(in time.Duration) webhook.Secret {
		s := old
		s.ExpiresAt = time.Now().Add(in)
		return s
	}
	tests := map[string]struct {
		secrets                  []webhook.Secret
		verifiesNew, verifiesOld bool
		signatures               int
		legacy                   string // the secret of X-Whisperer-Signature, which holds only one signature
	}{
		"one secret":                            {[]webhook.Secret{current}, true, false, 1, newSecret},
		"both while a rotation is on":           {[]webhook.Secret{current, expiring(time.Hour)}, true, true, 2, oldSecret},
		"the current one after the old expired": {[]webhook.Secret{current, expiring(-time.Second)}, true, false, 1, newSecret},
		"nothing when all have expired":         {[]webhook.Secret{expiring(-time.Second)}, false, false, 0, ""},
		"nothing without a secret":              {nil, false, false, 0, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, requests := receiver(t, 200)
			d := due(t, url, `{"format":"standard"}`)
			d.Hook.Secrets = test.secrets
			attempt, _ := send(t, newSender(t, "127.0.0.1"), d)
			r := <-requests
			for secret, want := range map[string]bool{newSecret: test.verifiesNew, oldSecret: test.verifiesOld} {
				key, err := signature.ParseVerifyKey(secret)
				require.NoError(t, err)
				err = signature.Verify(r.Header, []byte(r.body), []signature.VerifyKey{key}, time.Now(), time.Minute)
				require.Equal(t, want, err == nil)
			}
			require.Len(t, strings.Fields(r.Get("Webhook-Signature")), test.signatures)
			legacy := ""
			if test.legacy != "" {
				key, err := signature.ParseKey(test.legacy)
				require.NoError(t, err)
				legacy = signature.LegacySign([]byte(r.body), key)
			}
			require.Equal(t, legacy, r.Get("X-Whisperer-Signature"))
			for _, secret := range []string{newSecret, oldSecret} {
				require.NotContains(t, attempt.String(), strings.TrimPrefix(secret, "whsec_"))
			}
		})
	}
}

func TestAnySecretSignsTheBodyAsThePredecessorDid(t *testing.T) {
	t.Parallel()
	url, requests := receiver(t, 200)
	d := due(t, url, ``)
	d.Hook.Secrets = []webhook.Secret{{Value: "any pässword"}}
	send(t, newSender(t, "127.0.0.1"), d)
	r := <-requests
	mac := hmac.New(sha256.New, []byte("any pässword"))
	mac.Write([]byte(r.body))
	require.Equal(t, "sha256="+hex.EncodeToString(mac.Sum(nil)), r.Get("X-Whisperer-Signature"))
}

func TestAHookThatHasChangedSendsAsItIsNow(t *testing.T) {
	t.Parallel()
	first, toFirst := receiver(t, 200)
	second, toSecond := receiver(t, 200)
	s, d := newSender(t, "127.0.0.1"), due(t, first, ``)
	send(t, s, d)
	require.Empty(t, (<-toFirst).Get("X-A"))
	changed := *d.Hook
	changed.TargetURL, changed.Headers = second, map[string]string{"x-a": "1"}
	d.Hook = &changed
	send(t, s, d)
	require.Equal(t, "1", (<-toSecond).Get("X-A"))
	require.Empty(t, toFirst)
	s.Forget(d.Hook.ID)
	send(t, s, d)
	require.Equal(t, "1", (<-toSecond).Get("X-A"))
}

func TestWhatIsTheIntegratorsIsHiddenInTheLedger(t *testing.T) {
	t.Parallel()
	url, requests := receiver(t, 200)
	d := due(t, url, `{"api_key_header":"x-key","method":"PUT","auth":{"auth_type":"basic","username":"canary-user","password":"canary:päss"}}`)
	d.Hook.APIKey = "canary-key"
	d.Hook.Headers = map[string]string{"x-TOKEN": "canary-token", "Accept-Language": "canary-de"}
	attempt, _ := send(t, newSender(t, "127.0.0.1"), d)
	r := <-requests
	require.Equal(t, "PUT", r.method)
	user, password, ok := (&http.Request{Header: r.Header}).BasicAuth()
	require.True(t, ok)
	require.Equal(t, "canary-user canary:päss", user+" "+password)
	require.Equal(t, "canary-key", r.Get("X-Key"))
	require.Equal(t, "canary-token", r.Get("X-Token"))
	for _, name := range []string{"Authorization", "X-Key", "X-Token", "Accept-Language"} {
		require.Equal(t, "[hidden]", recorded(attempt, name), name)
	}
	require.NotContains(t, attempt.String(), "canary")
	require.NotContains(t, attempt.String(), r.Get("Authorization"))
	require.Equal(t, d.ID.String(), recorded(attempt, "Webhook-Id"), "what is ours is told")
}

func TestAForbiddenTargetIsRecordedAndNeverReached(t *testing.T) {
	t.Parallel()
	url, requests := receiver(t, 200)
	for name, target := range map[string]string{
		"an address of this machine":         url,
		"its name":                           strings.Replace(url, "127.0.0.1", "localhost", 1),
		"a port that nobody listens at":      "http://127.0.0.1:1/",
		"the addresses of clouds' metadata":  "http://169.254.169.254/latest/meta-data/",
		"another form of the same address":   "http://2130706433/",
		"no URL, as a row by hand may have":  "not a URL",
		"another scheme, likewise, by force": "file:///etc/passwd",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attempt, result := send(t, newSender(t, ""), due(t, target, ``))
			require.Equal(t, webhook.Result{Class: webhook.ClassForbidden}, result)
			require.Equal(t, "target_forbidden", attempt.GetErrorClass())
			require.Equal(t, "failed", attempt.GetOutcome())
			require.Equal(t, target, attempt.GetUrl())
			require.EqualValues(t, 1, attempt.GetNumber())
			require.NotEmpty(t, attempt.GetError())
			require.NotContains(t, attempt.GetError(), "refused")
			require.Empty(t, requests)
		})
	}
}

func TestARequestThatCannotBeMadeSaysWhy(t *testing.T) {
	t.Parallel()
	url, requests := receiver(t, 200)
	secret := due(t, url, ``)
	secret.Hook.Secrets = []webhook.Secret{{Value: "whsec_canary not base64"}}
	format := due(t, url, ``)
	format.Hook.Config.Format = "xml"
	for name, d := range map[string]*webhook.Due{"a secret that is none": secret, "a format that there is not": format} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attempt, result := send(t, newSender(t, "127.0.0.1"), d)
			require.Equal(t, webhook.Result{Class: webhook.ClassRequest}, result)
			require.Equal(t, "request_invalid", attempt.GetErrorClass())
			require.Equal(t, "failed", attempt.GetOutcome())
			require.NotEmpty(t, attempt.GetError())
			require.NotContains(t, attempt.String(), "canary")
			require.Empty(t, requests)
		})
	}
}

func TestTheEventsTraceGoesOn(t *testing.T) {
	t.Parallel()
	url, requests := receiver(t, 200)
	s, d := newSender(t, "127.0.0.1"), due(t, url, ``)
	d.Event.Traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	send(t, s, d)
	send(t, s, d)
	first, second := (<-requests).Get("Traceparent"), (<-requests).Get("Traceparent")
	for _, trace := range []string{first, second} {
		require.Regexp(t, `^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-00$`, trace)
		require.NotContains(t, trace, "00f067aa0ba902b7")
	}
	require.NotEqual(t, first, second, "each attempt is a span of its own")
}

func TestAnAttemptThatIsGivenUpIsNoAttempt(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	d := due(t, s.URL, ``)
	attempt, _, cancelled := newSender(t, "127.0.0.1").Send(ctx, d, envelope.NewBodies(d.Event))
	require.True(t, cancelled)
	require.Nil(t, attempt)
}

func TestTheTimeoutIsTheHooks(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	started := time.Now()
	attempt, result := send(t, newSender(t, "127.0.0.1"), due(t, s.URL, `{"timeout":1}`))
	require.Less(t, time.Since(started), webhook.DefaultTimeout)
	require.Equal(t, webhook.ClassTimeout, result.Class)
	require.GreaterOrEqual(t, time.Duration(attempt.GetDuration()), time.Second)
}

func TestATestIsMarkedAndRemembersNothing(t *testing.T) {
	t.Parallel()
	url, requests := receiver(t, 503)
	s, d := newSender(t, "127.0.0.1"), due(t, url, `{"format":"raw"}`)
	d.Hook.Secrets = []webhook.Secret{{Value: newSecret}}
	result, err := s.Test(t.Context(), d.Hook, d.Event)
	require.NoError(t, err)
	r := <-requests
	require.Equal(t, "true", r.Get("X-Whisperer-Test"))
	require.Equal(t, result.Attempt.DeliveryID.String(), r.Get("Webhook-Id"))
	require.NotEqual(t, d.ID, result.Attempt.DeliveryID)
	require.NotEmpty(t, r.Get("Webhook-Signature"))
	require.JSONEq(t, `{"id":1}`, string(result.RequestBody))
	require.Equal(t, 503, result.Attempt.Status)
	require.Equal(t, webhook.ClassStatus, result.Attempt.Class)
	require.Equal(t, webhook.Failed, result.Attempt.Outcome)

	send(t, s, d)
	require.Empty(t, (<-requests).Get("X-Whisperer-Test"))
	d.Hook.Secrets = []webhook.Secret{{Value: "whsec_no base64"}}
	result, err = s.Test(t.Context(), d.Hook, d.Event)
	require.NoError(t, err)
	require.Equal(t, webhook.ClassRequest, result.Attempt.Class)
	require.Empty(t, result.RequestBody)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	d.Hook.Secrets = nil
	_, err = s.Test(ended, d.Hook, d.Event)
	require.ErrorIs(t, err, context.Canceled)
}

func TestAConditionReadsTheBodyThatWasMeant(t *testing.T) {
	t.Parallel()
	s := newSender(t, "127.0.0.1")
	for name, headers := range map[string]map[string]string{
		"compressed":                         {"Content-Encoding": "gzip"},
		"more headers than are kept":         {"X-Large": strings.Repeat("x", egress.MaxHeader)},
		"compressed, and more than are kept": {"Content-Encoding": "gzip", "X-Large": strings.Repeat("x", egress.MaxHeader)},
	} {
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			var out io.Writer = w
			for name, value := range headers {
				w.Header().Set(name, value)
			}
			if headers["Content-Encoding"] != "" {
				compressed := gzip.NewWriter(w)
				defer compressed.Close()
				out = compressed
			}
			io.WriteString(out, `{"ok":true}`)
		}))
		t.Cleanup(receiver.Close)
		a, result := send(t, s, due(t, receiver.URL, `{"success":{"condition":"response.body.ok"}}`))
		require.True(t, result.Success(), "%s: %s", name, a.GetError())
		_, result = send(t, s, due(t, receiver.URL, `{"success":{"condition":"!response.body.ok"}}`))
		require.Equal(t, webhook.ClassCondition, result.Class, name)
	}
}
