package httpapi_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// thing is the kind of object that the id in an operation's path identifies.
type thing int

const (
	none thing = iota
	aHook
	anEvent
	aDelivery
	aJob
	aPausedJob
	aToken
	anErasure
	anEventType
)

// access is an operation's line of the matrix: who may use it, what its path names, and a body that it accepts. {n}
// in the body is replaced by a new number.
type access struct {
	role     store.Role
	operator bool
	of       thing
	body     string
	// query is needed for the response to end.
	query string
}

// matrix has a line for each operation of the document.
func matrix() map[string]access {
	const (
		hook   = `{"event_type":"*","target_url":"http://example.com/{n}"}`
		replay = `{"from":"2026-01-01T00:00:00Z","dry_run":true}`
	)
	return map[string]access{
		"list-hooks":           {role: store.Viewer},
		"create-hook":          {role: store.Editor, body: hook},
		"get-hook":             {role: store.Viewer, of: aHook},
		"replace-hook":         {role: store.Editor, of: aHook, body: hook},
		"change-hook":          {role: store.Editor, of: aHook, body: `{"name":"n"}`},
		"delete-hook":          {role: store.Editor, of: aHook},
		"pause-hook":           {role: store.Editor, of: aHook},
		"resume-hook":          {role: store.Editor, of: aHook},
		"pause-hooks":          {role: store.Editor, body: `{"labels":{"a":"b"}}`},
		"resume-hooks":         {role: store.Editor, body: `{"labels":{"a":"b"}}`},
		"replay-hooks":         {role: store.Editor, body: `{"labels":{"a":"b"},"from":"2026-01-01T00:00:00Z","dry_run":true}`},
		"retry-deliveries":     {role: store.Editor, body: `{"from":"2026-01-01T00:00:00Z","dry_run":true}`},
		"rotate-secret":        {role: store.Editor, of: aHook},
		"get-hook-stats":       {role: store.Viewer, of: aHook},
		"list-hook-deliveries": {role: store.Viewer, of: aHook},
		"get-hook-manifest":    {role: store.Viewer, of: aHook},
		"relay-deliveries":     {role: store.Editor, query: "?seconds=1"},
		"replay-hook":          {role: store.Editor, of: aHook, body: replay},
		"get-hook-recovery":    {role: store.Viewer, of: aHook},
		"test-hook":            {role: store.Editor, of: aHook},
		"test-unsaved-hook":    {role: store.Editor, body: `{"hook":` + hook + `,"event_type":"order.created"}`},
		"backtest-hook":        {role: store.Viewer, body: `{}`},
		"preview-retries":      {role: store.Viewer, body: `{}`},
		"list-event-types":     {role: store.Viewer},
		"declare-event-type":   {role: store.Editor, body: `{"name":"kiosk.opened{n}"}`},
		"get-event-type":       {role: store.Viewer, of: anEventType},
		"change-event-type":    {role: store.Editor, of: anEventType, body: `{"deprecated":true}`},
		"remove-event-type":    {role: store.Editor, of: anEventType},
		"publish-events":       {role: store.Editor, body: `{"event_type":"order.created","data":{"id":{n}}}`},
		"list-events":          {role: store.Viewer},
		"get-event":            {role: store.Viewer, of: anEvent},
		"explain-event":        {role: store.Viewer, of: anEvent},
		"list-rejected-events": {role: store.Viewer},
		"list-deliveries":      {role: store.Viewer},
		"get-delivery":         {role: store.Viewer, of: aDelivery},
		"retry-delivery":       {role: store.Editor, of: aDelivery},
		"replay-delivery":      {role: store.Admin, of: aDelivery, body: `{"target_url":"http://example.com/"}`},
		"list-hook-events":     {role: store.Viewer},
		"get-hook-event":       {role: store.Viewer, of: aDelivery},
		"retry-hook-event":     {role: store.Editor, of: aDelivery},
		"list-jobs":            {role: store.Viewer},
		"get-job":              {role: store.Viewer, of: aJob},
		"pause-job":            {role: store.Editor, of: aJob},
		"resume-job":           {role: store.Editor, of: aPausedJob},
		"cancel-job":           {role: store.Editor, of: aJob},
		"list-tokens":          {role: store.Admin},
		"create-token":         {role: store.Admin, body: `{"name":"t","role":"viewer"}`},
		"revoke-token":         {role: store.Admin, of: aToken},
		"list-tenants":         {role: store.Viewer, operator: true},
		"list-audit":           {role: store.Admin},
		"export-audit":         {role: store.Admin},
		"export-deliveries":    {role: store.Viewer},
		"export-attempts":      {role: store.Viewer},
		"erase":                {role: store.Admin, body: `{"events":["nobody-{n}"],"dry_run":true}`},
		"list-retention":       {role: store.Admin},
		"set-retention":        {role: store.Admin, body: `{"event_type":"made.{n}","days":7}`},
		"list-erasures":        {role: store.Admin},
		"get-erasure":          {role: store.Admin, of: anErasure},
		"cancel-erasure":       {role: store.Admin, of: anErasure},
		"list-set-aside":       {role: store.Viewer, operator: true},
		"put-back-set-aside":   {role: store.Admin, operator: true, body: `{"all":true}`},
		"create-tenant":        {role: store.Admin, operator: true, body: `{"name":"t{n}"}`},
		"list-signing-keys":    {role: store.Viewer},
		"rotate-signing-keys":  {role: store.Admin, body: `{"revoke":true}`},
	}
}

