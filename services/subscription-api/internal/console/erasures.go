package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const erasuresPath = Root + "erasures/"

type erasuresBody struct {
	Form  eraseForm
	Wrong formErrors
	Kinds []option
	Spans []option
	// Counted says that the page asks for confirmation.
	Counted bool
	// Count is the number of events; nil if counting took too long.
	Count *int64
	// What describes the events in words.
	What string
	Rows []erasureRow
	paging
}

// Size is the number of events, as far as it is known.
func (b erasuresBody) Size() int64 {
	if b.Count == nil {
		return 0
	}
	return *b.Count
}

// Amount describes the number in words.
func (b erasuresBody) Amount() string { return things(int(b.Size()), "event", "events") }

// eraseForm has the form's values as typed text.
type eraseForm struct {
	By, Events, Entity, Path string
	Span, From, To           string
	// Since is the start of the range when the events were counted; empty until then.
	Since  string
	Reason string
}

func readEraseForm(f url.Values) eraseForm {
	get := func(name string) string { return strings.TrimSpace(f.Get(name)) }
	return eraseForm{
		By: get("by"), Events: get("events"), Entity: get("entity"), Path: get("path"), Span: get("span"), From: formatMoment(get("from")),
		To: formatMoment(get("to")), Since: get("since"), Reason: get("reason"),
	}
}

func eraseKinds() []option {
	return []option{
		{string(usecase.EraseEntity), "of an entity"},
		{string(usecase.EraseIDs), "with certain ids"},
		{string(usecase.ErasePath), "in whose data a JSON path finds something"},
	}
}

func eraseSpans() []option { return append([]option{{"", "at any time"}}, replaySpans()...) }

// eraseFieldIDs maps pointers to the ids of the form's fields.
var eraseFieldIDs = map[string]string{
	"/events": "events", "/entity": "entity", "/path": "path", "/from": "span", "/to": "span", "/reason": "reason",
}

// erase converts the form; values that cannot be parsed are added to wrong.
func (f *eraseForm) erase(wrong formErrors) usecase.Erase {
	e := usecase.Erase{Reason: f.Reason}
	switch usecase.ErasureKind(f.By) {
	case usecase.EraseIDs:
		e.Events = usecase.Some(f.ids())
	case usecase.EraseEntity:
		e.Entity = usecase.Some(f.Entity)
	case usecase.ErasePath:
		e.Path = usecase.Some(f.Path)
	default:
		wrong.add("by", "Choose which events")
	}
	f.readRange(&e, wrong)
	return e
}

// ids returns the ids in the form, one per line.
func (f *eraseForm) ids() []string {
	ids := []string{}
	for line := range strings.Lines(f.Events) {
		if id := strings.TrimSpace(line); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

func (f *eraseForm) readRange(e *usecase.Erase, wrong formErrors) {
	if f.Span == "" {
		return
	}
	r := usecase.Replay{}
	(&replayForm{Span: f.Span, From: f.From, To: f.To}).readRange(&r, wrong)
	e.From, e.To = r.From, r.To
	if since, ok := parseMoment(f.Since); ok && f.Span != ownSpan { // the counted range must not move while the person reads
		e.From = since
	}
}

// what describes the form's events in words.
func (f *eraseForm) what() string {
	switch usecase.ErasureKind(f.By) {
	case usecase.EraseIDs:
		return erasedWhat(usecase.EraseIDs, f.ids())
	case usecase.EraseEntity:
		return erasedWhat(usecase.EraseEntity, []string{f.Entity})
	default:
		return erasedWhat(usecase.ErasePath, []string{f.Path})
	}
}

// erasedWhat describes the events of an erasure in words.
func erasedWhat(kind usecase.ErasureKind, criteria []string) string {
	switch {
	case kind == usecase.EraseIDs && len(criteria) > 1:
		return amount(len(criteria)) + " ids"
	case kind == usecase.EraseIDs:
		return "event " + criteria[0]
	default:
		return string(kind) + " " + criteria[0]
	}
}

type erasureRow struct {
	ID                        uuid.UUID
	State                     usecase.JobState
	What, Reason, Owner, Done string
	CreatedAt                 time.Time
}

func newErasureRow(e *usecase.Erasure, names map[usecase.Actor]string) erasureRow {
	return erasureRow{
		ID: e.ID, State: e.State, What: erasedWhat(e.Kind, e.Criteria), Reason: e.Reason, Owner: actorText(e.Owner, names), Done: doneOf(e),
		CreatedAt: e.CreatedAt,
	}
}

// actorText returns the name of an actor if it is known.
func actorText(who usecase.Actor, names map[usecase.Actor]string) string {
	if name := names[who]; name != "" {
		return name
	}
	return string(who)
}

// doneOf describes the progress of an erasure.
func doneOf(e *usecase.Erasure) string {
	if e.Total == nil {
		return amount(e.Done)
	}
	return fmt.Sprintf("%s of %s", amount(e.Done), amount(max(e.Done, *e.Total)))
}

func (c *console) listErasures(ctx context.Context, v *visit) (reply, error) {
	return c.showErasures(ctx, v, erasuresBody{Form: eraseForm{By: string(usecase.EraseEntity)}})
}

func (c *console) showErasures(ctx context.Context, v *visit, body erasuresBody) (reply, error) {
	body.Kinds, body.Spans = eraseKinds(), eraseSpans()
	at := readPage(v.form)
	found, err := wholePage(c.Cases.Erasures.List(ctx, &v.Caller, at))
	if err != nil {
		return reply{}, err
	}
	names, err := c.Cases.Access.ActorNames(ctx, v.Tenant)
	if err != nil {
		return reply{}, err
	}
	for i := range found.List {
		body.Rows = append(body.Rows, newErasureRow(&found.List[i], names))
	}
	body.paging = neighbours(v.r.URL.Query(), at, found, func(e *usecase.Erasure) usecase.Position {
		return usecase.Position{At: e.CreatedAt, ID: e.ID}
	})
	answer := page("erasures", "Erasures", body)
	if body.Wrong.any() {
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}

// erase first counts, and begins once the person has seen the number of events. If that is missing, or the erasure
// cannot begin, it counts again.
func (c *console) erase(ctx context.Context, v *visit) (reply, error) {
	body := erasuresBody{Form: readEraseForm(v.posted), Wrong: formErrors{}}
	step := v.posted.Get("step")
	if step == "change" {
		body.Form.Since = ""
		return c.showErasures(ctx, v, body)
	}
	what := body.Form.erase(body.Wrong)
	if body.Wrong.any() {
		return c.showErasures(ctx, v, body)
	}
	if step == "begin" {
		e, err := c.Cases.Erasures.Begin(ctx, &v.Caller, what)
		switch {
		case err == nil:
			return goTo(erasurePath(e.ID)), nil
		case !errors.Is(err, webhook.ErrInvalid):
			return reply{}, err
		}
		body.Wrong.collect(eraseFieldIDs, err)
	}
	what.Reason = "" // the page asks for it together with the count
	n, err := c.Cases.Erasures.Count(ctx, &v.Caller, what)
	switch {
	case errors.Is(err, webhook.ErrInvalid):
		body.Wrong.collect(eraseFieldIDs, err)
	case err != nil && !errors.Is(err, usecase.ErrSlow):
		return reply{}, err
	default:
		body.Counted, body.Count, body.What = true, n.Total, body.Form.what()
		if body.Form.Since = ""; body.Form.Span != "" && body.Form.Span != ownSpan {
			body.Form.Since = n.Range.From.Format("2006-01-02T15:04:05.999999999")
		}
	}
	return c.showErasures(ctx, v, body)
}
