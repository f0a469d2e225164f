package webhook

import (
	"slices"
	"time"
)

const (
	// OldSecretLife is how long a secret signs after another has taken its place.
	OldSecretLife = 24 * time.Hour
	// MaxSecrets is how many secrets sign at once.
	MaxSecrets = 5
)

// RotateSecret puts the secret before those that still sign, and returns until when the one before does; zero where
// there was none.
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
