package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// ManifestLine is a line of a hook's manifest: a delivery and what was sent for it. The last line is a ManifestEnd
// instead.
type ManifestLine struct {
	WebhookID uuid.UUID             `json:"webhook_id" doc:"The delivery's id, as in the header webhook-id"`
	Sequence  uint64                `json:"sequence" doc:"As in the header X-Whisperer-Sequence"`
	EventID   string                `json:"event_id"`
	EventType string                `json:"event_type"`
	State     webhook.DeliveryState `json:"state" enum:"waiting,parked,delivered,dead,cancelled,superseded"`
	// Digest is that of the successful attempt, or else of the last one.
	Digest       *string  `json:"digest" doc:"SHA-256 of the body that was sent, in hexadecimal, by the successful attempt or else the last one; null if none was sent or it is unknown"`
	OtherDigests []string `json:"other_digests,omitempty" doc:"Digests of other attempts, if the hook was changed in between"`
	// UnknownBodies is how many attempts may have sent a body whose digest is unknown: a worker ended before it could
	// record the attempt, or an earlier release without digests recorded it.
	UnknownBodies int `json:"unknown_bodies,omitempty" doc:"Number of attempts that may have sent a body whose digest is unknown"`
}

// ManifestEnd is the last line of a hook's manifest. Its members are those of a signed webhook (Standard Webhooks)
// whose body is Summary.
type ManifestEnd struct {
	// Summary is the JSON text of a ManifestSummary; this text is what was signed.
	Summary   string `json:"summary" doc:"JSON text with the count and digest of all preceding lines; this text is signed"`
	ID        string `json:"webhook-id"`
	Timestamp string `json:"webhook-timestamp"`
	Signature string `json:"webhook-signature,omitempty" doc:"Made with the hook's secret, like that of a webhook whose body is summary; absent if the hook has no secret"`
	// Error says why the manifest is incomplete; Summary is empty then.
	Error string `json:"error,omitempty" doc:"Why the manifest is incomplete; there is no summary then"`
}

// ManifestSummary summarizes the lines of a manifest.
type ManifestSummary struct {
	Type   string                        `json:"type"`
	Hook   uuid.UUID                     `json:"hook"`
	From   time.Time                     `json:"from"`
	To     time.Time                     `json:"to"`
	Count  int                           `json:"count"`
	States map[webhook.DeliveryState]int `json:"states"`
	// Digest is the SHA-256 of all lines, each with its line feed, in hexadecimal.
	Digest string `json:"digest"`
}
