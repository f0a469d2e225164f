package console

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/daemon"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// pageSize is how many rows a list shows.
const pageSize = 50

type hookList struct {
	Filter   hookQuery
	Hooks    []hookRow
	Types    []string
	Statuses []option
	Orders   []option
	// Newer and Older are the queries of the neighbouring pages; empty where there is none.
	Newer, Older string
}

// hookQuery is what the list's URL says.
type hookQuery struct{ Search, Status, EventType, Sort string }

// Narrowed reports whether hooks may be hidden by the filter.
func (q hookQuery) Narrowed() bool { return q.Search+q.Status+q.EventType != "" }

// OldestFirst reports whether the list begins with the oldest.
func (q hookQuery) OldestFirst() bool { return q.Sort == "oldest" }

type hookRow struct {
	ID     uuid.UUID
	Title  string
	Target string
	Types  []string
	// More is how many types are not in Types.
	More       int
	Status     webhook.HookStatus
	Reason     string
	ModifiedAt time.Time
	Day        spark
}

// shownTypes is how many event types a row of the list names.
const shownTypes = 3

func newHookRow(h *webhook.Hook) hookRow {
	shown := min(len(h.EventTypes), shownTypes)
	return hookRow{
		ID: h.ID, Title: titleOf(h), Target: h.TargetURL, Types: h.EventTypes[:shown], More: len(h.EventTypes) - shown,
		Status: h.Status, Reason: h.DisabledReason, ModifiedAt: h.ModifiedAt,
	}
}

// titleOf is the hook's name, or where it sends to without what may be secret in that.
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
		Filter: hookQuery{
			Search: strings.TrimSpace(v.form.Get("search")), Status: v.form.Get("status"), EventType: v.form.Get("event_type"),
			Sort: v.form.Get("sort"),
		},
		Statuses: []option{{"", "any status"}, {"active", "active"}, {"paused", "paused"}, {"disabled", "disabled"}},
		Orders:   []option{{"", "newest first"}, {"oldest", "oldest first"}},
	}
	filter := postgres.HookFilter{Search: body.Filter.Search, EventType: webhook.NormalizeEventType(body.Filter.EventType)}
	if slices.Contains([]webhook.HookStatus{webhook.Active, webhook.Paused, webhook.Disabled}, webhook.HookStatus(body.Filter.Status)) {
		filter.Status = webhook.HookStatus(body.Filter.Status)
	}
	at := readPage(v.form)
	atEnd := body.Filter.OldestFirst() && at.Newer == nil && at.Older == nil
	if atEnd {
		at.Newer = &postgres.Position{} // all are newer than that
	}
	hooks, more, err := c.Hooks.Hooks(ctx, v.tenant, filter, at)
	if err != nil {
		return reply{}, err
	}
	if body.Hooks, err = c.hookRows(ctx, hooks); err != nil {
		return reply{}, err
	}
	if body.Filter.OldestFirst() {
		slices.Reverse(body.Hooks)
	}
	if body.Types, err = c.typeNames(ctx, v.tenant); err != nil {
		return reply{}, err
	}
	body.Newer, body.Older = neighbours(v.form, at, more, len(hooks), func(i int) postgres.Position {
		return postgres.Position{At: hooks[i].CreatedAt, ID: hooks[i].ID}
	})
	if atEnd {
		body.Older = ""
	}
	return page("hooks", "Webhooks", body), nil
}

// statsTimeout bounds counting, without which a page can do.
const statsTimeout = 1500 * time.Millisecond

// hookRows are the rows of the hooks, each with its last day.
func (c *console) hookRows(ctx context.Context, hooks []webhook.Hook) ([]hookRow, error) {
	now := c.now().UTC()
	ids := make([]uuid.UUID, len(hooks))
	for i := range hooks {
		ids[i] = hooks[i].ID
	}
	since := now.Truncate(time.Hour).Add(-sparkHours * time.Hour).Add(time.Hour)
	days, err := daemon.Within(ctx, statsTimeout, func(ctx context.Context) (map[uuid.UUID][]postgres.Bucket, error) {
		return c.Stats.PerHook(ctx, ids, since, postgres.Hourly)
	})
	counted := !errors.Is(err, context.DeadlineExceeded)
	if err != nil && counted {
		return nil, err
	}
	rows := make([]hookRow, len(hooks))
	for i := range hooks {
		rows[i] = newHookRow(&hooks[i])
		rows[i].Day = newSpark(days[hooks[i].ID], since, counted)
	}
	return rows, nil
}

