package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// knownTimeout bounds how long publishing waits for the database. It continues without an answer.
const knownTimeout = 500 * time.Millisecond

// checkEvents checks the JSON of events by the same rule as for events published over NATS.
func checkEvents(body []byte) error {
	const around = 2 // levels of a batch around an event
	if err := envelope.CheckJSON(body, envelope.MaxDepth+around); err != nil {
		detail := "the body is not JSON"
		if rejected, ok := errors.AsType[*envelope.RejectedError](err); ok {
			detail = rejected.Detail
		}
		return badBody("", detail)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return badBody("", "the body is empty")
	}
	return nil
}

// compact removes insignificant white space from JSON.
func compact(raw []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// checkKnown refuses an idempotency key or event id that was used before with other content. If the database does not
// answer in time, the events are accepted; then a worker rejects conflicts.
func (s *server) checkKnown(ctx context.Context, p *publication, key usecase.IdempotencyKey) error {
	if problem := p.conflicts(p.twice()); problem != nil {
		return problem
	}
	var asked []usecase.Published
	for i := range p.events {
		if p.given[i] {
			asked = append(asked, usecase.Published{EventKey: p.key(i), At: p.now.Add(time.Minute)}) // allows for clock differences
		}
	}
	if key.Key == "" && len(asked) == 0 {
		return nil
	}
	seen, err := daemon.Within(ctx, knownTimeout, func(ctx context.Context) (map[usecase.EventKey]usecase.SeenEvent, error) {
		return s.Cases.Deliveries.PublishedBefore(ctx, p.tenant, key, asked)
	})
	switch {
	case errors.Is(err, usecase.ErrKeyReused):
		return err
	case err != nil:
		s.log.Warn("publishing events without checking for duplicates", zap.String("tenant", p.tenant), zap.String("event_id", p.events[0].ID),
			trace.ID(p.headers.Traceparent), zap.Error(err))
		return nil
	}
	if problem := p.conflicts(seen); problem != nil {
		return problem
	}
	return nil
}

func (p *publication) key(i int) usecase.EventKey {
	return usecase.EventKey{Tenant: p.tenant, ID: p.events[i].ID}
}

// twice returns the first event of each given id in the request, to find ids that it uses twice.
func (p *publication) twice() map[usecase.EventKey]usecase.SeenEvent {
	if len(p.events) == 1 {
		return nil
	}
	first := map[usecase.EventKey]usecase.SeenEvent{}
	for i := range p.events {
		if !p.given[i] {
			continue
		}
		if _, there := first[p.key(i)]; !there {
			digest := p.events[i].Digest()
			first[p.key(i)] = usecase.SeenEvent{Digest: digest[:]}
		}
	}
	return first
}

// conflicts returns the response if ids are used by other events, and nil otherwise.
func (p *publication) conflicts(known map[usecase.EventKey]usecase.SeenEvent) *Problem {
	if len(known) == 0 {
		return nil
	}
	problem := newProblem(http.StatusConflict, "An event with this id and another body was published within 24 hours. Nothing was published.")
	for i := range p.events {
		before, there := known[p.key(i)]
		if !there {
			continue
		}
		if digest := p.events[i].Digest(); !bytes.Equal(before.Digest, digest[:]) {
			problem.Errors = append(problem.Errors, api.FieldProblem{Pointer: p.pointer(i) + "/event_id", Detail: "is the id of another event"})
		}
	}
	if len(problem.Errors) == 0 {
		return nil
	}
	return problem
}

// notStored returns the response if some events may not be stored; it names these.
func (p *publication) notStored(err error) *Problem {
	problem := newProblem(http.StatusServiceUnavailable, "The events could not be stored now. Try again soon.").with("Retry-After", "1")
	failed, ok := errors.AsType[*bus.PublishError](err)
	if !ok {
		return problem
	}
	for i, stored := range failed.Stored {
		if !stored {
			problem.Errors = append(problem.Errors, api.FieldProblem{Pointer: p.pointer(i), Detail: "is not known to be stored"})
		}
	}
	if len(problem.Errors) < len(p.outgoing) {
		problem.Detail = "Some events could not be stored now: those in errors. The others are stored. Try again soon."
	}
	return problem
}
