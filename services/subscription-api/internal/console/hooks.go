package console

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// pageSize is how many rows a list shows.
const pageSize = 50

type hookList struct {
	Filter   hookQuery
	Hooks    []hookRow
	Types    []string
	Statuses []option
	Orders   []option
	// Total is the number of hooks that match the filter.
	Total int
	Views savedViews
	// Undo is a hook that was just deleted; may be nil.
	Undo *undoBody
	// Previous and Next are the queries of the neighbouring pages; may be empty.
	Previous, Next string
}

// hookQuery is the list's query.
type hookQuery struct{ Search, Status, EventType, Label, Sort string }

// Narrowed reports whether a filter is set.
func (q hookQuery) Narrowed() bool { return q.Search+q.Status+q.EventType+q.Label != "" }

func readHookQuery(form url.Values) hookQuery {
	return hookQuery{
		Search: strings.TrimSpace(form.Get("search")), Status: form.Get("status"), EventType: strings.TrimSpace(form.Get("event_type")),
		Label: strings.TrimSpace(form.Get("label")), Sort: form.Get("sort"),
	}
}

// filter converts the query. An unknown status is ignored. Invalid labels match no hook, because all matching hooks
// can be paused at once.
func (q hookQuery) filter(mask webhook.Mask) usecase.HookFilter {
	f := usecase.HookFilter{Mask: mask, Search: q.Search, EventType: webhook.NormalizeEventType(q.EventType)}
	if slices.Contains([]webhook.HookStatus{webhook.Active, webhook.Paused, webhook.Disabled}, webhook.HookStatus(q.Status)) {
		f.Status = webhook.HookStatus(q.Status)
	}
	var err error
	if f.Labels, err = webhook.ParseLabelSelector(q.Label); err != nil {
		f.IDs = []uuid.UUID{}
	}
	return f
}

type hookRow struct {
	ID     uuid.UUID
	Title  string
	Target string
	Types  []string
	// More is how many types are not in Types.
	More   int
	Status webhook.HookStatus
	// Reason says why it is disabled, or what is wrong with it.
	Reason string
	// Unreadable says that it cannot be read, and Failing that its attempts fail.
	Unreadable bool
	Failing    bool
	LastAt     time.Time
	// Day is nil while it is being counted.
	Day *spark
}

// shownTypes is how many event types a row lists.
const shownTypes = 3

func newHookRow(h *usecase.SortedHook) hookRow {
	shown := min(len(h.EventTypes), shownTypes)
	if len(h.EventTypes) == shownTypes+1 { // naming one more type takes no more room than "1 more"
		shown++
	}
	row := hookRow{
		ID: h.ID, Title: titleOf(&h.Hook), Target: h.TargetURL, Types: h.EventTypes[:shown], More: len(h.EventTypes) - shown,
		Status: h.Status, Reason: h.DisabledReason, LastAt: h.LastAttemptAt,
	}
	switch {
	case h.Unreadable != "":
		row.Unreadable, row.Reason = true, h.Unreadable
	case h.Status == webhook.Active && !h.FailingSince.IsZero():
		row.Failing, row.Reason = true, failingText(classText(h.LastClass), h.Failures)
	}
	return row
}

// titleOf returns the hook's name, or its target without possible secrets.
func titleOf(h *webhook.Hook) string {
	if h.Name != "" {
		return h.Name
	}
	u, err := url.Parse(h.TargetURL)
	if err != nil {
		return h.ID.String()
	}
	return u.Host + u.Path
}

