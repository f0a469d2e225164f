package webhook

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Limits of batches.
const (
	MinBatch     = 2
	MaxBatch     = 100
	MaxBatchWait = time.Minute
	// MaxBatchData is how much data the events of one batch may have together, in bytes; an event that has more goes alone.
	MaxBatchData = 1 << 20
	// MaxBatchFailures is how often a delivery fails in a batch before it is sent alone.
	MaxBatchFailures = 3
)

// Batch says how many events go in one request.
type Batch struct {
	MaxEvents int
	// MaxWait is how long an event waits for others at most.
	MaxWait time.Duration
}

// BatchID is the webhook-id of the request with these deliveries, in their order: for one alone its own, else derived from all of
// them (UUID version 5 in the hook's namespace), so that the same batch has the same id.
func BatchID(hook uuid.UUID, deliveries []uuid.UUID) uuid.UUID {
	if len(deliveries) == 1 {
		return deliveries[0]
	}
	set := make([]byte, 0, len(deliveries)*len(uuid.UUID{}))
	for i := range deliveries {
		set = append(set, deliveries[i][:]...)
	}
	return uuid.NewSHA1(hook, set)
}

// batchMembers are those of config.batch.
var batchMembers = []Field{
	{Name: "max_events", Kind: KindNumber, Low: MinBatch, High: MaxBatch, Needed: true, Example: "100", Help: "The maximum number of events per request"},
	{
		Name: "max_wait", Kind: KindSeconds, Low: 1, High: MaxBatchWait.Seconds(), Needed: true, Example: "5",
		Help: "The maximum time that an event waits for others, in seconds",
	},
}

func parseBatch(raw json.RawMessage, p *ValidationError) *Batch {
	in := readMembers("/batch", batchMembers, raw, p)
	return &Batch{MaxEvents: numberIn(in, "max_events"), MaxWait: time.Duration(numberIn(in, "max_wait")) * time.Second}
}

// checkBatch refuses what has no meaning for several events at once.
func (c *Config) checkBatch(p *ValidationError) {
	if c.Batch != nil && len(c.HeadersFrom) > 0 {
		p.Add("/headers_from", "has no meaning with batch: a request of several events has the headers of none")
	}
}
