package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// shownIDs is how many ids an erasure's page lists.
const shownIDs = 100

func erasurePath(id uuid.UUID) string { return erasuresPath + id.String() + "/" }

type erasureBody struct {
	Erasure     usecase.Erasure
	What, Owner string
	Done        string
	// IDs are the first of several requested ids; More is the number of further ones.
	IDs  []string
	More int
	// Percent is the progress; nil if unknown.
	Percent     *int64
	Places      []erasedPlace
	Certificate string
	Problem     string
}

// Running reports whether the erasure is running.
func (b erasureBody) Running() bool { return b.Erasure.State == usecase.JobRunning }

// erasedPlace is the number of rows or messages that were erased in one place.
type erasedPlace struct{ Name, Text, Count string }

func (c *console) erasurePage(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	e, err := c.Cases.Erasures.Get(ctx, &v.Caller, id)
	if err != nil {
		return reply{}, err
	}
	return c.showErasure(ctx, v, &e, "")
}

func (c *console) showErasure(ctx context.Context, v *visit, e *usecase.Erasure, problem string) (reply, error) {
	names, err := c.Cases.Access.ActorNames(ctx, v.Tenant)
	if err != nil {
		return reply{}, err
	}
	body := erasureBody{
		Erasure: *e, What: erasedWhat(e.Kind, e.Criteria), Owner: actorText(e.Owner, names), Done: doneOf(e), Problem: problem,
		Certificate: textOf(e.Certificate),
	}
	if n := len(e.Criteria); n > 1 {
		body.IDs = e.Criteria[:min(n, shownIDs)]
		body.More = n - len(body.IDs)
	}
	switch whole := int64(100); {
	case e.State == usecase.JobCompleted:
		body.Percent = &whole
	case e.Total != nil && *e.Total > 0:
		part := min(whole, whole*e.Done / *e.Total)
		body.Percent = &part
	}
	for name, n := range e.Places {
		body.Places = append(body.Places, erasedPlace{Name: name, Text: placeText(name), Count: amount(n)})
	}
	slices.SortFunc(body.Places, func(a, b erasedPlace) int { return strings.Compare(a.Name, b.Name) })
	answer := page("erasure", "Erasure: "+body.What, body)
	if problem != "" {
		answer = answer.with(http.StatusConflict)
	}
	return answer, nil
}

// placeText describes what is counted for a place.
func placeText(name string) string {
	switch name {
	case "postgresql_events":
		return "events overwritten in PostgreSQL"
	case "postgresql_deliveries":
		return "deliveries overwritten in PostgreSQL"
	case "postgresql_attempts":
		return "attempts overwritten in PostgreSQL"
	case "deliveries_ended":
		return "deliveries that waited, and are dead"
	case "rejected_events":
		return "rejected events overwritten in PostgreSQL"
	}
	at := strings.LastIndexByte(name, '_') + 1
	stream := strings.ToUpper(strings.TrimSuffix(name[:at], "_"))
	switch name[at:] {
	case "overwritten":
		return "messages overwritten in the stream " + stream
	case "deleted":
		return "messages deleted from the stream " + stream + ", not overwritten: the server reuses their space later"
	case "kept":
		return "messages still in the stream " + stream + ", which an older version made and which refuses deletes"
	}
	return ""
}

func (c *console) cancelErasure(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	_, err = c.Cases.Erasures.Cancel(ctx, &v.Caller, id)
	var refused *usecase.ReplayError
	switch {
	case errors.As(err, &refused):
		e, err := c.Cases.Erasures.Get(ctx, &v.Caller, id)
		if err != nil {
			return reply{}, err
		}
		return c.showErasure(ctx, v, &e, refused.Reason)
	case err != nil:
		return reply{}, err
	}
	return goTo(erasurePath(id)), nil
}

// erasureCertificate sends the certificate of a completed erasure as a file.
func (c *console) erasureCertificate(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	e, err := c.Cases.Erasures.Get(ctx, &v.Caller, id)
	switch {
	case err != nil:
		return reply{}, err
	case len(e.Certificate) == 0:
		return reply{}, fmt.Errorf("certificate of erasure %s: %w", id, webhook.ErrNotFound)
	}
	f := file{name: "erasure-" + id.String() + ".json", contentType: "application/json", content: []byte(pretty(e.Certificate) + "\n")}
	return reply{status: http.StatusOK, file: &f}, nil
}

// erasedText says when and by whom a payload was erased, with the token's name. It is empty if the payload was not
// erased.
func (c *console) erasedText(ctx context.Context, v *visit, e *webhook.Erased) (string, error) {
	if e == nil {
		return "", nil
	}
	names, err := c.Cases.Access.ActorNames(ctx, v.Tenant)
	return erasedBy(e, names), err
}

// erasedBy is erasedText with known names of actors.
func erasedBy(e *webhook.Erased, names map[usecase.Actor]string) string {
	shown := *e
	if name := names[usecase.Actor(e.By)]; name != "" {
		shown.By = "token " + name
	}
	return shown.String()
}