// line is an operation of the document with its line of the matrix.
type line struct {
	access

	id, method, path string
	operation        *openapi3.Operation
}

// lines returns all operations in a fixed order. The test fails if an operation has no line, or a line no operation.
func (w *world) lines(t *testing.T) []line {
	t.Helper()
	all, list := matrix(), []line(nil)
	for path, item := range w.document.Paths.Map() {
		for method, op := range item.Operations() {
			a, there := all[op.OperationID]
			require.True(t, there, "%s %s (%s) needs its line in the matrix", method, path, op.OperationID)
			require.Equal(t, strings.Contains(path, "{"), a.of != none, "%s: the matrix has to say what its path names", op.OperationID)
			delete(all, op.OperationID)
			list = append(list, line{access: a, id: op.OperationID, method: method, path: path, operation: op})
		}
	}
	require.Empty(t, slices.Collect(maps.Keys(all)), "lines of operations that are not there")
	slices.SortFunc(list, func(a, b line) int { return strings.Compare(a.id, b.id) })
	return list
}

// at returns the path with an id.
func (l *line) at(id string) string {
	before, rest, _ := strings.Cut(l.path, "{")
	_, after, _ := strings.Cut(rest, "}")
	return before + url.PathEscape(id) + after + l.query
}

// stock creates objects of one tenant.
type stock struct {
	*world
	tenant string
	n      int
}

// next puts a new number into a template.
func (s *stock) next(template string) string {
	s.n++
	return strings.ReplaceAll(template, "{n}", strconv.Itoa(s.n))
}

// make creates a new object and returns its id.
func (s *stock) make(t *testing.T, of thing) string {
	t.Helper()
	as := header("X-Whisperer-Tenant", s.tenant)
	post := func(path, body string) string {
		a := s.call(t, http.MethodPost, path, s.next(body), as)
		require.Less(t, a.status, 300, a.text)
		id, _ := a.json["id"].(string)
		return id
	}
	switch of {
	case aHook:
		return post(hooks, `{"event_type":"*","target_url":"http://example.com/made/{n}"}`)
	case anEvent, aDelivery:
		hook := uuid.MustParse(s.make(t, aHook))
		e := newEvent(fmt.Sprintf("%s-%d", s.tenant, s.n), uint64(s.n), "order.created", "order:"+s.tenant, time.Hour)
		e.Tenant = s.tenant
		s.published(t, e)
		s.recorded(t, newFact(hook, &e, webhook.Dead, webhook.ReasonExhausted, http.StatusInternalServerError))
		if of == anEvent {
			return e.ID
		}
		return webhook.DeliveryID(hook, e.ID).String()
	case aJob, aPausedJob:
		id := post(hooks+s.make(t, aHook)+"/replay/", `{"from":"2026-01-01T00:00:00Z","reason":"r"}`)
		if of == aPausedJob {
			post(jobsURL+id+"/pause/", "")
		}
		return id
	case anErasure:
		return post("/whisperer/erasures/", `{"events":["nobody-{n}"],"reason":"r"}`)
	case aToken:
		_, token, err := s.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "t", Tenant: s.tenant, Role: store.Viewer})
		require.NoError(t, err)
		return token.ID.String()
	case anEventType:
		post(hooks+"registry/", `{"name":"made.by.`+s.tenant+`{n}"}`)
		return s.next("made.by." + s.tenant + strconv.Itoa(s.n))
	default:
		return ""
	}
}

// absent returns an id that no object has.
func absent(of thing) string {
	switch of {
	case none:
		return ""
	case anEventType:
		return "never.declared"
	default:
		return uuid.NewString()
	}
}

// caller is who makes the request, and the status for a caller who may do everything.
type caller struct {
	name     string
	role     store.Role
	operator bool
	// unknown says that the token is invalid.
	unknown bool
	change  []with
}

