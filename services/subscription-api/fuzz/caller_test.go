package fuzz_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// kind is the kind of object that an id identifies.
type kind int

const (
	nothing kind = iota
	hook
	// spare hooks are the targets of spoiled changes.
	spare
	event
	delivery
	job
	token
	eventType
	erasure
)

// kindOf returns the kind of the id in an operation's path.
func kindOf(op *operation) kind {
	switch {
	case !op.named():
		return nothing
	case strings.Contains(op.path, "/event-types/"):
		return eventType
	case strings.Contains(op.path, "/hooks/"):
		return hook
	case strings.Contains(op.path, "/events/"):
		return event
	case strings.Contains(op.path, "/erasures/"):
		return erasure
	case strings.Contains(op.path, "/jobs/"):
		return job
	case strings.Contains(op.path, "/tokens/"):
		return token
	default: // deliveries, and hook_events, their old name
		return delivery
	}
}

// most is how many ids of a kind are remembered.
const most = 40

// caller sends requests for a tenant of its own, so that nobody else changes its objects.
type caller struct {
	t        *testing.T
	api      *target
	n        int
	tenant   string
	tokens   []field // the tenant's own token and an operator's
	operator string
	wire     wire
	tally    *tally
	ids      map[kind][]string
}

func newCaller(t *testing.T, api *target, n int) *caller {
	t.Helper()
	c := &caller{t: t, api: api, n: n, tenant: fmt.Sprintf("caller-%d", n), wire: wire{addr: api.addr}, tally: newTally(), ids: map[kind][]string{}}
	_, err := api.db.Access.EnsureTenant(t.Context(), "test", c.tenant)
	require.NoError(t, err)
	own, _, err := api.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "t", Tenant: c.tenant, Role: store.Admin})
	require.NoError(t, err)
	c.operator, _, err = api.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "o", Role: store.Admin})
	require.NoError(t, err)
	c.tokens = []field{{"Token " + own, ""}, {"Bearer " + c.operator, c.tenant}}
	for i := range 6 {
		k := []kind{hook, spare}[i%2]
		r := &request{
			op: api.document.operations["create-hook"], method: http.MethodPost, path: "/whisperer/hooks/", kept: k, expect: accepted,
			headers: []field{{"Authorization", c.tokens[0].name}, {"Content-Type", "application/json"}},
			body:    fmt.Appendf(nil, `{"event_type":"*","target_url":"%s/setup/%d"}`, api.receiver, i),
		}
		c.send(r, -1)
		require.Len(t, c.ids[k], 1+i/2)
		c.record(c.ids[k][i/2], i)
	}
	return c
}

// record gives a hook a history: many deliveries, most of them dead.
func (c *caller) record(id string, n int) {
	hookID := uuid.MustParse(id)
	var events []webhook.Event
	var facts []*whispererv1.DeliveryFact
	for i := range 60 {
		at := time.Now().Add(-time.Duration(2+i) * time.Minute).UTC()
		seq := uint64(c.n*1_000_000 + n*1000 + i + 1)
		e := webhook.Event{
			ID: fmt.Sprintf("past-%d-%d", n, i), Tenant: c.tenant, Type: "order.created", Time: at, PublishedAt: at, Seq: webhook.Sequence(seq), Entity: "order:61", Data: []byte(`{"n":1.50}`),
		}
		events = append(events, e)
		deliveryID := webhook.DeliveryID(hookID, e.ID)
		state, status := webhook.Dead, uint32(http.StatusInternalServerError)
		if i%5 == 0 {
			state, status = webhook.Delivered, http.StatusOK
		}
		facts = append(facts, &whispererv1.DeliveryFact{
			DeliveryId: deliveryID[:], HookId: hookID[:], Tenant: c.tenant, EventId: e.ID, EventType: e.Type, Entity: e.Entity, EventSeq: uint64(e.Seq),
			PublishedAt: at.UnixNano(), State: string(state), At: at.Add(time.Second).UnixNano(), Attempts: 1, RoundAttempts: 1, RoundStartedAt: at.UnixNano(),
			Attempt: &whispererv1.AttemptFact{
				Number: 1, StartedAt: at.UnixNano(), Duration: int64(time.Second), Outcome: string(webhook.Failed), Status: status, Method: "POST",
				Url: c.api.receiver, ResponseBody: []byte{0xff, byte(i)}, ErrorClass: string(webhook.ClassStatus),
			},
		})
		c.keep(event, e.ID)
		c.keep(delivery, deliveryID.String())
	}
	recorder := c.api.db.Ledger.NewRecorder()
	defer recorder.Close()
	require.NoError(c.t, recorder.WriteEvents(c.t.Context(), events))
	require.NoError(c.t, recorder.WriteFacts(c.t.Context(), []*whispererv1.LedgerBatch{{Worker: "w", Facts: facts}}))
}

