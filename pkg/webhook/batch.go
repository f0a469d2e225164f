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
	// MaxBatchData is the maximum size of the data of a batch's events together, in bytes. A larger event is sent
	// alone.
	MaxBatchData = 1 << 20
	// MaxBatchFailures is how often a delivery may fail in a batch before it is sent alone.
	MaxBatchFailures = 3
)

// Batch configures how many events go in one request.
type Batch struct {
	MaxEvents int
	// MaxWait is the longest time that an event waits for others.
	MaxWait time.Duration
}

// BatchID returns the webhook-id of a request with these deliveries, in their order. For a single delivery it is that
// delivery's id. Otherwise it is derived from all ids (UUID version 5 in the hook's namespace), so that the same
// batch always has the same id.
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

// batchMembers describes config.batch.
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

// checkBatch refuses settings that have no meaning for several events at once.
func (c *Config) checkBatch(p *ValidationError) {
	if c.Batch != nil && len(c.HeadersFrom) > 0 {
		p.Add("/headers_from", "has no meaning with batch: a request of several events has the headers of none")
	}
}
