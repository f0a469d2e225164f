package filter

import (
	"crypto/sha256"
	"fmt"
	"sync"
)

// keptEstimates is how many estimates of filters are remembered.
const keptEstimates = 50_000

var estimates struct { //nolint:gochecknoglobals // a cache: an estimate is the same for everybody
	mu   sync.Mutex
	kept map[[sha256.Size]byte]uint64
}

// estimateOf is the estimate of a filter that was saved; one that cannot be compiled costs nothing.
func estimateOf(text string) uint64 {
	key := sha256.Sum256([]byte(text))
	estimates.mu.Lock()
	n, there := estimates.kept[key]
	estimates.mu.Unlock()
	if there {
		return n
	}
	if f, err := Compile(text); err == nil {
		n = f.Estimate()
	}
	estimates.mu.Lock()
	defer estimates.mu.Unlock()
	if estimates.kept == nil || len(estimates.kept) >= keptEstimates {
		estimates.kept = map[[sha256.Size]byte]uint64{}
	}
	estimates.kept[key] = n
	return n
}

// CheckBeside is Check for a filter of a tenant that has others. The error is an *Error.
func CheckBeside(text string, others []string) error {
	f, err := Check(text)
	if err != nil {
		return err
	}
	total := f.Estimate()
	for _, other := range others {
		if total += min(estimateOf(other), MaxTenantEstimate); total > MaxTenantEstimate {
			return &Error{Detail: fmt.Sprintf("costs up to %d units for an event, and together with the other filters of the tenant more than the limit of %d: "+
				"use fewer filters with loops", f.Estimate(), MaxTenantEstimate)}
		}
	}
	return nil
}