func (c *caller) keep(k kind, id string) {
	list := append(c.ids[k], id)
	if len(list) > most && k != event && k != delivery {
		list = list[1:]
	}
	c.ids[k] = list
}

func (c *caller) forget(k kind, id string) {
	c.ids[k] = slices.DeleteFunc(c.ids[k], func(s string) bool { return s == id })
}

// turn makes the request with this number. With the same seed, every run makes the same requests, except for ids.
func (c *caller) turn(number int) {
	by := &chance{
		Rand: rand.New(rand.NewPCG(*seed, uint64(number))), receiver: c.api.receiver, unique: fmt.Sprintf("%d-%d", *seed, number),
	}
	var r *request
	for r == nil {
		op := c.api.document.operations[pick(by, c.api.document.ids...)]
		if len(c.ids[hook]) > most-5 {
			op = c.api.document.operations["delete-hook"]
		}
		r = c.request(by, op)
	}
	c.send(r, number)
}

// request generates a valid request and spoils it half of the time. It returns nil if the operation needs an object
// that does not exist.
func (c *caller) request(by *chance, op *operation) *request {
	r := &request{op: op, method: op.method, path: op.path, expect: accepted, chunked: by.oneIn(10)}
	spoiled := by.oneIn(2)
	k := kindOf(op)
	if k == hook && spoiled && (op.method == http.MethodPut || op.method == http.MethodPatch) {
		k = spare
	}
	if k != nothing {
		if len(c.ids[k]) == 0 || op.method == http.MethodDelete && len(c.ids[k]) < 4 {
			return nil
		}
		r.used = pick(by, c.ids[k]...)
		r.path = fill(op.path, url.PathEscape(r.used))
	}
	if by.oneIn(3) {
		r.path = strings.TrimSuffix(r.path, "/")
	}
	who := pick(by, c.tokens...)
	if strings.HasPrefix(op.path, "/whisperer/tenants/") || strings.HasPrefix(op.path, "/whisperer/ledger/") {
		who = c.tokens[1]
	}
	r.set("Authorization", who.name)
	if who.value != "" {
		r.set("X-Whisperer-Tenant", who.value)
	}
	c.parameters(by, r)
	body := c.body(by, r)
	if spoiled {
		c.spoil(by, r, body)
	}
	if r.expect == accepted {
		r.kept = map[string]kind{"create-hook": hook, "create-token": token, "replay-hook": job, "declare-event-type": eventType, "erase": erasure}[op.id]
	}
	return r
}

// relayOp is the operation that streams until the time in its query has passed.
const relayOp = "relay-deliveries"