// readPage reads the place in a list that the query names; one that cannot be read is the list's beginning.
func readPage(form url.Values) postgres.Page {
	at := postgres.Page{Limit: pageSize}
	if p, ok := parsePosition(form.Get("older")); ok {
		at.Older = &p
	} else if p, ok := parsePosition(form.Get("newer")); ok {
		at.Newer = &p
	}
	return at
}

func parsePosition(s string) (postgres.Position, bool) {
	micros, id, _ := strings.Cut(s, "_")
	at, errAt := strconv.ParseInt(micros, 10, 64)
	parsed, errID := uuid.Parse(id)
	return postgres.Position{At: time.UnixMicro(at).UTC(), ID: parsed}, errAt == nil && errID == nil
}

func formatPosition(p postgres.Position) string {
	return strconv.FormatInt(p.At.UnixMicro(), 10) + "_" + p.ID.String()
}

// neighbours are the queries of the pages before and after one of n rows.
func neighbours(form url.Values, at postgres.Page, more bool, n int, position func(int) postgres.Position) (newer, older string) {
	link := func(direction string, i int) string {
		q := url.Values{}
		for name, values := range form {
			if name != "older" && name != "newer" && name != "done" && values[0] != "" {
				q.Set(name, values[0])
			}
		}
		q.Set(direction, formatPosition(position(i)))
		return "?" + q.Encode()
	}
	if n == 0 {
		return "", ""
	}
	if at.Older != nil || at.Newer != nil && more {
		newer = link("newer", 0)
	}
	if at.Newer != nil || more {
		older = link("older", n-1)
	}
	return newer, older
}

// setStatuses pauses or resumes the hooks that were ticked.
func (c *console) setStatuses(ctx context.Context, v *visit) (reply, error) {
	status, done, ok := wantedStatus(v.posted.Get("status"))
	ids := v.posted["hook"]
	if !ok || len(ids) > pageSize {
		return reply{}, errBadForm
	}
	for _, text := range ids {
		id, err := uuid.Parse(text)
		if err != nil {
			return reply{}, errBadForm
		}
		if err := c.storeStatus(ctx, v, id, status); err != nil && !errors.Is(err, webhook.ErrNotFound) {
			return reply{}, err
		}
	}
	next := safeNext(v.posted.Get("next"))
	if next == "" {
		next = Root + "hooks/"
	}
	if len(ids) == 0 {
		return goTo(withDone(next, "none-ticked")), nil
	}
	return goTo(withDone(next, done+"-some")), nil
}

// wantedStatus reads what a button asks for.
func wantedStatus(action string) (status webhook.HookStatus, done string, ok bool) {
	switch action {
	case "pause":
		return webhook.Paused, "paused", true
	case "resume":
		return webhook.Active, "resumed", true
	default:
		return "", "", false
	}
}

// storeStatus pauses an active hook, or resumes one that is paused or disabled.
func (c *console) storeStatus(ctx context.Context, v *visit, id uuid.UUID, status webhook.HookStatus) error {
	_, err := c.Hooks.UpdateHook(ctx, v.actor(), v.tenant, id, nil, func(h *webhook.Hook) error {
		if status == webhook.Paused && h.Status == webhook.Disabled {
			return nil // it gets nothing already, and says why
		}
		h.Status, h.DisabledReason = status, ""
		return nil
	})
	return err
}

func (c *console) setStatus(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	status, done, ok := wantedStatus(v.posted.Get("status"))
	if !ok {
		return reply{}, errBadForm
	}
	if err := c.storeStatus(ctx, v, id, status); err != nil {
		return reply{}, err
	}
	return goTo(withDone(hookPath(id), done)), nil
}

func hookPath(id uuid.UUID) string { return Root + "hooks/" + id.String() + "/" }

func withDone(path, done string) string {
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return path + separator + "done=" + done
}
