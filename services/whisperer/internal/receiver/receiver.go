// Package receiver is the program behind a hook's target URL: it takes webhooks, verifies their signatures, tells what
// came and answers as it is told to. `whisperer listen` is it, and the try-out's demo receiver.
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

// maxBody bounds what is read of a webhook: the largest event, with room for what is around it.
const maxBody = 4 << 20

// Verdict is what the receiver thinks of a webhook's signature.
type Verdict string

// The verdicts.
const (
	// Verified: one of the keys signed it, and just now.
	Verified Verdict = "verified"
	// Unchecked: the receiver has no key for it.
	Unchecked Verdict = "unchecked"
	// Unsigned: there is a key, and no signature.
	Unsigned Verdict = "unsigned"
	// Stale: its timestamp is too far from now.
	Stale Verdict = "stale"
	// Wrong: no key made the signature.
	Wrong Verdict = "wrong"
)

// Received is one webhook that came.
type Received struct {
	At     time.Time
	Method string
	// Host is where it was sent to, with its port where that is not the scheme's, and Target what comes after it as it was sent.
	Host, Target string
	Path         string
	Query        url.Values
	DeliveryID   string
	EventID      string
	EventType    string
	// Attempt counts from 1; 0 where the sender did not say.
	Attempt int
	// Replay says that a person asked for it.
	Replay  bool
	Header  http.Header
	Body    []byte
	Verdict Verdict
	// Why says in one sentence why it is not Verified; empty where it is, or is Unchecked.
	Why string
	// Answer is what the receiver said.
	Answer Answer
}

// About tells what the body says of its event: the entity, and how long ago it happened; empty and 0 where it does not
// say. The formats oms and cloudevents tell the time, cloudevents the entity too.
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

// Answer is what the sender gets.
type Answer struct {
	// Fault happens instead of an answer, and Status is 0 then; empty for none.
	Fault  Fault
	Status int
	Header http.Header
	Body   []byte
}

// Options say what a receiver does.
type Options struct {
	// Keys are those that may have signed a webhook with the path; nil for any path that has none.
	Keys func(path string) []signature.VerifyKey
	// KeySet has the public keys of HTTP Message Signatures; nil where these are not checked.
	KeySet *KeySet
	// Answer decides what is said to the sender. ctx ends when the sender hangs up. It is not asked about a webhook
	// that has keys and is not Verified: that one gets a 401.
	Answer func(ctx context.Context, r *Received) Answer
	// Seen is told of every webhook after its answer was decided, from many goroutines.
	Seen func(r *Received)
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Take reads what the request says of itself.
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

// Good reports whether there is nothing wrong with the signature, as far as it was checked.
func (r *Received) Good() bool { return r.Verdict == Verified || r.Verdict == Unchecked }

// New makes the handler.
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
		return // the sender broke off; there is nobody to answer
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
