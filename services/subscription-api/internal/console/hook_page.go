package console

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// recentDeliveries is how many deliveries a hook's page shows.
const recentDeliveries = 10

// hookHead is the head of all pages of a hook.
type hookHead struct {
	ID     uuid.UUID
	Title  string
	Status webhook.HookStatus
	Reason string
	// Until is when the hook resumes automatically; zero for never.
	Until time.Time
	// Unreadable says why the hook cannot be read.
	Unreadable string
	usecase.Failure
	// Why describes how its attempts fail; empty if they do not.
	Why string
	// Refused says that the receiver rejects the authentication: 401 or 403.
	Refused bool
	// Tab is the current page.
	Tab string
}

func (c *console) hookHead(ctx context.Context, h *webhook.Hook, tab string) (hookHead, error) {
	head := hookHead{ID: h.ID, Title: titleOf(h), Status: h.Status, Reason: h.DisabledReason, Until: h.PausedUntil, Unreadable: h.Unreadable, Tab: tab}
	if h.Status != webhook.Active || h.Unreadable != "" {
		return head, nil
	}
	var err error
	head.Failure, err = c.Cases.History.Failure(ctx, h.Tenant, h.ID)
	if err != nil || head.FailingSince.IsZero() {
		return head, err
	}
	last, err := c.lastFailure(ctx, h.Tenant, h.ID, head.LastClass)
	head.Why, head.Refused = failingText(last.Text, head.Failures), last.Refused
	return head, err
}

// failure describes how a hook's newest attempt failed.
type failure struct {
	Text string
	// Refused says that the receiver answered 401 or 403.
	Refused bool
}

// lastFailure examines the newest unfinished deliveries; class is the error class of the last attempt, in case they
// say no more.
func (c *console) lastFailure(ctx context.Context, tenant string, hook uuid.UUID, class webhook.ErrorClass) (failure, error) {
	for _, states := range [][]webhook.DeliveryState{{webhook.Waiting, webhook.Dead}, {webhook.Parked}} {
		f := usecase.DeliveryFilter{Hook: hook, States: states, Range: lastWeek(time.Now())}
		list, _, err := c.Cases.History.ListDeliveries(ctx, tenant, f, usecase.Page{Limit: recentDeliveries})
		if err != nil {
			return failure{}, err
		}
		for _, d := range list {
			if text := answerText(d.LastStatus, d.LastError); text != "" {
				return failure{Text: text, Refused: d.LastStatus == http.StatusUnauthorized || d.LastStatus == http.StatusForbidden}, nil
			}
		}
	}
	return failure{Text: classText(class)}, nil
}

// findHook returns the hook that the path names, which must be readable.
func (c *console) findHook(ctx context.Context, v *visit) (webhook.Hook, error) {
	h, err := c.shownHook(ctx, v)
	if err == nil && h.Unreadable != "" {
		return webhook.Hook{}, &usecase.UnreadableError{Hook: h}
	}
	return h, err
}

// shownHook returns the hook that the path names, as far as it can be read.
func (c *console) shownHook(ctx context.Context, v *visit) (webhook.Hook, error) {
	id, err := readID(v)
	if err != nil {
		return webhook.Hook{}, err
	}
	h, err := c.Cases.Hooks.Get(ctx, &v.Caller, id)
	return c.Cases.MaskFor(&v.Caller).Hook(h), err
}

// PauseEnds are the choices of how long to pause it.
func (hookBody) PauseEnds() []option { return pauseEnds() }

// RatePeriod is the period of the hook's rate limit as text; empty if there is none.
func (b hookBody) RatePeriod() string {
	if b.Hook.Config.RateLimit == nil {
		return ""
	}
	return wait(b.Hook.Config.RateLimit.Period)
}

type hookBody struct {
	Head   hookHead
	Hook   webhook.Hook
	Header []string
	// Fields are those that only have a description.
	Fields []fieldRow
	// Config is the config as it was written, without secrets.
	Config string
	// Retries describes the retry schedule.
	Retries timetable
	// Health is nil while it is being counted.
	Health *hookHealth
	Recent []deliveryRow
	// ExampleType is an exact type that the hook gets.
	ExampleType string
}

