package client

import (
	"context"
	"io"
	"iter"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const deliveriesPath = "/whisperer/deliveries/"

// Deliveries reads deliveries and their attempts, and has deliveries tried again.
type Deliveries struct{ *core }

type (
	// DeliveryFilter narrows a list of deliveries; zero fields let everything pass. Without Event, IDPrefix and From the list goes
	// back seven days.
	DeliveryFilter = api.DeliveryFilter
	// DataFilter narrows a list by the events' data. It needs From, and at most 31 days.
	DataFilter = api.DataFilter
	// RetryChoice chooses deliveries to be tried again. It needs IDs or From.
	RetryChoice = api.RetryChoice
	// Elsewhere says where a delivery is sent besides its hook's target.
	Elsewhere = api.Elsewhere
)

// List lists deliveries, newest first, fetching page after page. It ends after the first error.
func (c Deliveries) List(ctx context.Context, filter DeliveryFilter) iter.Seq2[api.Delivery, error] {
	return pages[api.Delivery](ctx, c.core, deliveriesPath, queryOf(filter))
}

// Get returns a delivery with its attempts.
func (c Deliveries) Get(ctx context.Context, id uuid.UUID) (api.DeliveryDetail, error) {
	return get[api.DeliveryDetail](ctx, c.core, deliveryPath(id, ""))
}

// Retry has a delivery tried again at once; with force also one that was delivered.
func (c Deliveries) Retry(ctx context.Context, id uuid.UUID, force bool) (api.DeliveryDetail, error) {
	return post[api.DeliveryDetail](ctx, c.core, deliveryPath(id, "retry/"), api.Retry{Force: force})
}

// RetryMany has the newest deliveries of the choice tried again at once; with dryRun it only counts them.
func (c Deliveries) RetryMany(ctx context.Context, choice RetryChoice, dryRun bool) (api.BulkCount, error) {
	return post[api.BulkCount](ctx, c.core, deliveriesPath+"retry/", api.BulkRetry{RetryChoice: choice, DryRun: dryRun})
}

// Replay sends what a delivery's hook is sent of its event to another URL now, and returns the answer. It is no attempt of the delivery.
func (c Deliveries) Replay(ctx context.Context, id uuid.UUID, to Elsewhere) (api.TestResult, error) {
	return post[api.TestResult](ctx, c.core, deliveryPath(id, "replay/"), to)
}

// Export writes all deliveries of a list, newest first, however many there are: ctx bounds it, not the client's timeout. The error is
// ErrBrokenOff, with ErrUnavailable, where out has only a part, or as of other calls.
func (c Deliveries) Export(ctx context.Context, filter DeliveryFilter, format ExportFormat, out io.Writer) error {
	return c.export(ctx, deliveriesPath+"export/", queryOf(filter), format, out)
}

// ExportAttempts is Export for the attempts of the deliveries.
func (c Deliveries) ExportAttempts(ctx context.Context, filter DeliveryFilter, format ExportFormat, out io.Writer) error {
	return c.export(ctx, deliveriesPath+"attempts/", queryOf(filter), format, out)
}

func deliveryPath(id uuid.UUID, rest string) string { return deliveriesPath + id.String() + "/" + rest }
