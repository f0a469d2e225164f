package console

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// recentDeliveries is how many a hook's page shows.
const recentDeliveries = 10

// hookHead is what all pages of a hook begin with.
type hookHead struct {
	ID     uuid.UUID
	Title  string
	Status webhook.HookStatus
	Reason string
	// Unreadable says why the hook cannot be read.
	Unreadable string
	// Tab is the page that is shown.
	Tab string
}

func newHookHead(h *webhook.Hook, tab string) hookHead {
	return hookHead{ID: h.ID, Title: titleOf(h), Status: h.Status, Reason: h.DisabledReason, Unreadable: h.Unreadable, Tab: tab}
}

// findHook is the hook that the path names, which has to be readable.
func (c *console) findHook(ctx context.Context, v *visit) (webhook.Hook, error) {
	h, err := c.shownHook(ctx, v)
	if err == nil && h.Unreadable != "" {
		return webhook.Hook{}, &store.UnreadableError{Hook: h}
	}
	return h, err
}

// shownHook is the hook that the path names, as far as it can be read.
func (c *console) shownHook(ctx context.Context, v *visit) (webhook.Hook, error) {
	id, err := readID(v)
	if err != nil {
		return webhook.Hook{}, err
	}
	h, err := c.Cases.Hook(ctx, &v.Caller, id)
	return c.Cases.MaskFor(&v.Caller).Hook(h), err
}

type hookBody struct {
	Head   hookHead
	Hook   webhook.Hook
	Header []string
	// Config is the config as it was written, without what is secret.
	Config string
	// Retries says in words when it is tried again.
	Retries timetable
	// Health is nil while it is counted.
	Health *hookHealth
	Recent []deliveryRow
	// ExampleType is an exact type that reaches the hook.
	ExampleType string
}

// hookHealth is how a hook fares.
type hookHealth struct {
	store.HookStats

	Day, Month spark
	// Parts are what is parked, by its reason.
	Parts   []parkedPart
	Answers []answerBar
}

// FilterEvent is the address of the newest event that the filter could not be evaluated for.
func (h hookHealth) FilterEvent() string { return eventLink(h.FilterDay.EventID) }

type parkedPart struct {
	N   int
	Why string
}

// answerBar is how many of the newest attempts were answered alike.
type answerBar struct {
	Text  string
	Class string
	N     int
	// Width is that of the bar in percent of the longest.
	Width int
}

func (c *console) hookPage(ctx context.Context, v *visit) (reply, error) {
	h, err := c.shownHook(ctx, v)
	if err != nil {
		return reply{}, err
	}
	form := formOf(&h, nil)
	body := hookBody{
		Head: newHookHead(&h, "health"), Hook: h, Header: headerLines(h.Headers, v.Token.Role.Covers(store.Editor)),
		Retries: preview(&form), ExampleType: exampleType(&h),
	}
	if config := string(h.Config.Raw); config != "" && config != "{}" {
		body.Config = pretty(h.Config.Raw)
	}
	recent, _, err := c.Cases.History.Deliveries(ctx, v.Tenant, store.DeliveryFilter{Hook: h.ID}, store.Page{Limit: recentDeliveries})
	if err != nil {
		return reply{}, err
	}
	body.Recent = deliveryRows(recent)
	health, ready, err := count(ctx, c.counts, "hook "+h.ID.String(), v.patience(), func(ctx context.Context) (hookHealth, error) {
		return c.health(ctx, v.Tenant, h.ID)
	})
	if err != nil {
		return reply{}, err
	}
	if v.pending = !ready; ready {
		body.Health = &health
	}
	return page("hook", body.Head.Title, body), nil
}

// health counts.
func (c *console) health(ctx context.Context, tenant string, hook uuid.UUID) (h hookHealth, err error) {
	now := time.Now().UTC()
	if h.HookStats, err = c.Cases.Stats.HookStats(ctx, tenant, hook, now); err != nil {
		return h, err
	}
	for _, part := range []struct {
		into  *spark
		span  store.Span
		long  time.Duration
		count int
	}{{&h.Day, store.Hourly, time.Hour, sparkHours}, {&h.Month, store.Daily, 24 * time.Hour, sparkDays}} {
		since := now.Truncate(part.long).Add(-time.Duration(part.count-1) * part.long)
		buckets, err := c.Cases.Stats.PerHook(ctx, []uuid.UUID{hook}, since, part.span)
		if err != nil {
			return h, err
		}
		*part.into = newSpark(buckets[hook], since, part.long)
	}
	for _, reason := range slices.Sorted(maps.Keys(h.Reasons)) {
		h.Parts = append(h.Parts, parkedPart{N: h.Reasons[reason], Why: reasonText(reason)})
	}
	h.Answers = answerBars(h.HookStats.Answers)
	return h, nil
}

func answerBars(list []store.AnswerCount) []answerBar {
	var bars []answerBar
	for _, a := range list {
		bar := answerBar{Text: answerText(a.Status, a.Class), Class: "bar-dead", N: a.N}
		switch {
		case bar.Text == "":
			bar.Text = "not known"
		case a.Status >= 200 && a.Status <= 299:
			bar.Class = "bar-delivered"
		}
		bar.Width = max(1, 100*a.N/list[0].N)
		bars = append(bars, bar)
	}
	return bars
}

// Failing says what is wrong with the hook; empty where nothing is.
func (b hookBody) Failing() string {
	if b.Health == nil || b.Health.FailingSince.IsZero() {
		return ""
	}
	return failingText(lastAnswer(b.Recent), b.Health.Failures)
}

// lastAnswer is what the newest delivery that is not through was answered with.
func lastAnswer(recent []deliveryRow) string {
	for _, d := range recent {
		if d.State != webhook.Delivered && d.Answer != "" {
			return d.Answer
		}
	}
	return ""
}

// hidden stands for what the reader may not see.
const hidden = "***"

func headerLines(headers map[string]string, show bool) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := hidden
		if show {
			value = headers[name]
		}
		lines = append(lines, name+": "+value)
	}
	return lines
}
