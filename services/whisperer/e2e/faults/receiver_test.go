//go:build faults

package faults_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	reference "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// receiver serves all good hooks of one world, by path. It writes each request to the ledger before it answers.
type receiver struct {
	*testenv.Receiver

	ledger *ledger[receipt]
	ours   []signature.VerifyKey
	theirs *reference.Webhook

	tolerance time.Duration // tolerance for timestamps; larger if the sender's clock is wrong
}

func newReceiver(t *testing.T, dir string) *receiver {
	t.Helper()
	key, err := signature.ParseVerifyKey(secret)
	require.NoError(t, err)
	theirs, err := reference.NewWebhook(secret)
	require.NoError(t, err)
	r := &receiver{
		ledger: newLedger[receipt](t, filepath.Join(dir, "received.jsonl"), false),
		ours:   []signature.VerifyKey{key}, theirs: theirs, tolerance: signature.DefaultTolerance,
	}
	r.Receiver = testenv.NewReceiver(t)
	r.Forget()
	r.reacts(func(string, int) testenv.Answer { return testenv.Answer{} })
	return r
}

// reacts sets how the nth request to a path, from 1, is answered. The request is in the ledger first.
func (r *receiver) reacts(react func(path string, n int) testenv.Answer) {
	r.React(func(q testenv.Received) testenv.Answer {
		a := react(q.Path, q.Number)
		r.write(q, a)
		return a
	})
}

// verify returns what is wrong with a signature, and whether only its time is further off than receivers usually accept.
func (r *receiver) verify(header http.Header, body []byte, at time.Time) (faulty string, untimely bool) {
	if err := signature.Verify(header, body, r.ours, at, r.tolerance); err != nil {
		return err.Error(), false
	}
	if err := r.theirs.VerifyIgnoringTimestamp(body, header); err != nil {
		return "reference library: " + err.Error(), false
	}
	if err := r.theirs.Verify(body, header); err != nil {
		if r.tolerance > signature.DefaultTolerance {
			return "", true
		}
		return "reference library: " + err.Error(), false
	}
	return "", false
}

// write writes the request and the status of its response to the ledger.
func (r *receiver) write(q testenv.Received, a testenv.Answer) {
	sum := sha256.Sum256([]byte(q.Body))
	got := receipt{
		ID: q.Header.Get("webhook-id"), Hook: q.Path, Event: q.Header.Get("X-Whisperer-Event-Id"),
		Attempt: q.Header.Get("X-Whisperer-Attempt"), Sum: hex.EncodeToString(sum[:]), At: q.At, Status: cmp.Or(a.Status, http.StatusOK),
	}
	got.Faulty, got.Untimely = r.verify(q.Header, []byte(q.Body), q.At)
	r.ledger.write(got)
}