// callers returns all kinds of callers: each role of the tenant acme and of operators, and unknown callers.
func (w *world) callers(t *testing.T) []caller {
	t.Helper()
	var list []caller
	for _, role := range []store.Role{store.Viewer, store.Editor, store.Admin} {
		tenants := w.db.MakeToken(t, store.NewToken{Name: "t", Tenant: "acme", Role: role})
		operators := w.db.MakeToken(t, store.NewToken{Name: "o", Role: role})
		list = append(list, caller{name: "acme's " + string(role), role: role, change: []with{token(tenants)}},
			caller{name: "operating " + string(role), role: role, operator: true, change: []with{token(operators), header("X-Whisperer-Tenant", "acme")}})
	}
	soon := time.Now().Add(2 * time.Second)
	expired := w.db.MakeToken(t, store.NewToken{Name: "e", Tenant: "acme", Role: store.Admin, ExpiresAt: soon})
	revoked, made, err := w.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "r", Tenant: "acme", Role: store.Admin})
	require.NoError(t, err)
	require.NoError(t, w.db.Access.RevokeToken(t.Context(), "test", "acme", made.ID))
	require.Eventually(t, func() bool { return time.Now().After(soon) }, time.Minute, 5*time.Millisecond)
	return append(list, caller{name: "nobody", unknown: true, change: []with{header("Authorization", "")}},
		caller{name: "an expired token", unknown: true, change: []with{token(expired)}},
		caller{name: "a revoked token", unknown: true, change: []with{token(revoked)}})
}

func TestEveryRoleMayUseWhatTheMatrixSays(t *testing.T) {
	t.Parallel()
	w, _ := newBus(t)
	w.db.MakeTenant(t, "acme")
	mine := &stock{world: w, tenant: "acme"}
	for _, who := range w.callers(t) {
		for _, l := range w.lines(t) {
			a := w.call(t, l.method, l.at(mine.make(t, l.of)), mine.next(l.body), who.change...)
			said := fmt.Sprintf("%s: %s: %d %s", who.name, l.id, a.status, a.text)
			switch {
			case who.unknown:
				require.Equal(t, http.StatusUnauthorized, a.status, said)
			case !who.role.Covers(l.role), l.operator && !who.operator:
				require.Equal(t, http.StatusForbidden, a.status, said)
			default:
				require.Less(t, a.status, 300, said)
			}
		}
	}
}

// look returns what a caller can see of a response, except the time and the requested id.
func look(a *answer, id string) string {
	h := a.header.Clone()
	h.Del("Date")
	return strings.ReplaceAll(fmt.Sprintln(a.status, h, a.text), id, "{id}")
}

func TestAnotherTenantsIDIsNotToBeToldFromAnAbsentOne(t *testing.T) {
	t.Parallel()
	w, _ := newBus(t)
	w.db.MakeTenant(t, "acme")
	w.db.MakeTenant(t, "other")
	theirs := &stock{world: w, tenant: "other"}
	lines := w.lines(t)
	ids := map[string]string{}
	for _, l := range lines {
		ids[l.id] = theirs.make(t, l.of)
	}
	for _, who := range w.callers(t) {
		for _, l := range lines {
			for _, body := range []string{theirs.next(l.body), `{"surely_unknown":1}`} {
				if l.of == none || body != "" && l.operation.RequestBody == nil {
					continue
				}
				nothing := absent(l.of)
				got := w.call(t, l.method, l.at(ids[l.id]), body, who.change...)
				want := w.call(t, l.method, l.at(nothing), body, who.change...)
				require.Equal(t, look(want, nothing), look(got, ids[l.id]), "%s: %s with %s", who.name, l.id, body)
				require.GreaterOrEqual(t, got.status, 400, "%s: %s", who.name, l.id)
				if body == "" && !who.unknown && who.role.Covers(l.role) {
					require.Equal(t, http.StatusNotFound, got.status, "%s: %s", who.name, l.id)
				}
			}
		}
	}
	for _, l := range lines { // afterwards every object still exists
		if l.method == http.MethodGet && l.of != none {
			require.Equal(t, http.StatusOK, w.call(t, l.method, l.at(ids[l.id]), "", header("X-Whisperer-Tenant", "other")).status, l.id)
		}
	}
}

func TestFiltersDoNotTellAnotherTenantsIDsEither(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.MakeTenant(t, "acme")
	w.db.MakeTenant(t, "other")
	theirs := &stock{world: w, tenant: "other"}
	hook, event := theirs.make(t, aHook), theirs.make(t, anEvent)
	viewer := w.db.MakeToken(t, store.NewToken{Name: "t", Tenant: "acme", Role: store.Viewer})
	compared := 0
	for _, l := range w.lines(t) {
		for _, p := range l.operation.Parameters {
			if p.Value.In != openapi3.ParameterInQuery || l.of != none {
				continue
			}
			for id, nothing := range map[string]string{hook: uuid.NewString(), event: "nope-0", "order:other": "order:nobody"} {
				query := l.path + "?" + p.Value.Name + "="
				if p.Value.Name == "label" {
					query += "partner%3D"
				}
				got := w.call(t, l.method, query+url.QueryEscape(id), "", token(viewer))
				want := w.call(t, l.method, query+url.QueryEscape(nothing), "", token(viewer))
				require.Equal(t, look(want, nothing), look(got, id), "%s?%s=%s", l.id, p.Value.Name, id)
				compared++
			}
		}
	}
	require.Greater(t, compared, 100)
}
