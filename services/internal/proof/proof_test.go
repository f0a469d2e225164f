package proof_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/proof"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

var (
	hook  = uuid.MustParse("0190a000-0000-7000-8000-000000000001")
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	aDay  = store.TimeRange{From: noon.Add(-24 * time.Hour), To: noon}
	aText = hex.EncodeToString(bytes.Repeat([]byte{7}, sha256.Size))
)

// made returns a Look that generates n deliveries on demand.
func made(n int) proof.Look {
	told := 0
	return func(_ context.Context, behind *store.Position, limit int) ([]store.Sent, error) {
		if (behind == nil) != (told == 0) {
			return nil, errors.New("not from behind what was told on")
		}
		list := make([]store.Sent, min(limit, n-told))
		for i := range list {
			told++
			list[i] = store.Sent{
				ID: uuid.NewSHA1(hook, []byte{byte(told), byte(told >> 8), byte(told >> 16)}), Seq: webhook.Sequence(told), EventID: "e", EventType: "order.created",
				PublishedAt: aDay.From.Add(time.Duration(told) * time.Millisecond), State: webhook.Delivered, Digests: []string{aText},
			}
		}
		return list, nil
	}
}

func TestAMillionDeliveriesNeedTheMemoryOfAPage(t *testing.T) { //nolint:paralleltest // measures the heap
	const deliveries, most = 1_000_000, 8 << 20
	var memory runtime.MemStats
	live := func() uint64 {
		runtime.GC()
		runtime.ReadMemStats(&memory)
		return memory.HeapAlloc
	}
	before, pages, size := live(), 0, 0
	summary, err := proof.Write(t.Context(), hook, aDay, made(deliveries), func(lines []byte) error {
		size += len(lines)
		if pages++; pages%250 == 0 {
			require.Less(t, live(), before+most, "after %d bytes", size)
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, deliveries, summary.Count)
	require.Greater(t, size, 100<<20)
}

func TestTheEndProvesAllLines(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "words": "words",
	}
	private := signature.GeneratePrivate()
	key, err := signature.ParseKey(private)
	require.NoError(t, err)
	secrets[private] = key.Public()
	for secret, theirs := range secrets {
		out := &bytes.Buffer{}
		summary, err := proof.Write(t.Context(), hook, aDay, made(2500), func(lines []byte) error { out.Write(lines); return nil })
		require.NoError(t, err)
		h := webhook.Hook{ID: hook, Secrets: []webhook.Secret{{Value: secret}, {Value: "gone", ExpiresAt: noon}}}
		end, err := proof.End(&h, &summary, noon)
		require.NoError(t, err)

		digest := sha256.Sum256(out.Bytes())
		var told api.ManifestSummary
		require.NoError(t, json.Unmarshal([]byte(end.Summary), &told))
		require.Equal(t, api.ManifestSummary{
			Type: "hook.manifest", Hook: hook, From: aDay.From, To: aDay.To, Count: 2500, States: map[webhook.DeliveryState]int{webhook.Delivered: 2500},
			Digest: hex.EncodeToString(digest[:]),
		}, told)
		verifier, err := signature.ParseVerifyKey(theirs)
		require.NoError(t, err)
		header := http.Header{}
		header.Set(signature.HeaderID, end.ID)
		header.Set(signature.HeaderTimestamp, end.Timestamp)
		header.Set(signature.HeaderSignature, end.Signature)
		require.NoError(t, signature.Verify(header, []byte(end.Summary), []signature.VerifyKey{verifier}, noon, time.Minute))
		require.Error(t, signature.Verify(header, []byte(end.Summary+" "), []signature.VerifyKey{verifier}, noon, time.Minute))
	}
}

func TestAHookWithoutASecretHasAnUnsignedEnd(t *testing.T) {
	t.Parallel()
	summary, err := proof.Write(t.Context(), hook, aDay, made(0), func([]byte) error { return nil })
	require.NoError(t, err)
	end, err := proof.End(&webhook.Hook{ID: hook}, &summary, noon)
	require.NoError(t, err)
	require.Empty(t, end.Signature)
	nothing := sha256.Sum256(nil)
	require.Contains(t, end.Summary, `"count":0,"states":{},"digest":"`+hex.EncodeToString(nothing[:])+`"`)
}
