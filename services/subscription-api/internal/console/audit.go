package console

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type auditBody struct {
	// Head is that of the hook that the changes are of; nil for all changes.
	Head  *hookHead
	Rows  []auditRow
	Kind  string
	Kinds []option
	paging
}

type auditRow struct {
	store.AuditEntry

	// What says it in words.
	What string
	Text string
	// Short is the subject, of an id its beginning.
	Short string
	// Link is the page of what was changed; empty where there is none.
	Link string
}

// ofNoTenant is what operators choose to see the changes of what belongs to no tenant.
const ofNoTenant = "installation"

func (c *console) listAudit(ctx context.Context, v *visit) (reply, error) {
	body := auditBody{Kind: v.form.Get("kind"), Kinds: []option{
		{"", "everything"},
		{"hook", "webhooks"},
		{"delivery", "deliveries"},
		{"job", "replays"},
		{"token", "tokens"},
		{"event_type", "event types"},
		{"tenant", "tenants"},
		{"ledger_entry", "ledger entries that were put back"},
	}}
	who, filter := v.Caller, store.AuditFilter{Kind: body.Kind}
	if v.Operator() {
		body.Kinds = append(body.Kinds, option{ofNoTenant, "what belongs to no tenant"})
		if body.Kind == ofNoTenant {
			who.Chosen, filter.Kind = false, ""
		}
	}
	if err := c.audit(ctx, v, &body, &who, filter); err != nil {
		return reply{}, err
	}
	return page("audit", "Audit log", body), nil
}

// hookChanges is the part of the audit log that is about one hook. Its owner may see it, as they may see the hook.
func (c *console) hookChanges(ctx context.Context, v *visit) (reply, error) {
	h, err := c.findHook(ctx, v)
	if err != nil {
		return reply{}, err
	}
	head := newHookHead(&h, "changes")
	body := auditBody{Head: &head}
	if err := c.audit(ctx, v, &body, &v.Caller, store.AuditFilter{Subject: h.ID.String()}); err != nil {
		return reply{}, err
	}
	return page("hook-changes", head.Title+": changes", body), nil
}

func (c *console) audit(ctx context.Context, v *visit, body *auditBody, who *usecase.Caller, filter store.AuditFilter) error {
	at := readPage(v.form)
	found, err := all(c.Cases.AuditLog(ctx, who, filter, at))
	if err != nil {
		return err
	}
	names, err := c.Cases.ActorNames(ctx, who.Scope())
	if err != nil {
		return err
	}
	gone := map[string]bool{}
	for i := range found.List {
		gone[found.List[i].Subject] = gone[found.List[i].Subject] || found.List[i].Action == "hook.deleted"
	}
	for i := range found.List {
		row := newAuditRow(&found.List[i], names)
		if gone[row.Subject] {
			row.Link = ""
		}
		body.Rows = append(body.Rows, row)
	}
	body.paging = neighbours(v.form, at, found, func(e *store.AuditEntry) store.Position {
		return store.Position{At: e.At, ID: e.ID}
	})
	return nil
}

func newAuditRow(e *store.AuditEntry, names map[store.Actor]string) auditRow {
	row := auditRow{AuditEntry: *e, What: actionText(e.Action), Short: e.Subject, Text: detailText(e.Detail)}
	if name := names[e.Actor]; name != "" {
		row.Actor = store.Actor(name)
	}
	id, err := uuid.Parse(e.Subject)
	if err != nil {
		return row
	}
	kind, _, _ := strings.Cut(e.Action, ".")
	row.Short = kind + " " + id.String()[24:]
	switch kind {
	case "hook":
		row.Link = hookPath(id)
	case "delivery":
		row.Link = Root + "deliveries/" + id.String() + "/"
	case "job":
		row.Link = jobPath(id)
	}
	return row
}

// actionText is a noun and a verb as people say it: hook.created is "webhook created".
func actionText(action string) string {
	kind, verb, _ := strings.Cut(action, ".")
	switch kind {
	case "hook":
		kind = "webhook"
	case "job":
		kind = "replay"
	}
	return strings.ReplaceAll(kind+" "+verb, "_", " ")
}

// detailText writes a detail as people read it: name and value, one after the other.
func detailText(detail json.RawMessage) string {
	var fields map[string]any
	if json.Unmarshal(detail, &fields) != nil {
		return string(detail)
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
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
