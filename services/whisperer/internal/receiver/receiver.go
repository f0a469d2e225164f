// Package receiver implements a receiver of webhooks: it verifies their signatures, reports them, and responds as
// configured. `whisperer listen` and the demo use it.
package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/signature"
)

// maxBody bounds the bytes read of a webhook: the largest event with its envelope.
const maxBody = 4 << 20

// Verdict is the result of verifying a webhook's signature.
type Verdict string

// The verdicts.
const (
	// Verified: one of the keys signed it recently.
	Verified Verdict = "verified"
	// Unchecked: the receiver has no key for it.
	Unchecked Verdict = "unchecked"
	// Unsigned: there is a key, but no signature.
	Unsigned Verdict = "unsigned"
	// Stale: its timestamp is too far from now.
	Stale Verdict = "stale"
	// Wrong: none of the keys made the signature.
	Wrong Verdict = "wrong"
)

// Received is a received webhook.
type Received struct {
	At     time.Time
	Method string
	// Host is the host that it was sent to, with its port unless that is the scheme's default. Target is the rest of
	// the URL as it was sent.
	Host, Target string
	Path         string
	Query        url.Values
	DeliveryID   string
	EventID      string
	EventType    string
	// Attempt counts from 1; 0 if the sender did not say.
	Attempt int
	// Replay says that it is a replay.
	Replay  bool
	Header  http.Header
	Body    []byte
	Verdict Verdict
	// Why says in one sentence why it is not Verified; empty if it is, or is Unchecked.
	Why string
	// Answer is the receiver's response.
	Answer Answer
}

// About returns what the body says about its event: the entity, and how long ago it happened; "" and 0 if it does not
// say. The formats oms and cloudevents contain the time, and cloudevents also the entity.
func (r *Received) About() (entity string, ago time.Duration) {
	var body struct {
		EventTime time.Time `json:"event_time"`
		Time      time.Time `json:"time"`
		Subject   string    `json:"subject"`
	}
	if json.Unmarshal(r.Body, &body) != nil {
		return "", 0
	}
	for _, at := range []time.Time{body.EventTime, body.Time} {
		if !at.IsZero() {
			ago = max(r.At.Sub(at), 0)
		}
	}
	return body.Subject, ago
}

// Answer is the response to the sender.
type Answer struct {
	// Fault replaces a response, and Status is then 0; may be empty.
	Fault  Fault
	Status int
	Header http.Header
	Body   []byte
}

// Options configure a receiver.
type Options struct {
	// Keys returns the keys that may sign webhooks to the path; nil if the path has none.
	Keys func(path string) []signature.VerifyKey
	// KeySet has the public keys of HTTP Message Signatures; nil if these are not checked.
	KeySet *KeySet
	// Answer decides the response. ctx ends when the sender hangs up. It is not called for a webhook that has keys
	// and is not Verified, which gets a 401.
	Answer func(ctx context.Context, r *Received) Answer
	// Seen is called with every webhook after its response was decided. Calls are concurrent.
	Seen func(r *Received)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Take reads the parts of a webhook from the request.
func Take(at time.Time, r *http.Request, body []byte) *Received {
	got := &Received{
		At: at, Method: r.Method, Host: r.Host, Target: r.URL.RequestURI(), Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header, Body: body,
		DeliveryID: r.Header.Get("X-Whisperer-Delivery"), EventID: r.Header.Get("X-Whisperer-Event-Id"),
		EventType: r.Header.Get("X-Whisperer-Event"), Replay: r.Header.Get("X-Whisperer-Replay") == "true",
	}
	if n, err := strconv.Atoi(r.Header.Get("X-Whisperer-Attempt")); err == nil {
		got.Attempt = n
	}
	return got
}

// Good reports whether the signature is right, as far as it was checked.
func (r *Received) Good() bool { return r.Verdict == Verified || r.Verdict == Unchecked }

// New returns the handler.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.receive(w, r)
	})
}

func (o *Options) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		return // the sender broke off; there is nobody to respond to
	}
	got := Take(o.Now(), r, body)
	got.Judge(r.Context(), o.Keys(r.URL.Path), o.KeySet)
	if got.Good() {
		got.Answer = o.Answer(r.Context(), got)
	} else {
		got.Answer = Answer{Status: http.StatusUnauthorized, Body: []byte("signature is " + string(got.Verdict) + ": " + got.Why + "\n")}
	}
	o.Seen(got)
	if got.Answer.Fault != "" {
		misbehave(w, got.Answer.Fault)
		return
	}
	maps.Copy(w.Header(), got.Answer.Header)
	w.WriteHeader(got.Answer.Status)
	_, _ = w.Write(got.Answer.Body) // the sender has hung up
}
