package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// entries returns all audit entries about the tenants' objects.
func (w *world) entries(t *testing.T, tenants ...string) []store.AuditEntry {
	t.Helper()
	var all []store.AuditEntry
	for _, of := range tenants {
		list, _, err := w.db.Access.ListAudit(t.Context(), of, store.AuditFilter{}, store.Page{Limit: 10_000})
		require.NoError(t, err)
		all = append(all, list...)
	}
	return all
}

// last returns what next last made of the template.
func (s *stock) last(template string) string {
	return strings.ReplaceAll(template, "{n}", strconv.Itoa(s.n))
}

// labelled returns a function that creates a hook with the label a=b and applies an operation to it.
func (s *stock) labelled(t *testing.T, do string) func() {
	return func() {
		t.Helper()
		as := header("X-Whisperer-Tenant", s.tenant)
		body := s.next(`{"event_type":"*","target_url":"http://example.com/labelled/{n}","labels":{"a":"b"}}`)
		a := s.call(t, http.MethodPost, hooks, body, as)
		require.Less(t, a.status, 300, a.text)
		if do != "" {
			require.Equal(t, http.StatusOK, s.call(t, http.MethodPost, hooks+a.json["id"].(string)+"/"+do+"/", "", as).status)
		}
	}
}

func TestEachOperationThatChangesSomethingLeavesItInTheAuditLog(t *testing.T) {
	t.Parallel()
	w, _ := newBus(t)
	w.db.MakeTenant(t, "acme")
	mine := &stock{world: w, tenant: "acme"}
	plain, made, err := w.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "auditor", Role: store.Admin})
	require.NoError(t, err)
	// bodies that make an operation change something, where the matrix' body does not
	bodies := map[string]string{
		"replay-hook": `{"from":"2026-01-01T00:00:00Z","reason":"r"}`, "rotate-secret": `{"secret_key":"canary-{n}"}`,
		"erase":        `{"events":["nobody-{n}"],"reason":"r"}`,
		"replay-hooks": `{"labels":{"a":"b"},"from":"2026-01-01T00:00:00Z","include_missing":true,"reason":"r"}`, "retry-deliveries": `{"from":"2026-01-01T00:00:00Z"}`,
	}
	// objects that bulk operations can select
	choose := map[string]func(){
		"pause-hooks": mine.labelled(t, ""), "resume-hooks": mine.labelled(t, "pause"), "replay-hooks": mine.labelled(t, ""),
		"retry-deliveries": func() { mine.make(t, aDelivery) },
	}
	// events are a record of their own
	unaudited := map[string]bool{"publish-events": true}
	checked := 0
	for _, l := range w.lines(t) {
		if l.method == http.MethodGet || !l.role.Covers(store.Editor) || unaudited[l.id] {
			continue
		}
		body := l.body
		if b, ok := bodies[l.id]; ok {
			body = b
		}
		id := mine.make(t, l.of)
		if prepare := choose[l.id]; prepare != nil {
			prepare()
		}
		if l.id == "resume-hook" {
			require.Equal(t, http.StatusOK, w.call(t, http.MethodPost, hooks+id+"/pause/", "", header("X-Whisperer-Tenant", "acme")).status)
		}
		if l.id == "put-back-set-aside" {
			b, err := w.bus()
			require.NoError(t, err)
			testenv.SetEventsAside(t, b, 1)
		}
		before := map[string]bool{}
		for _, e := range w.entries(t, "acme", "") {
			before[e.ID.String()] = true
		}
		a := w.call(t, l.method, l.at(id), mine.next(body), token(plain), header("X-Whisperer-Tenant", "acme"))
		require.Less(t, a.status, 300, "%s: %s", l.id, a.text)
		added := 0
		for _, e := range w.entries(t, "acme", "", mine.last("t{n}")) {
			if before[e.ID.String()] {
				continue
			}
			added++
			require.Equal(t, store.Actor("token "+made.ID.String()), e.Actor, l.id)
			require.NotEmpty(t, e.Subject, l.id)
			require.Regexp(t, `^[a-z_]+\.[a-z_]+$`, e.Action, l.id)
			require.True(t, json.Valid(e.Detail), l.id)
			require.NotContains(t, string(e.Detail), "canary", l.id)
		}
		require.Positive(t, added, "%s %s (%s) leaves nothing in the audit log", l.method, l.path, l.id)
		checked++
	}
	require.Greater(t, checked, 15)
}
