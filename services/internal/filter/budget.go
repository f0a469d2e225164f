package filter

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// keptEstimates is how many estimates of expressions are cached.
const keptEstimates = 50_000

var estimates struct { //nolint:gochecknoglobals // a cache: an estimate is the same for everybody
	mu   sync.Mutex
	kept map[[sha256.Size]byte]uint64
}

// estimateOf returns the estimate of a stored expression, or 0 if the expression does not compile.
func estimateOf(x webhook.Expression) uint64 {
	key := sha256.Sum256([]byte(string(x.Kind) + "\x00" + x.Text))
	estimates.mu.Lock()
	n, there := estimates.kept[key]
	estimates.mu.Unlock()
	if there {
		return n
	}
	if f, err := dialects[x.Kind].compile(x.Text); err == nil {
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

// CheckBeside is like Check for an expression of a tenant that has others. Their estimates count as well. The error
// is an *Error.
func CheckBeside(text webhook.Expression, others []webhook.Expression) error {
	x, err := dialects[text.Kind].compile(text.Text)
	if err != nil {
		return err
	}
	if err := x.tooCostly(); err != nil {
		return err
	}
	total := x.Estimate()
	for _, other := range others {
		if total += min(estimateOf(other), MaxTenantEstimate); total > MaxTenantEstimate {
			return &Error{Detail: fmt.Sprintf("costs up to %d units for an event, and together with the other filters and transforms of the tenant more than the "+
				"limit of %d: use fewer with loops", x.Estimate(), MaxTenantEstimate)}
		}
	}
	return nil
}
