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

// knownTimeout bounds what publishing waits for the database, without which it goes on.
const knownTimeout = 500 * time.Millisecond

// checkEvents judges the JSON of events by the rule that holds for those which come over NATS.
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

// compact is JSON without white space, which means nothing.
func compact(raw []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// checkKnown refuses what was published before with other content: the same idempotency key, or the same event id. Where the
// database cannot be asked in time events go on, and a worker tells.
func (s *server) checkKnown(ctx context.Context, p *publication, key usecase.IdempotencyKey) error {
	if problem := p.conflicts(p.twice()); problem != nil {
		return problem
	}
	var asked []usecase.Published
	for i := range p.events {
		if p.given[i] {
			asked = append(asked, usecase.Published{EventKey: p.key(i), At: p.now.Add(time.Minute)}) // clocks may differ
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

// twice are the events of the request itself that came with ids, the first of each id.
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

// conflicts is the answer to events whose ids are others' already; nil where there is none.
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

// notStored is the answer where not all events are known to be stored: it names those.
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
