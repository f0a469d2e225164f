package console

import (
	"context"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type systemBody struct {
	Version string
	// NATS is the version of the NATS server; empty if it does not answer.
	NATS     string
	Database usecase.System
	Size     string
	Lags     []lagRow
	// Aside is the number of set-aside ledger entries as text; empty for none.
	Aside    string
	Streams  []streamRow
	Workers  []usecase.WorkerSeen
	Tenants  int
	Settings []Setting
}

type streamRow struct {
	bus.StreamState

	Count, Size string
	// Full is how full the stream is, in percent of its limit; 0 if it has none.
	Full int
}

// workersOf is how recently a worker must have been seen to be listed.
const workersOf = time.Hour

func (c *console) systemPage(ctx context.Context, v *visit) (reply, error) {
	tenants, err := c.Cases.Access.Tenants(ctx, &v.Caller)
	if err != nil {
		return reply{}, err
	}
	body := systemBody{Lags: c.lags(ctx), Version: c.Version, Tenants: len(tenants), Settings: c.Settings}
	if body.Lags[0].Problem == "" {
		body.NATS = c.Bus.ServerVersion()
		body.Streams = c.streams(ctx)
		body.Aside = c.setAside(ctx, v)
	}
	if body.Database, err = c.Cases.History.DescribeSystem(ctx); err != nil {
		return reply{}, err
	}
	body.Size = size(body.Database.Size)
	workers, ready, err := count(ctx, c.counts, "workers "+v.Tenant, v.patience(), func(ctx context.Context) ([]usecase.WorkerSeen, error) {
		return c.Cases.History.ListWorkers(ctx, v.Tenant, time.Now().Add(-workersOf))
	})
	if err != nil {
		return reply{}, err
	}
	body.Workers, v.pending = workers, !ready
	return page("system", "System", body), nil
}

// streams asks the bus. If it does not answer, there are no rows.
func (c *console) streams(ctx context.Context) []streamRow {
	list, err := daemon.Within(ctx, busTimeout, c.Bus.Streams)
	if err != nil {
		return nil
	}
	rows := make([]streamRow, len(list))
	for i, s := range list {
		rows[i] = streamRow{StreamState: s, Count: amount(s.Messages), Size: size(int64(s.Bytes))} //nolint:gosec // bytes on one disk
		if s.MaxBytes > 0 {
			rows[i].Full = int(100 * float64(s.Bytes) / float64(s.MaxBytes))
		}
	}
	return rows
}
