package webhook

import (
	"slices"
	"time"
)

const (
	// OldSecretLife is how long a secret still signs after it was replaced.
	OldSecretLife = 24 * time.Hour
	// MaxSecrets is the maximum number of secrets that sign at once.
	MaxSecrets = 5
)

// RotateSecret makes secret the current one, before those that still sign. It returns until when the previous one
// stays valid, or zero if there was none.
func (h *Hook) RotateSecret(secret string, now time.Time) (oldUntil time.Time) {
	until := now.Add(OldSecretLife).UTC().Truncate(time.Second)
	secrets := []Secret{{Value: secret}}
	for _, s := range h.Secrets {
		if s.ExpiresAt.IsZero() {
			s.ExpiresAt, oldUntil = until, until
		}
		if s.Value != secret && s.ExpiresAt.After(now) {
			secrets = append(secrets, s)
		}
	}
	h.Secrets = slices.Clip(secrets[:min(len(secrets), MaxSecrets)])
	return oldUntil
}
