package console

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// shownUnhealthy is how many unhealthy hooks the overview lists.
const shownUnhealthy = 5

type overviewBody struct {
	// Counts is nil while it is being counted.
	Counts    *tenantCounts
	Unhealthy []unhealthyRow
	// Ill says that there are more than those in Unhealthy.
	Ill    bool
	Lags   []lagRow
	Recent []deliveryRow
	// Aside is the number of set-aside ledger entries as text; empty for none.
	Aside string
	// Hooks says that there is at least one hook.
	Hooks bool
}

// tenantCounts counts a tenant's deliveries.
type tenantCounts struct {
	Chart                          timeChart
	Waiting, Parked, Dead, Resting int
	Took                           usecase.Durations
}

type unhealthyRow struct {
	ID     uuid.UUID
	Title  string
	Status webhook.HookStatus
	Reason string
	Since  time.Time
	// Refused says that the receiver answers 401 or 403.
	Refused bool
}

func (c *console) overview(ctx context.Context, v *visit) (reply, error) {
	body := overviewBody{}
	chart := readChart(v.form, "1h", uuid.Nil, time.Now())
	counted, ready, err := count(ctx, c.counts, "overview "+v.Tenant+" "+chart.key(), v.patience(), func(ctx context.Context) (tenantCounts, error) {
		return c.countTenant(ctx, v.Tenant, chart)
	})
	if err != nil {
		return reply{}, err
	}
	if v.pending = !ready; ready {
		body.Counts = &counted
	}
	if body.Unhealthy, err = c.unhealthy(ctx, v.Tenant); err != nil {
		return reply{}, err
	}
	if body.Ill = len(body.Unhealthy) > shownUnhealthy; body.Ill {
		body.Unhealthy = body.Unhealthy[:shownUnhealthy]
	}
	recent, _, err := c.Cases.History.ListDeliveries(ctx, v.Tenant, usecase.DeliveryFilter{Range: lastWeek(time.Now())}, usecase.Page{Limit: recentDeliveries})
	if err != nil {
		return reply{}, err
	}
	if body.Recent, err = c.titledRows(ctx, v, recent); err != nil {
		return reply{}, err
	}
	hooks, _, err := c.Cases.Hooks.ListSorted(ctx, &v.Caller, usecase.HookFilter{}, usecase.NewestHooks, usecase.HookPage{Limit: 1})
	if err != nil {
		return reply{}, err
	}
	body.Hooks = len(hooks) > 0
	if body.Lags = c.lags(ctx); body.Lags[0].Problem == "" {
		body.Aside = c.setAside(ctx, v)
	}
	return page("overview", "Overview", body), nil
}

func (c *console) countTenant(ctx context.Context, tenant string, chart chartQuery) (t tenantCounts, err error) {
	now := time.Now().UTC()
	if t.Chart, err = c.timeChart(ctx, tenant, chart); err != nil {
		return t, err
	}
	states, err := c.Cases.Stats.CountOpen(ctx, tenant, now.Add(-24*time.Hour))
	if err != nil {
		return t, err
	}
	t.Waiting, t.Parked, t.Dead = states[webhook.Waiting], states[webhook.Parked], states[webhook.Dead]
	if t.Took, err = c.Cases.Stats.MeasureDurations(ctx, tenant, chart.since); err != nil {
		return t, err
	}
	t.Resting, err = c.Cases.History.CountResting(ctx, tenant)
	return t, err
}

// Alerts are the services through which people can be alerted.
func (overviewBody) Alerts() []alertRecipe { return alertRecipes }

// unhealthy returns one hook more than are shown, to tell whether there are more.
func (c *console) unhealthy(ctx context.Context, tenant string) ([]unhealthyRow, error) {
	list, err := c.Cases.History.ListUnhealthy(ctx, tenant, shownUnhealthy+1)
	if err != nil {
		return nil, err
	}
	rows := make([]unhealthyRow, len(list))
	for i, u := range list {
		rows[i] = unhealthyRow{
			ID: u.HookID, Title: titleOf(&webhook.Hook{ID: u.HookID, Name: u.Name, TargetURL: u.URL}), Status: u.Status,
			Reason: u.DisabledReason, Since: u.Since,
		}
		if u.Status == webhook.Disabled {
			continue
		}
		last, err := c.lastFailure(ctx, tenant, u.HookID, u.LastClass)
		if err != nil {
			return nil, err
		}
		rows[i].Reason, rows[i].Refused = failingText(last.Text, u.Failures), last.Refused
	}
	return rows, nil
}

// lagRow is how far one consumer of the bus is behind.
type lagRow struct {
	Name, Text        string
	Pending, InFlight string
	// Problem says why that is unknown.
	Problem string
}

// lags asks the bus. If it does not answer, the rows say so.
func (c *console) lags(ctx context.Context) []lagRow {
	words := map[bus.Consumer]string{
		bus.Fanout: "Events to be delivered", bus.EventRecorder: "Events to be recorded", bus.Retry: "Retries due",
		bus.OwnFanout: "Operational events to be delivered", bus.OwnRecorder: "Operational events to be recorded",
		bus.FactRecorder: "Batches of outcomes to be recorded",
	}
	var rows []lagRow
	for _, consumer := range bus.Consumers() {
		row := lagRow{Name: string(consumer), Text: words[consumer]}
		lag, err := daemon.Within(ctx, busTimeout, func(ctx context.Context) (bus.Lag, error) { return c.Bus.Lag(ctx, consumer) })
		if err != nil {
			row.Problem = "NATS does not answer"
			return append(rows, row)
		}
		row.Pending, row.InFlight = amount(lag.Pending), amount(lag.InFlight)
		rows = append(rows, row)
	}
	return rows
}

// busTimeout bounds how long a page waits for NATS.
const busTimeout = time.Second
