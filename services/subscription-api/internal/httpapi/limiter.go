package httpapi

import (
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"
)

// burstTime is the length of the burst: how many seconds' worth of requests a token may make at once after a pause.
const burstTime = 5 * time.Second

// limiter bounds how many requests per second each token makes, operators' tokens included. A nil *limiter has no
// limit.
type limiter struct {
	rate  int
	burst int
	now   func() time.Time

	mu     sync.Mutex
	tokens map[uuid.UUID]*rate.Limiter
}

func newLimiter(perSecond int) *limiter {
	if perSecond == 0 {
		return nil
	}
	return &limiter{
		rate: perSecond, burst: perSecond * int(burstTime/time.Second), now: time.Now, tokens: map[uuid.UUID]*rate.Limiter{},
	}
}

// take counts a request of the token and reports the remaining ones in the headers
// (draft-ietf-httpapi-ratelimit-headers). The error is a 429 with Retry-After.
func (l *limiter) take(token uuid.UUID, header http.Header) error {
	if l == nil {
		return nil
	}
	now := l.now()
	bucket := l.bucket(token, now)
	allowed := bucket.AllowN(now, 1)
	left := bucket.TokensAt(now)
	full := math.Ceil((float64(l.burst) - left) / float64(l.rate))
	header.Set("RateLimit-Policy", fmt.Sprintf(`"token";q=%d;w=%d`, l.burst, int(burstTime/time.Second)))
	header.Set("RateLimit", fmt.Sprintf(`"token";r=%d;t=%d`, max(int(left), 0), int(full)))
	if allowed {
		return nil
	}
	wait := time.Duration((1 - left) / float64(l.rate) * float64(time.Second))
	return tooMany(wait, fmt.Sprintf("The token has made more than %d requests a second.", l.rate))
}

func (l *limiter) bucket(token uuid.UUID, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bucket, ok := l.tokens[token]; ok {
		return bucket
	}
	if len(l.tokens) >= cacheSize { // full buckets need not be kept
		for id, bucket := range l.tokens {
			if bucket.TokensAt(now) >= float64(l.burst) {
				delete(l.tokens, id)
			}
		}
	}
	bucket := rate.NewLimiter(rate.Limit(l.rate), l.burst)
	l.tokens[token] = bucket
	return bucket
}