func (c *caller) parameters(by *chance, r *request) {
	query := url.Values{}
	for _, p := range r.op.parameters("query") {
		if s := p.Schema.Value; by.oneIn(4) {
			if v := by.parameter(r.op.id, p.Name, strings.Join(s.Type.Slice(), ""), s.Format, s.Enum); v != "" {
				query.Set(p.Name, v)
			}
		}
	}
	if query.Has("to") { // together with from, the range may be empty, which is refused
		query.Del("from")
	}
	if query.Has("data_contains") || query.Has("data_path") || query.Has("data_text") { // they need a range of at most 31 days
		query.Set("from", by.time())
		query.Del("to")
	}
	for _, name := range []string{"created_date__gt", "created_date__gte", "created_date__lt", "created_date__lte"} {
		if query.Has("created_date") {
			query.Del(name)
		}
		if query.Has("created_date__lt") || query.Has("created_date__lte") {
			query.Del("created_date__gt")
			query.Del("created_date__gte")
		}
	}
	if r.op.id == relayOp { // a nonexistent hook is refused
		query.Del("hook")
		query.Set("seconds", "1")
	}
	r.query = query.Encode()
	for _, p := range r.op.parameters("header") {
		if v := by.parameter(r.op.id, p.Name, "string", "", nil); v != "" && by.oneIn(4) {
			r.set(p.Name, v)
		}
	}
}

// body gives the request a valid body and returns it as an object before encoding.
func (c *caller) body(by *chance, r *request) object {
	if r.op.body == nil {
		return nil
	}
	fields, names := r.op.properties()
	body := object{}
	for _, name := range names {
		needed := r.op.needs(name) || name == "event_type" && r.op.method != http.MethodPatch && strings.HasSuffix(r.op.id, "-hook") || strings.HasPrefix(r.op.id, "replay-hook") && name == "reason" || strings.HasSuffix(r.op.id, "-hooks") && name == "all" || r.op.id == "retry-deliveries" && name == "from" || r.op.id == "test-unsaved-hook" && name == "hook" ||
			r.op.id == "put-back-set-aside" && name == "all" || r.op.id == "rotate-signing-keys" && name == "revoke" ||
			r.op.id == "set-retention" || r.op.id == "erase" && (name == "events" || name == "reason")
		if !needed && (!optional(r.op.id, name) || !by.oneIn(3)) {
			continue
		}
		if value, ok := by.good(r.op.id, name); ok {
			body[name] = value
			continue
		}
		switch s := fields[name]; {
		case s.Type.Includes("boolean"):
			body[name] = by.oneIn(2)
		case s.Type.Includes("integer"):
			body[name] = by.IntN(100)
		default: // any text may be invalid here, so only spoiled requests have the field
			require.False(c.t, needed, "%s needs its field %s: say in good what it may be", r.op.id, name)
		}
	}
	r.set("Content-Type", pick(by, "application/json", "application/json; charset=utf-8", "Application/JSON"))
	r.body = write(c.t, body)
	if r.op.id == "publish-events" && by.oneIn(2) {
		list := write(c.t, []object{body, {"event_type": "order.created", "data": by.json(2)}})
		r.body = pick(by, list, fmt.Appendf(nil, `{"events":%s}`, list))
	}
	return body
}

func write(t *testing.T, value any) []byte {
	t.Helper()
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	require.NoError(t, encoder.Encode(value))
	return b.Bytes()
}

// spoil damages a request in one to three ways.
func (c *caller) spoil(by *chance, r *request, body object) {
	kinds := []func(){
		func() { by.spoilPath(r) }, func() { by.spoilHeaders(r) }, func() { by.spoilQuery(r) },
		func() { by.spoilMethod(r) },
	}
	if body != nil { // most often the body, where most can go wrong
		spoilBody := func() {
			if by.oneIn(3) {
				by.spoilBytes(r)
				return
			}
			by.spoilBody(r, body)
			r.body = write(c.t, body)
		}
		spoilBody()
		if by.oneIn(2) {
			kinds = nil
		}
	} else {
		kinds[by.IntN(3)]()
		kinds = kinds[3:]
	}
	for _, spoil := range kinds {
		if by.oneIn(6) {
			spoil()
		}
	}
	r.judge()
	if slices.ContainsFunc(r.evils, func(e evil) bool { return e.where == "method" || e.where == "path" && e.what == "odd" }) {
		r.expect = anything // another operation, or none
	}
}