// hookHealth has statistics of a hook.
type hookHealth struct {
	usecase.HookStats

	Chart timeChart
	// Parts counts parked deliveries by reason.
	Parts   []parkedPart
	Answers []answerBar
}

// DaySum counts the last day's deliveries.
func (h hookHealth) DaySum() usecase.Counts { return countsOf(h.Day) }

// DayRate is the share of them that was delivered, as text; empty if there are none.
func (h hookHealth) DayRate() string { return rate(h.DaySum()) }

// MonthRate is the same for 30 days.
func (h hookHealth) MonthRate() string { return rate(countsOf(h.Month)) }

func countsOf(states map[webhook.DeliveryState]int) usecase.Counts {
	return usecase.Counts{
		Delivered: states[webhook.Delivered], Open: states[webhook.Waiting] + states[webhook.Parked], Dead: states[webhook.Dead],
	}
}

// FilterEvent is the address of the newest event for which the filter could not be evaluated.
func (h hookHealth) FilterEvent() string { return eventLink(h.FilterDay.EventID) }

// TransformEvent is the address of the newest event for which the transform could not be evaluated.
func (h hookHealth) TransformEvent() string { return eventLink(h.TransformDay.EventID) }

type parkedPart struct {
	N   int
	Why string
}

// answerBar counts those of the newest attempts that got the same answer.
type answerBar struct {
	Text  string
	Class string
	N     int
	// Width is the bar's width in percent of the longest.
	Width int
}

func (c *console) hookPage(ctx context.Context, v *visit) (reply, error) {
	h, err := c.shownHook(ctx, v)
	if err != nil {
		return reply{}, err
	}
	form := formOf(&h, nil)
	head, err := c.hookHead(ctx, &h, "health")
	if err != nil {
		return reply{}, err
	}
	body := hookBody{
		Head: head, Hook: h, Fields: fieldRows(&h), Header: headerLines(h.Headers, v.Token.Role.Covers(usecase.Editor)),
		Retries: preview(&form), ExampleType: exampleType(&h),
	}
	if config := string(h.Config.Raw); config != "" && config != "{}" {
		body.Config = pretty(h.Config.Raw)
	}
	recent, _, err := c.Cases.History.ListDeliveries(ctx, v.Tenant, usecase.DeliveryFilter{Hook: h.ID}, usecase.Page{Limit: recentDeliveries})
	if err != nil {
		return reply{}, err
	}
	body.Recent = deliveryRows(recent)
	chart := readChart(v.form, "24h", h.ID, time.Now())
	health, ready, err := count(ctx, c.counts, "hook "+h.ID.String()+" "+chart.key(), v.patience(), func(ctx context.Context) (hookHealth, error) {
		return c.health(ctx, v.Tenant, h.ID, chart)
	})
	if err != nil {
		return reply{}, err
	}
	if v.pending = !ready; ready {
		body.Health = &health
	}
	return page("hook", body.Head.Title, body), nil
}

// health computes the statistics.
func (c *console) health(ctx context.Context, tenant string, hook uuid.UUID, chart chartQuery) (h hookHealth, err error) {
	now := time.Now().UTC()
	if h.HookStats, err = c.Cases.Stats.HookStats(ctx, tenant, hook, now); err != nil {
		return h, err
	}
	if h.Chart, err = c.timeChart(ctx, tenant, chart); err != nil {
		return h, err
	}
	for _, reason := range slices.Sorted(maps.Keys(h.Reasons)) {
		h.Parts = append(h.Parts, parkedPart{N: h.Reasons[reason], Why: reasonText(reason)})
	}
	h.Answers = answerBars(h.HookStats.Answers)
	return h, nil
}

func answerBars(list []usecase.AnswerCount) []answerBar {
	var bars []answerBar
	for _, a := range list {
		bar := answerBar{Text: answerText(a.Status, a.Class), Class: "bar-dead", N: a.N}
		switch {
		case bar.Text == "":
			bar.Text = "not known"
		case a.Class == webhook.ClassNone && a.Status != 0:
			bar.Class = "bar-delivered"
		}
		bar.Width = max(1, 100*a.N/list[0].N)
		bars = append(bars, bar)
	}
	return bars
}

// hidden replaces what the reader may not see.
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
