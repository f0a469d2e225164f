package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
)

const (
	// A key set is fetched again when it has reached keySetAge or, if it lacks a key, when it is older than
	// keySetYouth.
	keySetAge, keySetYouth = httpsig.CacheAge, 5 * time.Second
	keySetTimeout          = 10 * time.Second
	maxKeySet              = 1 << 20
)

// KeySet is a JSON Web Key Set at a URL, which is fetched when needed.
type KeySet struct {
	url    string
	client *http.Client

	mu   sync.Mutex
	keys httpsig.KeySet
	read time.Time
}

// NewKeySet returns the key set at the URL.
func NewKeySet(url string) *KeySet {
	return &KeySet{url: url, client: &http.Client{Timeout: keySetTimeout}}
}

// Load fetches the set, unless it was fetched less than unless ago.
func (s *KeySet) Load(ctx context.Context, unless time.Duration) (httpsig.KeySet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys != nil && time.Since(s.read) < unless {
		return s.keys, nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxKeySet))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read key set: %w", err)
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("read key set: %s answers %d", s.url, answer.StatusCode)
	}
	if s.keys, err = httpsig.ParseKeySet(text); err != nil {
		return nil, err
	}
	s.read = time.Now()
	return s.keys, nil
}

// verify reports why the request is not signed by a key of the set.
func (s *KeySet) verify(ctx context.Context, r *httpsig.Request, now time.Time) error {
	keys, err := s.Load(ctx, keySetAge)
	if err != nil {
		return err
	}
	err = keys.Verify(r, now, signature.DefaultTolerance)
	if errors.Is(err, httpsig.ErrUnknownKey) { // it may be a new key
		if keys, err = s.Load(ctx, keySetYouth); err == nil {
			err = keys.Verify(r, now, signature.DefaultTolerance)
		}
	}
	return err
}

// Judge verifies the webhook's signatures and sets the verdict. keys are the secrets and public keys of Standard
// Webhooks; keys and set may be nil. Every kind of signature that the webhook has and that can be checked must be
// right.
func (r *Received) Judge(ctx context.Context, keys []signature.VerifyKey, set *KeySet) {
	r.Verdict, r.Why = Unchecked, ""
	var missing error
	if len(keys) > 0 {
		err := signature.Verify(r.Header, r.Body, keys, r.At, signature.DefaultTolerance)
		switch {
		case err == nil:
			r.Verdict = Verified
		case errors.Is(err, signature.ErrMissingHeader):
			missing = err
		case errors.Is(err, signature.ErrTimestamp):
			r.refuse(Stale, err)
			return
		default:
			r.refuse(Wrong, err)
			return
		}
	}
	if set != nil {
		request := httpsig.Request{Method: r.Method, Authority: r.Host, Path: r.Target, Header: r.Header, Body: r.Body}
		err := set.verify(ctx, &request, r.At)
		switch {
		case err == nil:
			r.Verdict = Verified
		case errors.Is(err, httpsig.ErrUnsigned):
			missing = err
		case httpsig.IsStale(err):
			r.refuse(Stale, err)
			return
		default:
			r.refuse(Wrong, err)
			return
		}
	}
	if missing != nil && r.Verdict != Verified {
		r.refuse(Unsigned, missing)
	}
}

func (r *Received) refuse(v Verdict, why error) { r.Verdict, r.Why = v, why.Error() }
