package egress

import (
	"net/http"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// maxDeltaDigits is more digits than webhook.MaxRetryAfter has in seconds, but few enough for a time.Duration.
const maxDeltaDigits = 9

// retryAfter returns the first valid Retry-After value (RFC 9110 section 10.2.3): a number of seconds, or an HTTP
// date in the future. It is never more than webhook.MaxRetryAfter.
func retryAfter(values []string, now time.Time) (wait time.Duration, ok bool) {
	for _, value := range values {
		value = strings.TrimSpace(value)
		if wait, ok := deltaSeconds(value); ok {
			return wait, true
		}
		at, err := http.ParseTime(value)
		if err == nil && at.After(now) {
			return min(at.Sub(now), webhook.MaxRetryAfter), true
		}
	}
	return 0, false
}

func deltaSeconds(value string) (time.Duration, bool) {
	if value == "" || strings.Trim(value, "0123456789") != "" {
		return 0, false
	}
	if value = strings.TrimLeft(value, "0"); len(value) > maxDeltaDigits {
		return webhook.MaxRetryAfter, true
	}
	wait, err := time.ParseDuration("0" + value + "s")
	return min(wait, webhook.MaxRetryAfter), err == nil
}
