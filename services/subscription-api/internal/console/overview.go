package console

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// shownUnhealthy is how many hooks the overview complains about.
const shownUnhealthy = 5

type overviewBody struct {
	// Counts is nil while they are made.
	Counts    *tenantCounts
	Unhealthy []unhealthyRow
	// Ill is how many there are besides those in Unhealthy, at least.
	Ill    bool
	Lags   []lagRow
	Recent []deliveryRow
	// Aside is how many ledger entries are set aside, in words; empty for none.
	Aside string
	// Hooks says that there is at least one.
	Hooks bool
}

// tenantCounts is how a tenant's deliveries fare.
type tenantCounts struct {
	Hour                           hourChart
	Waiting, Parked, Dead, Resting int
	Took                           store.Durations
}

type unhealthyRow struct {
	ID     uuid.UUID
	Title  string
	Status webhook.HookStatus
	Reason string
	Since  time.Time
}

func (c *console) overview(ctx context.Context, v *visit) (reply, error) {
	body := overviewBody{}
	counted, ready, err := count(ctx, c.counts, "overview "+v.Tenant, v.patience(), func(ctx context.Context) (tenantCounts, error) {
		return c.countTenant(ctx, v.Tenant)
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
	recent, _, err := c.Cases.History.Deliveries(ctx, v.Tenant, store.DeliveryFilter{Range: lately(time.Now())}, store.Page{Limit: recentDeliveries})
	if err != nil {
		return reply{}, err
	}
	body.Recent = deliveryRows(recent)
	hooks, _, err := c.Cases.Hooks.SortedHooks(ctx, v.Tenant, store.HookFilter{}, store.NewestHooks, store.HookPage{Limit: 1})
	if err != nil {
		return reply{}, err
	}
	body.Hooks = len(hooks) > 0
	if body.Lags = c.lags(ctx); body.Lags[0].Problem == "" {
		body.Aside = c.setAside(ctx, v)
	}
	return page("overview", "Overview", body), nil
}

func (c *console) countTenant(ctx context.Context, tenant string) (t tenantCounts, err error) {
	now := time.Now().UTC()
	since := now.Truncate(time.Minute).Add(-(hourMinutes - 1) * time.Minute)
	minutes, err := c.Cases.Stats.PerMinute(ctx, tenant, since)
	if err != nil {
		return t, err
	}
	t.Hour = newHourChart(minutes, since)
	states, err := c.Cases.Stats.OpenStates(ctx, tenant, now.Add(-24*time.Hour))
	if err != nil {
		return t, err
	}
	t.Waiting, t.Parked, t.Dead = states[webhook.Waiting], states[webhook.Parked], states[webhook.Dead]
	if t.Took, err = c.Cases.Stats.Durations(ctx, tenant, since); err != nil {
		return t, err
	}
	t.Resting, err = c.Cases.History.RestingHooks(ctx, tenant)
	return t, err
}

// unhealthy lists one more than are shown, so that one can say so.
func (c *console) unhealthy(ctx context.Context, tenant string) ([]unhealthyRow, error) {
	list, err := c.Cases.History.UnhealthyHooks(ctx, tenant, shownUnhealthy+1)
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
		bus.Fanout: "Events to be delivered", bus.EventRecorder: "Events to be recorded", bus.Retry: "Retries that are due",
		bus.OwnFanout: "Own events to be delivered", bus.OwnRecorder: "Own events to be recorded",
		bus.FactRecorder: "Outcomes to be recorded, in batches",
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

// busTimeout bounds what a page waits for NATS.
const busTimeout = time.Second
