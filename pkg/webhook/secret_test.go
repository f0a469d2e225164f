package webhook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestARotatedSecretSignsForADayMore(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	h := webhook.Hook{}
	require.Zero(t, h.RotateSecret("a", now))
	require.Equal(t, now.Add(24*time.Hour), h.RotateSecret("b", now))
	require.Equal(t, []webhook.Secret{{Value: "b"}, {Value: "a", ExpiresAt: now.Add(24 * time.Hour)}}, h.Secrets)
	for _, secret := range []string{"c", "d", "e", "f", "g"} {
		h.RotateSecret(secret, now.Add(time.Hour))
	}
	require.Len(t, h.Secrets, webhook.MaxSecrets)
	require.Equal(t, "g", h.Secrets[0].Value)
	h.RotateSecret("z", now.Add(48*time.Hour))
	require.Equal(t, []string{"z", "g"}, []string{h.Secrets[0].Value, h.Secrets[1].Value}, "what has expired is gone")
	require.Len(t, h.Secrets, 2)
}
