package console

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type auditBody struct {
	// Head is the head of the hook that the entries are about; nil on the page of all entries.
	Head  *hookHead
	Rows  []auditRow
	Kind  string
	Kinds []option
	// Actor and Subject are the filters.
	Actor, Subject string
	Filter         auditSpan
	// Problem says what is wrong with the filter; empty if it is valid.
	Problem string
	// Export is the query for the list as a file.
	Export string
	paging
}

type auditRow struct {
	usecase.AuditEntry

	// What describes the action in words.
	What string
	Text string
	// Short is the subject; an id is shortened.
	Short string
	// Link is the page of what was changed; may be empty.
	Link string
}

// ofNoTenant is the choice of entries that belong to no tenant, for operators.
const ofNoTenant = "installation"

// Narrowed reports whether a filter is set.
func (b *auditBody) Narrowed() bool {
	return b.Kind != "" || b.Actor != "" || b.Subject != "" || b.Filter.Since != ""
}

// auditSpan is the time range of the entries; by default it is unlimited.
type auditSpan struct{ spanQuery }

// SpanLabel is the label of the field.
func (auditSpan) SpanLabel() string { return "When" }

// Spans are the choices of the time range.
func (s auditSpan) Spans() []option {
	return append([]option{{"", "any time"}, {"week", "last 7 days"}}, s.spanQuery.Spans()[1:]...)
}

// auditOf returns the caller whose scope applies, and the filter. problem is a sentence about an invalid filter.
func (c *console) auditOf(ctx context.Context, v *visit) (who usecase.Caller, f usecase.AuditFilter, problem string, err error) {
	who = v.Caller
	f = usecase.AuditFilter{Kind: v.form.Get("kind"), Subject: strings.TrimSpace(v.form.Get("subject"))}
	if v.Operator() && f.Kind == ofNoTenant {
		who.Chosen, f.Kind = false, ""
	}
	if span := readSpan(v.form); span.Since != "" {
		if span.Since == ownSpan && span.From == "" {
			span.From = "2000-01-01T00:00" // audit entries are kept forever
		}
		if f.Range, problem = span.timeRange(v.now()); problem != "" {
			return who, f, problem, nil
		}
	}
	actor := strings.TrimSpace(v.form.Get("actor"))
	switch {
	case len(actor) > usecase.MaxActor, len(f.Subject) > usecase.MaxActor:
		return who, f, "No name is that long.", nil
	case actor != "":
		f.Actors, err = c.Cases.Access.Actors(ctx, &who, actor)
	}
	return who, f, "", err
}

func (c *console) listAudit(ctx context.Context, v *visit) (reply, error) {
	body := auditBody{Kind: v.form.Get("kind"), Actor: v.form.Get("actor"), Subject: v.form.Get("subject"), Filter: auditSpan{readSpan(v.form)}, Kinds: []option{
		{"", "everything"},
		{"hook", "webhooks"},
		{"delivery", "deliveries"},
		{"job", "replays"},
		{"token", "tokens"},
		{"event_type", "event types"},
		{"tenant", "tenants"},
		{"ledger_entry", "ledger entries that were put back"},
		{"signing_key", "signing keys"},
		{"erasure", "erasures"},
		{"retention", "retention policies"},
		{"view", "saved views"},
	}}
	if v.Operator() {
		body.Kinds = append(body.Kinds, option{ofNoTenant, "what belongs to no tenant"})
	}
	who, filter, problem, err := c.auditOf(ctx, v)
	if err != nil {
		return reply{}, err
	}
	if body.Problem = problem; problem != "" {
		return page("audit", "Audit log", &body).with(http.StatusUnprocessableEntity), nil
	}
	body.Export = "?" + filterOf(v.form).Encode()
	if err := c.audit(ctx, v, &body, &who, filter); err != nil {
		return reply{}, err
	}
	return page("audit", "Audit log", &body), nil
}

// hookChanges shows the audit entries of one hook. Whoever may see the hook may see them.
func (c *console) hookChanges(ctx context.Context, v *visit) (reply, error) {
	h, err := c.findHook(ctx, v)
	if err != nil {
		return reply{}, err
	}
	head, err := c.hookHead(ctx, &h, "changes")
	if err != nil {
		return reply{}, err
	}
	body := auditBody{Head: &head}
	if err := c.audit(ctx, v, &body, &v.Caller, usecase.AuditFilter{Subject: h.ID.String()}); err != nil {
		return reply{}, err
	}
	return page("hook-changes", head.Title+": changes", body), nil
}

func (c *console) audit(ctx context.Context, v *visit, body *auditBody, who *usecase.Caller, filter usecase.AuditFilter) error {
	at := readPage(v.form)
	found, err := wholePage(c.Cases.Access.AuditLog(ctx, who, filter, at))
	if err != nil {
		return err
	}
	names, err := c.Cases.Access.ActorNames(ctx, who.Scope())
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for i := range found.List { // newest first
		e := &found.List[i]
		if _, known := gone[e.Subject]; !known && (e.Action == "hook.deleted" || e.Action == "hook.restored") {
			gone[e.Subject] = e.Action == "hook.deleted"
		}
	}
	for i := range found.List {
		row := newAuditRow(&found.List[i], names)
		if gone[row.Subject] {
			row.Link = ""
		}
		body.Rows = append(body.Rows, row)
	}
	body.paging = neighbours(v.form, at, found, func(e *usecase.AuditEntry) usecase.Position {
		return usecase.Position{At: e.At, ID: e.ID}
	})
	return nil
}

func newAuditRow(e *usecase.AuditEntry, names map[usecase.Actor]string) auditRow {
	row := auditRow{AuditEntry: *e, What: actionText(e.Action), Short: e.Subject, Text: detailText(e.Detail)}
	if name := names[e.Actor]; name != "" {
		row.Actor = usecase.Actor(name)
	}
	id, err := uuid.Parse(e.Subject)
	if err != nil {
		return row
	}
	kind, _, _ := strings.Cut(e.Action, ".")
	row.Short = kindText(kind) + " " + id.String()[24:]
	switch kind {
	case "hook":
		row.Link = hookPath(id)
	case "delivery":
		row.Link = Root + "deliveries/" + id.String() + "/"
	case "job":
		row.Link = jobPath(id)
	case "erasure":
		row.Link = erasurePath(id)
	}
	return row
}

// actionText describes an action in words: hook.created is "webhook created".
func actionText(action string) string {
	kind, verb, _ := strings.Cut(action, ".")
	return strings.ReplaceAll(kindText(kind)+" "+verb, "_", " ")
}

// kindText is the name of a kind of object.
func kindText(kind string) string {
	switch kind {
	case "hook":
		return "webhook"
	case "job":
		return "replay"
	default:
		return kind
	}
}

// detailText formats the details of an entry as a list of names and values.
func detailText(detail json.RawMessage) string {
	var fields map[string]any
	if json.Unmarshal(detail, &fields) != nil {
		return string(detail)
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		if value == nil {
			continue
		}
		if list, ok := value.([]any); ok {
			words := make([]string, len(list))
			for i, word := range list {
				words[i] = fmt.Sprint(word)
			}
			value = strings.Join(words, ", ")
		}
		parts = append(parts, strings.ReplaceAll(name, "_", " ")+": "+fmt.Sprint(value))
	}
	return strings.Join(parts, "; ")
}
