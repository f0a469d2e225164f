// Package proof writes manifests: one line for each delivery that was sent to a hook, with a digest over all of them.
// The API streams them, and the worker publishes their summary once a day.
package proof

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// EventType is the type of the event that reports a day's manifest, and the type that a signed summary carries.
const EventType = "hook.manifest"

// pageSize is how many deliveries are looked up at once. No database connection is held while they are written.
const pageSize = 1000

// Look returns one page of what was sent, starting after the position.
type Look func(ctx context.Context, behind *store.Position, limit int) ([]store.Sent, error)

// Write looks up what was sent to the hook page by page, and passes each page's lines to emit, which must not keep
// them. It returns the summary of all lines.
func Write(ctx context.Context, hook uuid.UUID, r store.TimeRange, look Look, emit func(lines []byte) error) (api.ManifestSummary, error) {
	summary := api.ManifestSummary{
		Type: EventType, Hook: hook, From: r.From.UTC(), To: r.To.UTC(), States: map[webhook.DeliveryState]int{},
	}
	all := sha256.New()
	var behind *store.Position
	var lines []byte
	for {
		page, err := look(ctx, behind, pageSize)
		if err != nil {
			return summary, err
		}
		lines = lines[:0]
		for i := range page {
			text, err := json.Marshal(lineOf(&page[i]))
			if err != nil {
				return summary, fmt.Errorf("write line of delivery %s: %w", page[i].ID, err)
			}
			lines = append(append(lines, text...), '\n')
			summary.Count++
			summary.States[page[i].State]++
		}
		_, _ = all.Write(lines)
		if err := emit(lines); err != nil {
			return summary, err
		}
		if len(page) < pageSize {
			summary.Digest = hex.EncodeToString(all.Sum(nil))
			return summary, nil
		}
		behind = page[len(page)-1].Position()
	}
}

func lineOf(s *store.Sent) api.ManifestLine {
	line := api.ManifestLine{
		WebhookID: s.ID, Sequence: s.Seq.Number(), EventID: s.EventID, EventType: s.EventType, State: s.State, UnknownBodies: s.Unknown,
	}
	if len(s.Digests) > 0 {
		line.Digest, line.OtherDigests = &s.Digests[0], s.Digests[1:]
	}
	return line
}

// End returns the last line, signed with the hook's secrets that are still valid.
func End(h *webhook.Hook, summary *api.ManifestSummary, now time.Time) (api.ManifestEnd, error) {
	text, err := json.Marshal(summary)
	if err != nil {
		return api.ManifestEnd{}, fmt.Errorf("write summary of manifest: %w", err)
	}
	end := api.ManifestEnd{
		Summary: string(text), ID: fmt.Sprintf("manifest_%s_%d", h.ID, now.Unix()), Timestamp: strconv.FormatInt(now.Unix(), 10),
	}
	var keys []signature.Key
	for _, secret := range h.Secrets {
		if !secret.ExpiresAt.IsZero() && !now.Before(secret.ExpiresAt) {
			continue
		}
		key, err := signature.ParseKey(secret.Value)
		if err != nil {
			return end, fmt.Errorf("sign manifest: %w", err)
		}
		keys = append(keys, key)
	}
	end.Signature = signature.Sign(end.ID, now, text, keys)
	return end, nil
}
