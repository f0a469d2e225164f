package console

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/daemon"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// shownUnhealthy is how many hooks the overview complains about.
const shownUnhealthy = 10

type overviewBody struct {
	Hour hourChart
	// Waiting, Parked and Dead are counts in words.
	Waiting, Parked, Dead string
	Unhealthy             []unhealthyRow
	Lags                  []lagRow
	Recent                []deliveryRow
	// Hooks says that there is at least one.
	Hooks bool
}

type unhealthyRow struct {
	ID     uuid.UUID
	Title  string
	Status webhook.HookStatus
	Reason string
	Since  time.Time
}

func (c *console) overview(ctx context.Context, v *visit) (reply, error) {
	now := c.now().UTC()
	since := now.Truncate(time.Minute).Add(-(hourMinutes - 1) * time.Minute)
	body := overviewBody{Waiting: "?", Parked: "?", Dead: "?"}
	minutes, err := daemon.Within(ctx, statsTimeout, func(ctx context.Context) ([]postgres.Bucket, error) {
		return c.Stats.PerMinute(ctx, v.tenant, since)
	})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return reply{}, err
	}
	body.Hour = newHourChart(minutes, since)
	body.Hour.Unknown = err != nil
	states, err := daemon.Within(ctx, statsTimeout, func(ctx context.Context) (map[webhook.DeliveryState]int, error) {
		return c.Stats.OpenStates(ctx, v.tenant, now.Add(-24*time.Hour))
	})
	switch {
	case err == nil:
		body.Waiting, body.Parked = count(int64(states[webhook.Waiting])), count(int64(states[webhook.Parked]))
		body.Dead = count(int64(states[webhook.Dead]))
	case !errors.Is(err, context.DeadlineExceeded):
		return reply{}, err
	}
	if body.Unhealthy, err = c.unhealthy(ctx, v.tenant); err != nil {
		return reply{}, err
	}
	recent, _, err := c.History.Deliveries(ctx, v.tenant, postgres.DeliveryFilter{Range: lately(now)}, postgres.Page{Limit: recentDeliveries})
	if err != nil {
		return reply{}, err
	}
	body.Recent = deliveryRows(recent)
	hooks, _, err := c.Hooks.Hooks(ctx, v.tenant, postgres.HookFilter{}, postgres.Page{Limit: 1})
	if err != nil {
		return reply{}, err
	}
	body.Hooks = len(hooks) > 0
	body.Lags = c.lags(ctx)
	return page("overview", "Overview", body), nil
}

func (c *console) unhealthy(ctx context.Context, tenant string) ([]unhealthyRow, error) {
	list, err := c.Stats.UnhealthyHooks(ctx, tenant, shownUnhealthy)
	if err != nil {
		return nil, err
	}
	rows := make([]unhealthyRow, len(list))
	for i, u := range list {
		reason := u.DisabledReason
		if u.Status != webhook.Disabled {
			reason = failingText(classText(u.LastClass), u.Failures)
		}
		rows[i] = unhealthyRow{
			ID: u.HookID, Title: titleOf(&webhook.Hook{ID: u.HookID, Name: u.Name, TargetURL: u.URL}), Status: u.Status,
			Reason: reason, Since: u.Since,
		}
	}
	return rows, nil
}

// lagRow is how far one consumer of the bus is behind.
type lagRow struct {
	Name, Text        string
	Pending, InFlight string
	// Problem says why it is not known.
	Problem string
}

// lags asks the bus; where it does not answer, that is what the rows say.
func (c *console) lags(ctx context.Context) []lagRow {
	words := map[bus.Consumer]string{
		bus.Fanout: "events to be delivered", bus.EventRecorder: "events to be recorded", bus.Retry: "retries that are due",
		bus.FactRecorder: "outcomes to be recorded, in batches",
	}
	var rows []lagRow
	for _, consumer := range bus.Consumers() {
		row := lagRow{Name: string(consumer), Text: words[consumer]}
		lag, err := daemon.Within(ctx, time.Second, func(ctx context.Context) (bus.Lag, error) { return c.Bus.Lag(ctx, consumer) })
		if err != nil {
			row.Problem = "NATS does not answer"
			return append(rows, row)
		}
		row.Pending, row.InFlight = count(int64(lag.Pending)), count(int64(lag.InFlight)) //nolint:gosec // messages on a disk
		rows = append(rows, row)
	}
	return rows
}

type systemBody struct {
	Lags    []lagRow
	Version string
	NATS    bool
	Tenants int
}

func (c *console) systemPage(ctx context.Context, v *visit) (reply, error) {
	if !v.operator() {
		return reply{}, errForbidden
	}
	tenants, err := c.Accounts.Tenants(ctx)
	if err != nil {
		return reply{}, err
	}
	body := systemBody{Lags: c.lags(ctx), Version: c.Version, Tenants: len(tenants)}
	body.NATS = len(body.Lags) > 0 && body.Lags[0].Problem == ""
	return page("system", "System", body), nil
}