func (c *console) listHooks(ctx context.Context, v *visit) (reply, error) {
	body := hookList{
		Filter:   readHookQuery(v.form),
		Statuses: []option{{"", "any status"}, {"active", "active"}, {"paused", "paused"}, {"disabled", "disabled"}},
		Orders: []option{
			{"", "newest first"},
			{string(usecase.OldestHooks), "oldest first"},
			{string(usecase.HooksByName), "by name"},
			{string(usecase.FailingHooksFirst), "failing longest first"},
			{string(usecase.LatestHooksFirst), "latest activity first"},
		},
	}
	order := usecase.HookOrder(body.Filter.Sort)
	if !slices.ContainsFunc(body.Orders, func(o option) bool { return o.Value == string(order) }) {
		order = usecase.NewestHooks
	}
	var err error
	if body.Undo, err = c.justDeleted(ctx, v); err != nil {
		return reply{}, err
	}
	if body.Views, err = c.views(ctx, v, "hooks"); err != nil {
		return reply{}, err
	}
	at := readHookPage(v.form)
	hooks, more, err := c.Cases.Hooks.ListSorted(ctx, &v.Caller, body.Filter.filter(c.Cases.MaskFor(&v.Caller)), order, at)
	if err != nil {
		return reply{}, err
	}
	if body.Total, err = c.Cases.Hooks.Count(ctx, &v.Caller, body.Filter.filter(c.Cases.MaskFor(&v.Caller))); err != nil {
		return reply{}, err
	}
	if body.Hooks, err = c.hookRows(ctx, v, hooks); err != nil {
		return reply{}, err
	}
	if body.Types, err = c.typeNames(ctx, v.Tenant); err != nil {
		return reply{}, err
	}
	if n := len(hooks); n > 0 {
		if at.After != nil || at.Before != nil && more {
			body.Previous = pageLink(v.form, "before", formatHookKey(hooks[0].Key))
		}
		if at.Before != nil || more {
			body.Next = pageLink(v.form, "after", formatHookKey(hooks[n-1].Key))
		}
	}
	return page("hooks", "Webhooks", body), nil
}

// hookRows returns the hooks' rows, each with the chart of its last day if that is available.
func (c *console) hookRows(ctx context.Context, v *visit, hooks []usecase.SortedHook) ([]hookRow, error) {
	if len(hooks) == 0 { // the page has no place for counts
		return nil, nil
	}
	since := time.Now().UTC().Truncate(time.Hour).Add(-(sparkHours - 1) * time.Hour)
	ids := make([]uuid.UUID, len(hooks))
	rows := make([]hookRow, len(hooks))
	key := strings.Builder{}
	for i := range hooks {
		h := hooks[i]
		h.Hook = c.Cases.MaskFor(&v.Caller).Hook(h.Hook)
		rows[i], ids[i] = newHookRow(&h), h.ID
		key.WriteString(ids[i].String())
	}
	days, ready, err := count(ctx, c.counts, "days "+key.String(), v.patience(), func(ctx context.Context) (map[uuid.UUID][]usecase.Bucket, error) {
		return c.Cases.Stats.CountPerHook(ctx, ids, since)
	})
	if err != nil {
		return nil, err
	}
	if v.pending = !ready; ready {
		for i := range rows {
			day := newSpark(days[ids[i]], since)
			rows[i].Day = &day
		}
	}
	return rows, nil
}

// readHookPage parses the position in the list from the query; an invalid one means the first page.
func readHookPage(form url.Values) usecase.HookPage {
	at := usecase.HookPage{Limit: pageSize}
	order := usecase.HookOrder(form.Get("sort"))
	if k, ok := parseHookKey(form.Get("after"), order); ok {
		at.After = &k
	} else if k, ok := parseHookKey(form.Get("before"), order); ok {
		at.Before = &k
	}
	return at
}

func parseHookKey(s string, order usecase.HookOrder) (usecase.HookKey, bool) {
	id, key, found := strings.Cut(s, "_")
	parsed, err := uuid.Parse(id)
	if !found || err != nil {
		return usecase.HookKey{}, false
	}
	if order != usecase.HooksByName {
		if n, err := strconv.ParseInt(key, 10, 64); err != nil || n < 0 || n > maxMicros {
			return usecase.HookKey{}, false
		}
	}
	return usecase.HookKey{Key: key, ID: parsed}, true
}

// maxMicros is a time in the year 2200, in microseconds since 1970.
const maxMicros = 7_258_118_400_000_000

func formatHookKey(k usecase.HookKey) string { return k.ID.String() + "_" + k.Key }

func hookPath(id uuid.UUID) string { return Root + "hooks/" + id.String() + "/" }
